//! What each strategy costs when the store and the auth service stand at a distance from the API: a
//! delay proxy between them, and the same load at one round-trip time after the other.
//!
//! The API and the gateway stand together, and Redis and the auth service do: what crosses the
//! distance is all that the former ask the latter. Without a distance nothing goes through the proxy:
//! each strategy has a second pool beside it, whose links are direct.
//!
//! The order: the proxy measures itself · one system for all strategies · blocks, each of which visits
//! every distance in a random order and every strategy at it in a random order · what follows from them.

mod bench;
mod blocks;
mod evaluate;
mod gates;
mod place;
mod proxy;

use std::time::{Duration, Instant, SystemTime};

use crate::{
    experiment::error::ExperimentError,
    instrument::{environment, selfcheck},
    progress::Progress,
    report,
    results::{Distance, Origin, Results, Validity},
    subject::{
        login,
        stack::{self, StackOptions},
    },
};
use bench::Bench;
use blocks::Blocks;
use evaluate::Evaluation;
use proxy::ProxyCheck;

/// A later answer counts as failed.
const DEADLINE: Duration = Duration::from_secs(2);

/// What is measured, and how thoroughly.
#[derive(Clone)]
pub struct DistanceOptions {
    /// The system that is started, with its strategies. Cancelling its interrupt ends the experiment with
    /// [`ExperimentError::Interrupted`].
    pub stack: StackOptions,
    /// Round-trip times, ascending. At 0 nothing goes through the proxy.
    pub round_trips: Vec<Duration>,
    /// A round-trip time far beyond them; without it, none is measured.
    pub hop: Option<Duration>,
    /// Requests per second, of one strategy at a time.
    pub rate: f64,
    /// Users who log in; their credentials are presented in turn.
    pub users: usize,
    /// How often every strategy meets every distance.
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

impl DistanceOptions {
    /// As long as needed.
    #[must_use]
    pub fn thorough(stack: StackOptions, round_trips: Vec<Duration>, rate: f64, seed: u64) -> Self {
        Self {
            stack,
            round_trips,
            hop: Some(Duration::from_millis(120)),
            rate,
            users: 128,
            blocks: 6,
            warmup: Duration::from_millis(300),
            window: Duration::from_secs(2),
            restarts: true,
            self_check: Duration::from_secs(3),
            quick: false,
            seed,
        }
    }

    /// Below three minutes for five strategies at four distances.
    #[must_use]
    pub fn quick(stack: StackOptions, round_trips: Vec<Duration>, rate: f64, seed: u64) -> Self {
        Self {
            blocks: 4,
            warmup: Duration::from_millis(200),
            window: Duration::from_millis(700),
            restarts: false,
            self_check: Duration::from_millis(1_500),
            quick: true,
            ..Self::thorough(stack, round_trips, rate, seed)
        }
    }

    /// How long all of it takes, about.
    #[must_use]
    pub fn expected(&self) -> Duration {
        const BEFORE: Duration = Duration::from_secs(12);
        const BETWEEN: Duration = Duration::from_millis(150);
        const RESTART: Duration = Duration::from_secs(5);
        let distances = self.round_trips.len() + usize::from(self.hop.is_some());
        let windows = distances * self.stack.strategies.len() + 1;
        let window = self.warmup + self.window + BETWEEN;
        let block = window * u32::try_from(windows).unwrap_or(u32::MAX)
            + if self.restarts {
                RESTART
            } else {
                Duration::ZERO
            };
        BEFORE + self.self_check + block * self.blocks
    }

    fn left_out(&self) -> Vec<String> {
        let mut left_out = vec![login::CHEAP_HASHING_NOTE.to_owned()];
        if !self.restarts {
            left_out.push(stack::NO_RESTARTS_NOTE.to_owned());
        }
        left_out
    }
}

/// Measures, and returns what was found. Where the proxy or the generator is the limit, nothing is
/// measured, and the results say why.
///
/// # Errors
///
/// The system or the generator failed, or the experiment was interrupted. A system that answers badly
/// is a result and not an error.
pub fn run(options: &DistanceOptions, progress: &Progress) -> Result<Results, ExperimentError> {
    ExperimentError::or_interrupted(measure(options, progress), &options.stack.interrupt)
}

fn measure(options: &DistanceOptions, progress: &Progress) -> Result<Results, ExperimentError> {
    let (began, started_at) = (Instant::now(), SystemTime::now());
    let at_rest = crate::instrument::gates::at_rest(progress)?;
    let mut environment = environment::read(Origin::Started);
    progress.step("checking the load generator against a target of known latency");
    let self_check = selfcheck::run(options.self_check, options.seed, &options.stack.interrupt)?;
    progress.step("measuring the delay proxy");
    let proxy = ProxyCheck::measure(options)?;
    progress.step("starting the system");
    let mut bench = Bench::start(options, proxy.calibration)?;
    environment.facts.extend(bench.facts());
    environment.redis_version = bench.redis_version();
    progress.step("the highest rates, past the proxy and through it");
    let highest = bench.highest()?;
    let mut gates = gates::of_proxy(options, &proxy, &highest);
    let blocks = match gates.iter().all(|gate| gate.passed) {
        true => blocks::measure(&mut bench, progress)?,
        false => Blocks::default(),
    };
    let plan = bench.plan(blocks.count());
    bench.end();

    let evaluation = Evaluation {
        options,
        blocks: &blocks,
    };
    gates.extend(gates::of_run(&evaluation, at_rest, self_check.clone()));
    let slopes = evaluation.slopes();
    let mut results = Results {
        self_check: Some(self_check),
        distance: Some(Distance {
            rate_per_second: options.rate,
            proxy: evaluation.proxy(&proxy, highest),
            points: evaluation.points(),
            break_even: evaluation.break_even(),
            hop: evaluation.hop(&slopes),
            slopes,
        }),
        validity: Validity::of(&gates, false),
        gates,
        ..Results::of(started_at, environment, plan)
    };
    results.duration_seconds = began.elapsed().as_secs_f64();
    results.findings = report::findings(&results);
    Ok(results)
}

/// The strategy whose throughput is measured through the proxy and past it: one that asks on each
/// request.
fn asking(strategies: &[String]) -> usize {
    let asks = ["session", "introspection"];
    asks.iter()
        .find_map(|name| strategies.iter().position(|one| one == name))
        .unwrap_or_default()
}
