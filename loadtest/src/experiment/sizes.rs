//! What each strategy costs over the size of what is carried: roles of the user, in a token or in the
//! record of a session; data of the login, in that record or sealed in a header. And where what is
//! carried becomes too large for whom.
//!
//! The order: users get their roles from the auth service, which signs the tokens; logins get their data
//! through the API · what cannot be carried is noted with who refused it, and the largest that a token
//! carries is looked for · how large a head each part takes · blocks, each of which visits every size in a random order and every strategy at it in a random
//! order · what follows from them.

mod bench;
mod blocks;
mod carry;
mod cart;
mod evaluate;
mod limits;
mod size;

use std::time::{Duration, Instant, SystemTime};

use crate::{
    experiment::error::ExperimentError,
    instrument::{
        environment,
        gates::{self, Evidence},
        selfcheck,
    },
    progress::Progress,
    report,
    results::{Carried, Origin, Results, Sizes, Validity},
    subject::{
        login,
        stack::{self, StackOptions},
    },
};
use bench::Bench;
use evaluate::Evaluation;
use size::Size;

/// A later answer counts as failed.
const DEADLINE: Duration = Duration::from_secs(2);

/// What is measured, and how thoroughly.
#[derive(Clone)]
pub struct SizesOptions {
    /// The system that is started, with its strategies. Cancelling its interrupt ends the experiment with
    /// [`ExperimentError::Interrupted`].
    pub stack: StackOptions,
    /// Numbers of roles, ascending.
    pub roles: Vec<u32>,
    /// Sizes of the data of a login in bytes, ascending.
    pub records: Vec<u64>,
    /// Whether requests that need none of the data are measured as well.
    pub unread: bool,
    /// Requests per second, of one strategy and size at a time.
    pub rate: f64,
    /// Logins of each strategy and size; their credentials are presented in turn.
    pub logins: usize,
    /// How often every strategy meets every size.
    pub blocks: u32,
    /// Not measured, at the begin of each window.
    pub warmup: Duration,
    /// Measured length of one window.
    pub window: Duration,
    /// Whether all processes are restarted between blocks.
    pub restarts: bool,
    /// Time for checking the generator.
    pub self_check: Duration,
    /// The short form.
    pub quick: bool,
    /// Where all randomness begins.
    pub seed: u64,
}

impl SizesOptions {
    /// As long as needed.
    #[must_use]
    pub fn thorough(stack: StackOptions, roles: Vec<u32>, records: Vec<u64>, seed: u64) -> Self {
        Self {
            stack,
            roles,
            records,
            unread: true,
            rate: 1_000.0,
            logins: 16,
            blocks: 6,
            warmup: Duration::from_millis(300),
            window: Duration::from_secs(2),
            restarts: true,
            self_check: Duration::from_secs(3),
            quick: false,
            seed,
        }
    }

    /// Below three minutes for four strategies and three sizes of each kind.
    #[must_use]
    pub fn quick(stack: StackOptions, roles: Vec<u32>, records: Vec<u64>, seed: u64) -> Self {
        Self {
            unread: false,
            logins: 8,
            blocks: 5,
            warmup: Duration::from_millis(200),
            window: Duration::from_millis(800),
            restarts: false,
            self_check: Duration::from_millis(1_500),
            quick: true,
            ..Self::thorough(stack, roles, records, seed)
        }
    }

    /// How long all of it takes, about.
    #[must_use]
    pub fn expected(&self) -> Duration {
        const BEFORE: Duration = Duration::from_secs(14);
        const BETWEEN: Duration = Duration::from_millis(100);
        const RESTART: Duration = Duration::from_secs(6);
        // With the largest data that a token carries.
        let windows = (self.sizes().len() + 1) * self.stack.strategies.len();
        let window = self.warmup + self.window + BETWEEN;
        let restart = if self.restarts {
            RESTART
        } else {
            Duration::ZERO
        };
        let block = window * u32::try_from(windows).unwrap_or(u32::MAX) + restart;
        BEFORE + self.self_check + block * self.blocks
    }

    /// Everything that is to be carried, by kind and ascending.
    fn sizes(&self) -> Vec<Size> {
        let mut sizes: Vec<Size> = self.roles.iter().copied().map(Size::Roles).collect();
        let records = || self.records.iter().copied();
        sizes.extend(records().map(|bytes| Size::Record(bytes, Carried::Record)));
        if self.unread {
            sizes.extend(records().map(|bytes| Size::Record(bytes, Carried::RecordUnread)));
        }
        sizes
    }

    fn left_out(&self) -> Vec<String> {
        let mut left_out = vec![login::CHEAP_HASHING_NOTE.to_owned()];
        if !self.unread && !self.records.is_empty() {
            left_out.push("Requests that need none of the data of their login.".to_owned());
        }
        if !self.restarts {
            left_out.push(stack::NO_RESTARTS_NOTE.to_owned());
        }
        left_out
    }
}

/// Measures, and returns what was found.
///
/// # Errors
///
/// The system or the generator failed, or the experiment was interrupted. A size that is refused is a
/// result and not an error.
pub fn run(options: &SizesOptions, progress: &Progress) -> Result<Results, ExperimentError> {
    ExperimentError::or_interrupted(measure(options, progress), &options.stack.interrupt)
}

fn measure(options: &SizesOptions, progress: &Progress) -> Result<Results, ExperimentError> {
    let (began, started_at) = (Instant::now(), SystemTime::now());
    let at_rest = gates::at_rest(progress)?;
    let mut environment = environment::read(Origin::Started);
    progress.step("checking the load generator against a target of known latency");
    let self_check = selfcheck::run(options.self_check, options.seed, &options.stack.interrupt)?;
    progress.step("starting the system, and giving users their roles and logins their data");
    let mut bench = Bench::start(options)?;
    environment.facts.extend(bench.facts());
    environment.redis_version = bench.redis_version();
    progress.step("looking how large a head each part takes");
    let limits = limits::of(bench.stack());
    let blocks = blocks::measure(&mut bench, progress)?;
    let plan = bench.plan();
    let evaluation = Evaluation {
        arms: bench.arms(),
        blocks: &blocks,
        seed: options.seed,
    };
    let sizes = Sizes {
        rate_per_second: options.rate,
        points: evaluation.points(),
        break_even: evaluation.break_even(),
        refused: bench.refused().to_vec(),
        limits,
    };
    let gates = gates::of(&Evidence {
        origin: Origin::Started,
        self_check: Some(self_check.clone()),
        points: evaluation.evidence(),
        at_rest: Some(at_rest),
        during: Some(blocks.during.clone()),
        ended_by: None,
    });
    bench.end();
    let mut results = Results {
        self_check: Some(self_check),
        sizes: Some(sizes),
        validity: Validity::of(&gates, false),
        gates,
        ..Results::of(started_at, environment, plan)
    };
    results.duration_seconds = began.elapsed().as_secs_f64();
    results.findings = report::findings(&results);
    Ok(results)
}
