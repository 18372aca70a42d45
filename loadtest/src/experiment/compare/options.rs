//! What is asked of a comparison, and why it could not be done.

use std::time::Duration;

use url::Url;

use super::ArmSpec;
use crate::{
    instrument::{machine::MachineError, selfcheck::SelfCheckError},
    load::EngineError,
    subject::{
        found::SubjectError,
        login::LoginError,
        mix::Mix,
        stack::{StackError, StackOptions},
        strategy::KNOWN_STRATEGIES,
        usage::UsageError,
    },
    thresholds::Threshold,
};

/// What is compared, and how thoroughly.
#[derive(Clone)]
pub struct CompareOptions {
    /// The system that is started, unless one runs: then its Redis is the running system's. Its
    /// strategies are not looked at. Cancelling its interrupt ends the comparison early.
    pub stack: StackOptions,
    /// What is compared; the first is the baseline.
    pub arms: Vec<ArmSpec>,
    /// The short form, below two minutes.
    pub quick: bool,
    /// One rate in place of shares of the highest one, which are then not searched for.
    pub rate: Option<f64>,
    /// How many blocks.
    pub rounds: Rounds,
    /// Logins whose credentials are presented in turn, each a curve of its own; empty: as suits the
    /// form.
    pub working_sets: Vec<u32>,
    /// What is requested, each mixture a curve of its own.
    pub mixes: Vec<Mix>,
    /// Connections of the generator to each arm.
    pub connections: usize,
    /// Connections up to which it may grow; without it, the pool is fixed.
    pub max_connections: Option<usize>,
    /// Threads of the generator.
    pub generator_threads: usize,
    /// Whether parts of the system are taken away too, in a system of its own.
    pub faults: bool,
    /// Revocations per strategy whose lag is measured; without it, as many as suit the form.
    pub revocations: Option<u32>,
    /// A system that runs; without it, one is started.
    pub gateway: Option<Url>,
    /// Where the running system's gateway has `/pools` and `/metrics`.
    pub gateway_admin: Option<Url>,
    /// Name and password of an administrator of the running system, who may ban and change roles.
    pub administrator: Option<(String, String)>,
    /// Conditions under which the run has failed; see [`super::known`].
    pub thresholds: Vec<Threshold>,
    /// Where all randomness begins.
    pub seed: u64,
}

impl CompareOptions {
    /// Whether a usual password hash would make the many logins that are needed take too long. A
    /// system that runs is as it is.
    pub(super) fn hashes_cheaply(&self) -> bool {
        const MANY: u32 = 200;
        self.gateway.is_none()
            && (self.mixes.iter().any(Mix::logs_in)
                || self.working_sets.iter().any(|users| *users > MANY))
    }
}

/// How many blocks are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rounds {
    /// As suits the form.
    Usual,
    /// So many.
    Fixed(u32),
    /// Until every headline row would show a ratio of `detect`, or `at_most` has passed.
    Auto {
        /// Ratio above 1.
        detect: f64,
        /// Time for the blocks.
        at_most: Duration,
    },
}

/// The comparison could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Nobody knows how to log in for it.
    #[error("{0:?} is not a strategy; known are {known}", known = KNOWN_STRATEGIES.join(", "))]
    UnknownStrategy(String),
    /// Two arms cannot be told apart by their names.
    #[error("two arms are called {0:?}; give each a name of its own")]
    Twice(String),
    /// It would be taken for the repetition of the baseline.
    #[error("{0:?} is what the repetition of the baseline is called; the arm needs another name")]
    Reserved(String),
    /// There is nothing to compare.
    #[error("at least one arm is needed")]
    NoArm,
    /// A running system was named together with an arm that has to be started.
    #[error(
        "{0:?} has a build or variables of its own, and so cannot be in a system that runs already (--gateway)"
    )]
    NotStarted(String),
    /// Only the endpoints of our own services are known.
    #[error(
        "{0:?} is a server at a url, of which only GET is known: a mixture of requests needs a strategy that is started or found"
    )]
    NoMix(String),
    /// The stack did not start or could not be handled.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The system could not be reached.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No users, no load.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The counters could not be read.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The generator could not be checked.
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
    /// What else the machine does is not told.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// An arm answered nothing at all.
    #[error("{arm} answered no request with 2xx; what came was: {came}")]
    NoAnswer {
        /// Which one.
        arm: String,
        /// Outcomes by kind.
        came: String,
    },
    /// It was ended early.
    #[error("interrupted")]
    Interrupted,
}

impl CompareError {
    /// Whether what was asked for makes no sense, so that nothing was measured.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownStrategy(_)
                | Self::Twice(_)
                | Self::Reserved(_)
                | Self::NoArm
                | Self::NotStarted(_)
                | Self::NoMix(_)
                | Self::Stack(StackError::MissingProgram { .. })
        )
    }
}
