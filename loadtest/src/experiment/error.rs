//! Why an experiment in a system of its own could not be done.

use tokio_util::sync::CancellationToken;

use crate::{
    instrument::{machine::MachineError, selfcheck::SelfCheckError},
    load::EngineError,
    subject::{
        found::SubjectError, login::LoginError, slices::SliceError, stack::StackError,
        strategy::Strategy, usage::UsageError,
    },
};

/// It could not be done. How the system answers is never this.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// There is no such strategy.
    #[error("{0:?} is not a strategy")]
    UnknownStrategy(String),
    /// The stack did not start.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// No users.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system did not start, or its counters cannot be read.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The counters could not be read.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The generator could not be checked.
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
    /// A process cannot be given its CPU limit.
    #[error(transparent)]
    Slice(#[from] SliceError),
    /// Nothing was answered at all.
    #[error("{what} answered no request with 2xx; what came was: {came}")]
    NoAnswer {
        /// What was asked.
        what: String,
        /// Outcomes by kind.
        came: String,
    },
    /// A process ended while it was measured.
    #[error("{0} ended while it was measured")]
    Ended(String),
    /// A process that was asked to end did not.
    #[error("{name} was asked to end and did not within {waited:.0?}")]
    NoEnd {
        /// Which process.
        name: String,
        /// How long was waited.
        waited: std::time::Duration,
    },
    /// The state of the machine cannot be read.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The operating system refused, or a service could not be called.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The administrator may not change users.
    #[error("changing a user as the administrator was answered with {status}")]
    Change {
        /// The answer.
        status: u16,
    },
    /// Nobody was named who may change users of a system that runs.
    #[error(
        "bans and role changes are an administrator's: give AUTH_ADMIN_USERNAME and AUTH_ADMIN_PASSWORD, or --kind logout"
    )]
    NoAdministrator,
    /// What was answered before is refused now.
    #[error("{request} was answered before, and is answered with {status} now")]
    Refused {
        /// Method and path.
        request: String,
        /// The answer.
        status: u16,
    },
    /// It was ended early.
    #[error("interrupted")]
    Interrupted,
}

impl ExperimentError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// Whatever broke after a signal, broke because it reached the children too.
    pub(super) fn or_interrupted<T>(
        result: Result<T, Self>,
        interrupt: &CancellationToken,
    ) -> Result<T, Self> {
        match result {
            Err(_) if interrupt.is_cancelled() => Err(Self::Interrupted),
            result => result,
        }
    }
}

/// The strategy of this name.
pub(super) fn strategy(name: &str) -> Result<Strategy, ExperimentError> {
    Strategy::named(name).ok_or_else(|| ExperimentError::UnknownStrategy(name.to_owned()))
}
