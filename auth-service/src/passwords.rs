//! Password hashes: Argon2id off the async threads, a bounded number at a time.

mod hash;
mod memory;
mod threads;
mod turns;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::{Params, password_hash::Error as PasswordHashError};
use shared::{
    config::Secret,
    telemetry::trace::{SpanKind, TraceHandle},
};

pub use self::turns::{Asker, Kind};
use self::{
    memory::{Memories, Memory},
    threads::Threads,
    turns::Turns,
};
use crate::{credentials::normalized, metrics::AuthMetrics};

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
    turns: Turns,
    threads: Threads,
    memories: Memories,
    metrics: AuthMetrics,
}

/// How a password stands to a stored hash.
#[derive(Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is another one.
    Wrong,
    /// It is this one.
    Right,
    /// It is this one, and the stored hash is of the form in which it was typed.
    RightAsTyped {
        /// The hash that belongs in the stored one's place, so that every form of it is right.
        renewed: String,
    },
}

/// One run of Argon2id that may be made now.
#[derive(Debug)]
pub struct Turn {
    passwords: Passwords,
    turn: turns::Turn,
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
        Ok(Self {
            parameters: settings.parameters.clone(),
            nobody: nobody.into(),
            turns: Turns::new(settings.concurrency, settings.queue),
            threads: Threads::start(settings.concurrency)
                .map_err(|error| HashError::Failed(format!("no thread: {error}")))?,
            memories: Memories::default(),
            metrics,
        })
    }

    /// Waits for a turn, behind the other requests of the same address only.
    ///
    /// # Errors
    ///
    /// Too many wait.
    pub async fn turn(&self, asker: Asker) -> Result<Turn, HashError> {
        let _waiting = self.metrics.waiting();
        let turn = self.turns.next(asker).await.ok_or(HashError::Busy)?;
        Ok(Turn {
            passwords: self.clone(),
            turn,
        })
    }

    fn work_in_memory<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memories.take();
        let outcome = work(&mut memory);
        self.memories.keep(memory);
        if self.turns.waiting() == 0 {
            self.memories.release();
        }
        outcome
    }
}

impl Turn {
    /// The PHC string of a password, with a salt of its own.
    ///
    /// # Errors
    ///
    /// The run failed.
    pub async fn hash(
        self,
        password: Secret<String>,
        trace: Option<&TraceHandle>,
    ) -> Result<String, HashError> {
        let parameters = self.passwords.parameters.clone();
        self.run("hash", trace, move |memory| {
            hash::make(&parameters, password.expose().as_bytes(), memory)
        })
        .await
    }

    /// Whether the password belongs to the stored hash. Without a stored hash the answer is no,
    /// after the same work. A password that was typed in another form than the hashed one takes a
    /// second run, whoever has it: hashes of before passwords were normalised are of what was typed.
    ///
    /// # Errors
    ///
    /// The run failed, or the stored hash cannot be read.
    pub async fn verify(
        self,
        password: Secret<String>,
        stored: Option<String>,
        trace: Option<&TraceHandle>,
    ) -> Result<Verified, HashError> {
        let nobody = Arc::clone(&self.passwords.nobody);
        let parameters = self.passwords.parameters.clone();
        self.run("verify", trace, move |memory| {
            let exists = stored.is_some();
            let hash = stored.as_deref().unwrap_or(&nobody);
            let normal = normalized(&password);
            if hash::matches(hash, normal.expose().as_bytes(), memory)? {
                return Ok(if exists {
                    Verified::Right
                } else {
                    Verified::Wrong
                });
            }
            let typed = password.expose();
            if normal.expose() == typed
                || !hash::matches(hash, typed.as_bytes(), memory)?
                || !exists
            {
                return Ok(Verified::Wrong);
            }
            let renewed = hash::make(&parameters, normal.expose().as_bytes(), memory)?;
            Ok(Verified::RightAsTyped { renewed })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        self,
        operation: &'static str,
        trace: Option<&TraceHandle>,
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordHashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let mut span = trace.map(|trace| {
            trace.child(
                format!("{operation} password"),
                SpanKind::Internal,
                Vec::new(),
            )
        });
        let Self { passwords, turn } = self;
        let threads = passwords.threads.clone();
        let run = threads.run(move || {
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
}

/// How long a caller who was turned away should stay away.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use shared::{
        network::Network,
        telemetry::{Identity, metrics::Metrics},
    };

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

    const ASKER: Asker = Asker {
        kind: Kind::Login,
        network: Network::LOCAL,
    };

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn the_hash_is_a_phc_string_that_verifies_and_has_its_own_salt() {
        let (passwords, _) = passwords(1, 1);
        let hash = async || {
            let turn = passwords.turn(ASKER).await.unwrap();
            turn.hash(secret("correct horse"), None).await.unwrap()
        };
        let (hash, again) = (hash().await, hash().await);
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, again);
        let verify = async |password| {
            let turn = passwords.turn(ASKER).await.unwrap();
            let verified = turn.verify(secret(password), Some(hash.clone()), None);
            verified.await.unwrap()
        };
        assert_eq!(verify("correct horse").await, Verified::Right);
        assert_eq!(verify("battery staple").await, Verified::Wrong);
    }

    #[tokio::test]
    async fn a_user_who_does_not_exist_costs_one_run_too_and_is_refused() {
        let (passwords, metrics) = passwords(1, 1);
        let turn = passwords.turn(ASKER).await.unwrap();
        let verified = turn.verify(secret("anything"), None, None).await;
        assert_eq!(verified.unwrap(), Verified::Wrong);
        let all = Metrics::new(&Identity {
            service: "test".into(),
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
        let turn = passwords.turn(ASKER).await.unwrap();
        let stored = Some("plain text".to_owned());
        let outcome = turn.verify(secret("anything"), stored, None).await;
        assert!(matches!(outcome, Err(HashError::Failed(_))));
    }

    #[tokio::test]
    async fn whoever_comes_after_the_queue_is_full_is_turned_away() {
        let (passwords, _) = passwords(1, 1);
        let running = passwords.turn(ASKER).await.unwrap();
        let mut waiting = Box::pin(passwords.turn(ASKER));
        let polled = futures_poll(&mut waiting).await;
        assert!(polled.is_none(), "the second waits");
        let third = passwords.turn(ASKER).await;
        assert!(matches!(third, Err(HashError::Busy)));
        drop(running);
        assert!(waiting.await.is_ok(), "the second gets its turn");
    }

    #[tokio::test]
    async fn memory_is_handed_on_while_somebody_waits_and_given_back_at_the_end() {
        let (passwords, _) = passwords(1, 4);
        let running = passwords.turn(ASKER).await.unwrap();
        let mut waiting = Box::pin(async {
            let turn = passwords.turn(ASKER).await.unwrap();
            turn.hash(secret("second"), None).await
        });
        assert!(futures_poll(&mut waiting).await.is_none(), "it waits");
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
