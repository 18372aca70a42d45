//! `loadtest compare`: the strategies of one system against each other, on the same machine, in
//! turn, at the same rates.
//!
//! The order: self-check of the generator · real users log in · closed-loop probe · ABBA rounds at
//! one common rate · highest rate of each · faults. What is said of a difference rests on the ABBA
//! rounds only.

pub mod across;
mod capacities;
mod differences;
mod gates;
mod rounds;
mod totals;

use std::time::{Duration, Instant, SystemTime};

use url::Url;

use crate::{
    experiment::coupling::CouplingError,
    experiment::freshness::{self, FreshnessError, FreshnessOptions},
    instrument::selfcheck::{self, SelfCheckError},
    load::{Arm, Arrivals, EngineError, Load, Options},
    progress::Progress,
    report,
    results::v2::{Freshness, Plan, Results, RevocationKind, SCHEMA_VERSION, Tool, Validity},
    subject::login::{Credential, LoginError, Users},
    subject::stack::{StackError, StackOptions},
    subject::strategy::KNOWN_STRATEGIES,
    subject::usage::UsageError,
};
use crate::{instrument::environment, subject::found::Subject};
use rounds::Rounds;

/// What is compared, and how thoroughly.
#[derive(Clone)]
pub struct CompareOptions {
    /// The system that is started, unless one runs: then its strategies are those to compare, and
    /// its Redis is the running system's. The first strategy is the baseline. Cancelling its
    /// interrupt ends the comparison early.
    pub stack: StackOptions,
    /// The short form, below two minutes.
    pub quick: bool,
    /// Rate of the ABBA rounds; without it, a quarter of what the slower strategy answers in a closed
    /// loop.
    pub rate: Option<f64>,
    /// Revocations per strategy whose lag is measured; without it, as many as suit the form.
    pub revocations: Option<u32>,
    /// A system that runs; without it, a stack is started.
    pub gateway: Option<Url>,
    /// Where the running system's gateway has `/pools` and `/metrics`.
    pub gateway_admin: Option<String>,
    /// Where all randomness begins.
    pub seed: u64,
}

/// The comparison could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Nobody knows how to log in for it.
    #[error("{0:?} is not a strategy; known are {known}", known = KNOWN_STRATEGIES.join(", "))]
    UnknownStrategy(String),
    /// A strategy cannot be compared with itself: its processes are found by its name.
    #[error("--strategy {0} was given twice")]
    Twice(String),
    /// The stack did not start or could not be handled.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The system could not be reached.
    #[error(transparent)]
    Subject(#[from] crate::subject::found::SubjectError),
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
    /// The faults could not be made.
    #[error("the faults: {0}")]
    Coupling(#[from] CouplingError),
    /// The revocation lags could not be measured.
    #[error("freshness: {0}")]
    Freshness(#[from] FreshnessError),
    /// A strategy answered nothing at all.
    #[error("{strategy} answered no request with 2xx; what came was: {came}")]
    NoAnswer {
        /// Which one.
        strategy: String,
        /// Outcomes by kind.
        came: String,
    },
    /// It was ended early.
    #[error("interrupted")]
    Interrupted,
}

/// How long each part takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    self_check: Duration,
    users: usize,
    probe: Duration,
    blocks: u32,
    warmup: Duration,
    window: Duration,
    capacity_steps: usize,
    capacity_warmup: Duration,
    capacity_window: Duration,
}

const QUICK: Pace = Pace {
    self_check: Duration::from_secs(3),
    users: 8,
    probe: Duration::from_millis(1_500),
    blocks: 3,
    warmup: Duration::from_millis(500),
    window: Duration::from_secs(2),
    capacity_steps: 6,
    capacity_warmup: Duration::from_millis(300),
    capacity_window: Duration::from_millis(1_700),
};

const THOROUGH: Pace = Pace {
    self_check: Duration::from_secs(6),
    users: 32,
    probe: Duration::from_secs(4),
    blocks: 8,
    warmup: Duration::from_secs(1),
    window: Duration::from_secs(8),
    capacity_steps: 10,
    capacity_warmup: Duration::from_secs(1),
    capacity_window: Duration::from_secs(4),
};

/// Connections of the closed loop: enough to keep two replicas busy, few enough to keep queues short.
const PROBE_CONNECTIONS: usize = 32;
/// Connections that the open loop begins with and may grow to.
const CONNECTIONS: usize = 32;
const MAX_CONNECTIONS: usize = 512;
/// A later answer counts as failed.
const DEADLINE: Duration = Duration::from_secs(2);
/// Share of the slower strategy's closed-loop rate at which the strategies are compared. A closed
/// loop batches its requests and so needs less CPU for each than an open one; half of its rate
/// overloads two cores that the generator shares with the system.
const DEFAULT_LOAD: f64 = 0.25;

/// Compares, and returns what was found.
///
/// # Errors
///
/// The system or the generator failed, or the comparison was interrupted. A system that answers
/// badly is a result and not an error, unless it answers nothing at all.
pub fn run(options: &CompareOptions) -> Result<Results, CompareError> {
    for (index, strategy) in options.stack.strategies.iter().enumerate() {
        if Credential::of(strategy).is_none() {
            return Err(CompareError::UnknownStrategy(strategy.clone()));
        }
        if options.stack.strategies[..index].contains(strategy) {
            return Err(CompareError::Twice(strategy.clone()));
        }
    }
    let result = Comparison::begin(options).and_then(Comparison::finish);
    match result {
        // Whatever broke, broke because the signal reached the children too.
        Err(_) if options.stack.interrupt.is_cancelled() => Err(CompareError::Interrupted),
        result => result,
    }
}

/// A comparison in progress.
struct Comparison<'a> {
    options: &'a CompareOptions,
    pace: Pace,
    progress: Progress,
    started: Instant,
    started_at: SystemTime,
    environment: crate::results::v2::Environment,
    subject: Subject,
    users: Users,
}

