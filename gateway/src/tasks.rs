//! What the gateway cannot do without, and how it learns that a part of it is gone.
//!
//! A thread or a task that panics ends quietly, and what depends on it stays as it was: connections
//! go to a thread that is no more, a member is never asked again, a name never resolved. So the end
//! of each is noticed, and the gateway ends with an error, to be started anew.

use std::future::Future;

use shared::shutdown::CancellationToken;
use tokio_util::{sync::DropGuard, task::TaskTracker};

/// Tasks that run until the gateway ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    failed: CancellationToken,
}

impl Tasks {
    /// Runs a task that the gateway needs: it fails when the task panics.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alarm = Alarm(self.failed.clone());
        let watched = async move {
            let _alarm = alarm;
            task.await;
        };
        let until_stopped = self.stop.clone().run_until_cancelled_owned(watched);
        self.tracker.spawn(until_stopped);
    }

    /// Runs a task that may fail for itself, such as one connection.
    pub(crate) fn spawn_passing(&self, task: impl Future<Output = ()> + Send + 'static) {
        let until_stopped = self.stop.clone().run_until_cancelled_owned(task);
        self.tracker.spawn(until_stopped);
    }

    /// For a thread that is to outlast the gateway: the gateway fails when this is dropped.
    pub(crate) fn guard(&self) -> DropGuard {
        self.failed.clone().drop_guard()
    }

    /// Waits until something that the gateway needs is gone.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Stops what runs: whoever is connected and says nothing must not hold up the end.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Tells of the panic that drops it.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_is_no_failure_and_one_that_panics_is() {
        let tasks = Tasks::default();
        tasks.spawn(async {});
        tasks.spawn_passing(async { panic!("one connection only") });
        tasks.spawn(std::future::pending());
        tokio::task::yield_now().await;
        assert!(!tasks.failed.is_cancelled());
        tasks.spawn(async { panic!("it was needed") });
        tasks.failed().await;
        tasks.end().await;
    }
}
