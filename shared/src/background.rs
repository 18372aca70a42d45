//! Tasks that run beside the requests for as long as the service does.
//!
//! Nobody waits for the outcome of such a task, so a panic in it would be seen by nobody: keys would
//! not be fetched any more, members not be checked, until somebody restarts the service.

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

/// Between a panic and the next beginning: a task that panics at once must not take a core.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a task; when it panics, says so and begins it again after a second. Ends when the task
/// returns. Dropped, it ends the task. Must be awaited inside a runtime with time.
pub async fn supervised<T, F>(name: &'static str, mut begin: impl FnMut() -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    loop {
        match AbortOnDropHandle::new(tokio::spawn(begin())).await {
            Ok(outcome) => return outcome,
            // The runtime ends, and this with it.
            Err(error) if error.is_cancelled() => std::future::pending().await,
            // What it said is in the log already, by the hook of panics.
            Err(_) => tracing::error!(task = name, "a background task failed; it begins again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_begun_again_until_it_returns() {
        let begun = Arc::new(AtomicUsize::new(0));
        let outcome = supervised("test", || {
            let begun = Arc::clone(&begun);
            async move {
                let before = begun.fetch_add(1, Ordering::Relaxed);
                assert_eq!(before, 1, "panics once");
                "done"
            }
        });
        assert_eq!(outcome.await, "done");
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn dropped_it_ends_the_task() {
        let held = Arc::new(());
        let supervised = supervised("test", || {
            let held = Arc::clone(&held);
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        });
        let none = tokio::time::timeout(Duration::from_millis(10), supervised).await;
        assert!(none.is_err());
        testkit::eventually(async || Arc::strong_count(&held) == 1).await;
    }
}