impl<'a> Comparison<'a> {
    fn begin(options: &'a CompareOptions) -> Result<Self, CompareError> {
        let pace = if options.quick { QUICK } else { THOROUGH };
        let progress = Progress::start(expected(options, &pace));
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let environment = environment::read(options.gateway.is_some());
        progress.step("starting the system");
        let subject = Subject::reach(
            &options.stack,
            options.gateway.as_ref(),
            options.gateway_admin.as_deref(),
        )?;
        progress.step("registering users");
        let users = Users::register(&subject.gateway, pace.users)?;
        Ok(Self {
            options,
            pace,
            progress,
            started,
            started_at,
            environment,
            subject,
            users,
        })
    }

    fn finish(mut self) -> Result<Results, CompareError> {
        self.progress
            .step("checking the load generator against a target of known latency");
        let seed = self.options.seed;
        let self_check = selfcheck::run(self.pace.self_check, seed, &self.options.stack.interrupt)?;
        let idle_memory = self.subject.meter.read()?.memory();
        let mut arms = self.arms()?;

        self.progress.step("probing each strategy in a closed loop");
        let closed_loop = self.probe(&arms)?;
        let slower = closed_loop.iter().copied().fold(f64::INFINITY, f64::min);
        let rate = self
            .options
            .rate
            .unwrap_or((slower * DEFAULT_LOAD).round().max(1.0));

        let rounds = Rounds::measure(&mut self, &arms, rate)?;
        arms = self.arms()?;
        let (highest, peak_memory) = capacities::find(&mut self, &arms, &closed_loop)?;
        // Of a form of its own since version 3; this comparison still writes version 2.
        let coupling = None;
        let left_out = Some("Faults are made by `loadtest coupling`.".to_owned());

        let comparisons = differences::of(&rounds, &self.options.stack.strategies, seed);
        let gates = gates::of(&self_check, &rounds, &comparisons);
        let plan = self.plan(rate);
        let strategies = rounds.strategies(&closed_loop, highest);
        self.environment.redis_version = self.subject.meter.redis_version();
        self.subject.end();
        let (freshness, unmeasured) = measure_freshness(self.options, &self.progress)?;
        let mut results = Results {
            schema_version: SCHEMA_VERSION,
            tool: tool(),
            started_at: humantime::format_rfc3339_seconds(self.started_at).to_string(),
            duration_seconds: self.started.elapsed().as_secs_f64(),
            environment: self.environment,
            plan,
            self_check: Some(self_check),
            strategies,
            memory: capacities::memory(&idle_memory, &peak_memory),
            rounds: rounds.rounds,
            comparisons,
            coupling,
            freshness,
            validity: Validity::of(&gates),
            gates,
            findings: Vec::new(),
        };
        results.findings = report::findings(&results);
        results
            .findings
            .extend(left_out.into_iter().chain(unmeasured));
        self.progress.finish();
        Ok(results)
    }

    /// One arm per strategy, with every user freshly logged in: tokens are short-lived.
    fn arms(&self) -> Result<Vec<Arm>, CompareError> {
        let arm = |strategy: &String| {
            let credential = Credential::of(strategy)
                .ok_or_else(|| CompareError::UnknownStrategy(strategy.clone()))?;
            Ok(Arm {
                name: strategy.clone(),
                url: self.subject.url(strategy),
                variants: self.users.log_in(credential)?,
                load: Load::Closed {
                    connections: PROBE_CONNECTIONS,
                },
            })
        };
        self.options.stack.strategies.iter().map(arm).collect()
    }

