//! Password hashes: Argon2id off the async threads, a bounded number at a time.

mod hash;
mod memory;
mod threads;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::{Params, password_hash::Error as PasswordHashError};
use shared::{
    config::Secret,
    telemetry::trace::{SpanKind, TraceHandle},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::AuthMetrics;
use memory::{Memories, Memory};
use threads::Threads;

/// The cost of a hash, and how many are made at a time.
#[derive(Clone, Debug)]
pub struct HashSettings {
    /// Memory, passes and lanes of one run.
    pub parameters: Params,
    /// Runs at a time.
    pub concurrency: usize,
    /// Runs that may wait for their turn.
    pub queue: usize,
}

/// A password could not be hashed or checked; says nothing about the password.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The run itself failed.
    #[error("argon2 failed: {0}")]
    Failed(String),
}

impl From<PasswordHashError> for HashError {
    fn from(error: PasswordHashError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Makes and checks password hashes.
#[derive(Clone, Debug)]
pub struct Passwords {
    parameters: Params,
    // What is checked for a user who does not exist: the same work as for one who does.
    nobody: Arc<str>,
    running: Arc<Semaphore>,
    // Places for everybody who runs or waits.
    admitted: Arc<Semaphore>,
    queue: usize,
    threads: Threads,
    memories: Memories,
    metrics: AuthMetrics,
}

impl Passwords {
    /// Makes the hash that is checked for users who do not exist; this takes as long as one login.
    ///
    /// # Errors
    ///
    /// Argon2 does not work with the settings, for instance for want of memory.
    pub fn new(settings: &HashSettings, metrics: AuthMetrics) -> Result<Self, HashError> {
        let nobody = hash::make(
            &settings.parameters,
            crate::random::text::<32>().as_bytes(),
            &mut Memory::new(),
        )?;
        let concurrency = settings.concurrency;
        let queue = settings.queue.min(Semaphore::MAX_PERMITS - concurrency);
        Ok(Self {
            parameters: settings.parameters.clone(),
            nobody: nobody.into(),
            running: Arc::new(Semaphore::new(concurrency)),
            admitted: Arc::new(Semaphore::new(concurrency + queue)),
            queue,
            threads: Threads::start(concurrency)
                .map_err(|error| HashError::Failed(format!("no thread: {error}")))?,
            memories: Memories::default(),
            metrics,
        })
    }

    /// The PHC string of a password, with a salt of its own.
    ///
    /// # Errors
    ///
    /// Too many wait already, or the run failed.
    pub async fn hash(
        &self,
        password: Secret<String>,
        trace: Option<&TraceHandle>,
    ) -> Result<String, HashError> {
        let parameters = self.parameters.clone();
        self.run("hash", trace, move |memory| {
            hash::make(&parameters, password.expose().as_bytes(), memory)
        })
        .await
    }

    /// Whether the password belongs to the stored hash. Without a stored hash the answer is no,
    /// after the same work.
    ///
    /// # Errors
    ///
    /// Too many wait already, or the stored hash cannot be read.
    pub async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<String>,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, HashError> {
        let nobody = Arc::clone(&self.nobody);
        self.run("verify", trace, move |memory| {
            let exists = stored.is_some();
            let hash = stored.as_deref().unwrap_or(&nobody);
            let matches = hash::matches(hash, password.expose().as_bytes(), memory)?;
            Ok(matches && exists)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        trace: Option<&TraceHandle>,
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordHashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let turn = self.turn().await?;
        let mut span = trace.map(|trace| {
            trace.child(
                format!("{operation} password"),
                SpanKind::Internal,
                Vec::new(),
            )
        });
        let passwords = self.clone();
        let run = self.threads.run(move || {
            // Held by the thread: a caller who hangs up must not let another run begin beside it.
            let _turn = turn;
            let started = Instant::now();
            let outcome = passwords.work_in_memory(work);
            passwords.metrics.hashed(operation, started.elapsed());
            Ok(outcome?)
        });
        let outcome = run
            .await
            .unwrap_or_else(|_| Err(HashError::Failed("the run broke off".to_owned())));
        if let (Err(_), Some(span)) = (&outcome, &mut span) {
            span.fail("argon2");
        }
        outcome
    }

    fn work_in_memory<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memories.take();
        let outcome = work(&mut memory);
        self.memories.keep(memory);
        if !self.somebody_waits() {
            self.memories.release();
        }
        outcome
    }

    /// Whether more callers were admitted than run.
    fn somebody_waits(&self) -> bool {
        let free = self.admitted.available_permits();
        free < self.queue + self.running.available_permits()
    }

    async fn turn(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), HashError> {
        let place = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| HashError::Busy)?;
        let _waiting = self.metrics.waiting();
        let turn = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| HashError::Busy)?;
        Ok((place, turn))
    }
}

/// How long a caller who was turned away should stay away.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use shared::telemetry::{Identity, metrics::Metrics};

