//! The threads that Argon2id runs on; they give way to everything else on the machine.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A fixed number of threads, which end when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Threads(mpsc::Sender<Work>);

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..count {
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new()
                .name("argon2".to_owned())
                .spawn(move || {
                    give_way();
                    while let Some(work) = next(&receiver) {
                        // Whoever waits for the outcome learns of a panic: its sender is dropped.
                        let _ = catch_unwind(AssertUnwindSafe(work));
                    }
                })?;
        }
        Ok(Self(sender))
    }

    /// Has the work done by the next thread that is free. The receiver fails if the work panics.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, outcome) = oneshot::channel();
        // Who asked may have hung up; and a thread ends only after the last sender.
        let work = Box::new(move || drop(sender.send(work())));
        let _ = self.0.send(work);
        outcome
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Threads")
    }
}

/// The lock is held while waiting: whoever is free next waits for it in turn.
fn next(receiver: &Mutex<mpsc::Receiver<Work>>) -> Option<Work> {
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    receiver.recv().ok()
}

/// A login takes tens of milliseconds anyway, and many logins at once must not delay the requests of
/// users who are logged in. Of Linux' policies only `SCHED_IDLE` leaves the core at once when another
/// thread wakes up; a nice value of 19 does not (see ADR 14).
#[cfg(target_os = "linux")]
fn give_way() {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };

    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy)
    {
        tracing::debug!(%error, "passwords are hashed at the usual priority");
    }
}

/// Elsewhere passwords are hashed at the usual priority.
#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_run_gives_way_to_every_other_thread() {
        // `SCHED_IDLE` in linux/sched.h.
        const IDLE: &str = "5";
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            // Field 41 of proc_pid_stat(5); the first after the name is field 3.
            fields.split_whitespace().nth(41 - 3).unwrap().to_owned()
        };
        assert_ne!(policy(), IDLE, "the thread that asks");
        let threads = Threads::start(1).unwrap();
        assert_eq!(threads.run(policy).await.unwrap(), IDLE, "the run");
    }

    #[tokio::test]
    async fn a_run_that_panics_fails_alone() {
        let threads = Threads::start(1).unwrap();
        let broken: oneshot::Receiver<()> = threads.run(|| panic!("on purpose"));
        assert!(broken.await.is_err());
        assert_eq!(threads.run(|| 1).await, Ok(1), "the thread goes on");
    }
}