    /// Answers per second of each strategy with every connection busy.
    fn probe(&mut self, arms: &[Arm]) -> Result<Vec<f64>, CompareError> {
        let mut found = Vec::new();
        for arm in arms {
            let options = self.engine(self.options.seed, self.pace.probe / 3, self.pace.probe);
            let outcome = &self.drive(options, arm.clone())?.arms[0];
            if outcome.good() == 0 {
                let came: Vec<String> = outcome
                    .outcomes
                    .iter()
                    .map(|(kind, count)| format!("{kind} × {count}"))
                    .collect();
                return Err(CompareError::NoAnswer {
                    strategy: arm.name.clone(),
                    came: came.join(", "),
                });
            }
            found.push(outcome.achieved_per_second());
        }
        Ok(found)
    }

    /// What all runs of the engine have in common.
    fn engine(&self, seed: u64, warmup: Duration, duration: Duration) -> Options {
        Options {
            duration,
            warmup,
            deadline: DEADLINE,
            connections: CONNECTIONS,
            max_connections: MAX_CONNECTIONS,
            seed,
            interrupt: self.options.stack.interrupt.clone(),
            ..Options::default()
        }
    }

    fn drive(
        &self,
        options: Options,
        arm: Arm,
    ) -> Result<crate::load::EngineOutcome, CompareError> {
        let outcome = crate::load::run(options, vec![arm])?;
        self.progress.tick();
        if outcome.interrupted {
            return Err(CompareError::Interrupted);
        }
        Ok(outcome)
    }

    fn plan(&self, rate: f64) -> Plan {
        let options = self.options;
        let first = options.stack.strategies.first().map_or("", String::as_str);
        Plan {
            strategies: options.stack.strategies.clone(),
            quick: options.quick,
            replicas: u32::try_from(self.subject.replicas(first, options.stack.replicas))
                .unwrap_or(0),
            seed: options.seed,
            rate_per_second: rate,
            rate_chosen_by: match options.rate {
                Some(_) => "--rate".to_owned(),
                None => format!(
                    "{:.0} % of the slower strategy's closed loop",
                    DEFAULT_LOAD * 100.0
                ),
            },
            connections: MAX_CONNECTIONS as u32,
            users: self.pace.users as u32,
            rounds: self.pace.blocks,
            window_seconds: self.pace.window.as_secs_f64(),
            warmup_seconds: self.pace.warmup.as_secs_f64(),
            deadline_ms: DEADLINE.as_millis() as u64,
        }
    }
}

/// In a system of its own, whose tokens are short-lived. A system that was found has no such tokens,
/// and its administrator is not known here. A failure is told and does not undo what was measured.
fn measure_freshness(
    options: &CompareOptions,
    progress: &Progress,
) -> Result<(Option<Freshness>, Option<String>), CompareError> {
    let Some(wanted) = freshness_options(options) else {
        return Ok((None, None));
    };
    match freshness::run(&wanted, progress) {
        Ok(found) => Ok((Some(found), None)),
        Err(error) if options.stack.interrupt.is_cancelled() => Err(error.into()),
        Err(error) => {
            let why = format!("The revocation lags could not be measured: {error}.");
            Ok((None, Some(why)))
        }
    }
}

fn freshness_options(options: &CompareOptions) -> Option<FreshnessOptions> {
    let usual = if options.quick {
        freshness::QUICK_REVOCATIONS
    } else {
        freshness::REVOCATIONS
    };
    let revocations = options.revocations.unwrap_or(usual);
    (options.gateway.is_none() && revocations > 0).then(|| FreshnessOptions {
        stack: options.stack.clone(),
        revocations,
        kinds: if options.quick {
            vec![RevocationKind::Logout]
        } else {
            RevocationKind::ALL.to_vec()
        },
        quick: options.quick,
        seed: options.seed,
    })
}

/// The same requests in an open loop.
fn open(arm: &Arm, rate: f64) -> Arm {
    Arm {
        load: Load::Open {
            rate,
            arrivals: Arrivals::Poisson,
        },
        ..arm.clone()
    }
}

fn tool() -> Tool {
    Tool {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
        .to_owned(),
    }
}

/// For the progress bar.
fn expected(options: &CompareOptions, pace: &Pace) -> Duration {
    let strategies = u32::try_from(options.stack.strategies.len()).unwrap_or(1);
    let probes = pace.probe * 4 / 3 * strategies;
    let windows = (pace.warmup + pace.window) * 2 * pace.blocks * strategies;
    let step = pace.capacity_warmup + pace.capacity_window;
    let capacities = step * pace.capacity_steps as u32 * strategies;
    let lags = freshness_options(options).map_or(Duration::ZERO, |one| freshness::expected(&one));
    Duration::from_secs(8) + pace.self_check + probes + windows + capacities + lags
}