    use super::*;

    fn passwords(concurrency: usize, queue: usize) -> (Passwords, AuthMetrics) {
        let metrics = AuthMetrics::default();
        let settings = HashSettings {
            parameters: Params::new(64, 1, 1, None).unwrap(),
            concurrency,
            queue,
        };
        (Passwords::new(&settings, metrics.clone()).unwrap(), metrics)
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn the_hash_is_a_phc_string_that_verifies_and_has_its_own_salt() {
        let (passwords, _) = passwords(1, 1);
        let hash = passwords.hash(secret("correct horse"), None).await.unwrap();
        let again = passwords.hash(secret("correct horse"), None).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, again);
        let verify = |password| passwords.verify(secret(password), Some(hash.clone()), None);
        assert!(verify("correct horse").await.unwrap());
        assert!(!verify("battery staple").await.unwrap());
    }

    #[tokio::test]
    async fn a_user_who_does_not_exist_costs_one_run_too_and_is_refused() {
        let (passwords, metrics) = passwords(1, 1);
        assert!(
            !passwords
                .verify(secret("anything"), None, None)
                .await
                .unwrap()
        );
        let all = Metrics::new(&Identity {
            service: "test",
            version: "0",
            instance: String::new(),
        });
        metrics.register(&all);
        let text = all.render();
        let line = "auth_password_hash_duration_seconds_count{operation=\"verify\"} 1";
        assert!(text.contains(line), "{text}");
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_read_is_no_wrong_password() {
        let (passwords, _) = passwords(1, 1);
        let outcome = passwords
            .verify(secret("anything"), Some("plain text".to_owned()), None)
            .await;
        assert!(matches!(outcome, Err(HashError::Failed(_))));
    }

    #[tokio::test]
    async fn whoever_comes_after_the_queue_is_full_is_turned_away() {
        let (passwords, _) = passwords(1, 1);
        let running = passwords.turn().await.unwrap();
        let mut waiting = Box::pin(passwords.turn());
        let polled = futures_poll(&mut waiting).await;
        assert!(polled.is_none(), "the second waits");
        assert!(matches!(passwords.turn().await, Err(HashError::Busy)));
        drop(running);
        assert!(waiting.await.is_ok(), "the second gets its turn");
    }

    #[tokio::test]
    async fn memory_is_handed_on_while_somebody_waits_and_given_back_at_the_end() {
        let (passwords, _) = passwords(1, 4);
        let running = passwords.turn().await.unwrap();
        let mut waiting = Box::pin(passwords.hash(secret("second"), None));
        assert!(futures_poll(&mut waiting).await.is_none(), "it waits");
        assert!(passwords.somebody_waits());
        let work = |_: &mut Memory| ();
        passwords.work_in_memory(work);
        assert_eq!(passwords.memories.count(), 1, "kept for the one who waits");
        drop(running);
        waiting.await.unwrap();
        assert_eq!(passwords.memories.count(), 0, "given back");
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
