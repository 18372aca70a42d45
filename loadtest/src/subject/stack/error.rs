//! Why a stack could not be started or handled.

use std::{process::ExitStatus, time::Duration};

use crate::subject::strategy::KNOWN_STRATEGIES;

/// The system could not be started or one of its processes could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// One of our own programs is not there.
    #[error(
        "{name} was not found in {looked_in}: build it with `cargo build --workspace --bins`, or say with --bin-dir where it is"
    )]
    MissingProgram {
        /// Which program.
        name: &'static str,
        /// Where it was looked for.
        looked_in: String,
    },
    /// No Redis to start.
    #[error(
        "neither redis-server nor valkey-server is in PATH: install one (apt-get install redis-server, dnf install valkey, brew install redis), or use one that runs with --redis-url redis://HOST:PORT"
    )]
    MissingRedis,
    /// The Redis that was named cannot be used.
    #[error("the Redis at {address} cannot be used: {source}")]
    Redis {
        /// Host and port.
        address: String,
        /// Why not.
        source: redis::RedisError,
    },
    /// No PostgreSQL to start.
    #[error(
        "postgres and initdb are neither in PATH nor below /usr/lib/postgresql: install PostgreSQL (apt-get install postgresql, dnf install postgresql-server, brew install postgresql)"
    )]
    MissingPostgres,
    /// Each auth service would have users and keys of its own.
    #[error("{0} auth services need a database that they share: a PostgreSQL")]
    NoSharedUsers(usize),
    /// A process ended while it was expected to become ready.
    #[error("{name} ended at start with {status}; its log is {log} and ends with:\n{tail}")]
    Died {
        /// Which process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: String,
        /// The last lines of its log.
        tail: String,
    },
    /// A process did not become ready in time.
    #[error(
        "{name} was not ready within {deadline:?} ({reason}); its log is {log} and ends with:\n{tail}"
    )]
    NotReady {
        /// Which process.
        name: String,
        /// How long it was waited for.
        deadline: Duration,
        /// What it said last.
        reason: String,
        /// Its log file.
        log: String,
        /// The last lines of its log.
        tail: String,
    },
    /// No pool can be made for it.
    #[error("{0:?} is not a strategy; known are {known}", known = KNOWN_STRATEGIES.join(", "))]
    UnknownStrategy(String),
    /// There is no process of this name.
    #[error("there is no process called {0:?} in this stack")]
    UnknownProcess(String),
    /// The start was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// The operating system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl StackError {
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
