//! What each strategy is coupled to: the parts of a system are broken one after the other, several
//! times in a random order, under an open load, and the answers are watched.
//!
//! The system is one of its own, because every link between its parts leads through a proxy that can
//! hold it back: what is compared elsewhere does not go that way. The fault that outlasts the tokens is
//! made in a second one, whose tokens are short-lived.

mod cells;
mod clients;
mod go;
mod outlasting;
mod predicted;
mod replicas;
mod window;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    disturb::{
        fault::{Fault, FaultError, Pass},
        links::Links,
        proxy::{self, Proxies},
    },
    load::EngineError,
    progress::Progress,
    results::coupling::{Coupling, FaultInfo, Form, ProxyError},
    stats::random::Random,
    subject::{
        login::LoginError,
        stack::{Stack, StackError, StackOptions},
        strategy::KNOWN_STRATEGIES,
    },
};
use cells::Observation;
use go::Bench;
use predicted::Circumstances;
use window::millis;

/// The default life of a token by exchange, as the stack has it.
const EXCHANGE: Duration = Duration::from_secs(10);

/// What is broken, how often, how long and how hard.
#[derive(Clone)]
pub struct CouplingOptions {
    /// The system that is started. Cancelling its interrupt ends the experiment with
    /// [`CouplingError::Interrupted`].
    pub stack: StackOptions,
    /// The faults to make.
    pub faults: Vec<&'static Fault>,
    /// How often each is made, per form.
    pub repetitions: u32,
    /// Whether all strategies are driven at once, or each alone as well.
    pub forms: Vec<Form>,
    /// Requests per second and strategy.
    pub rate_per_second: f64,
    /// Users who log in; their credentials are presented in turn.
    pub users: usize,
    /// Watched before a fault.
    pub baseline: Duration,
    /// How long a fault lasts.
    pub fault: Duration,
    /// Watched after a fault.
    pub recovery: Duration,
    /// A later answer is not a good one.
    pub deadline: Duration,
    /// Length of a slice of the timeline.
    pub slice: Duration,
    /// Starts of a process whose first answer is timed, per strategy; 0: none.
    pub starts: u32,
    /// Where all randomness begins.
    pub seed: u64,
}

impl CouplingOptions {
    /// The shortest form: the quick faults, once, all strategies at the same time.
    #[must_use]
    pub fn quick(stack: StackOptions, rate_per_second: f64, seed: u64) -> Self {
        Self {
            stack,
            faults: Fault::of(Pass::Quick),
            repetitions: 1,
            forms: vec![Form::AllAtOnce],
            rate_per_second,
            users: 8,
            baseline: Duration::from_millis(600),
            fault: Duration::from_millis(1_500),
            recovery: Duration::from_millis(1_000),
            deadline: Duration::from_secs(1),
            slice: Duration::from_millis(100),
            starts: 0,
            seed,
        }
    }

    /// Within three minutes for two strategies: most faults, three times, all strategies at once.
    #[must_use]
    pub fn full(stack: StackOptions, rate_per_second: f64, seed: u64) -> Self {
        Self {
            faults: Fault::of(Pass::Full),
            repetitions: 3,
            starts: 3,
            ..Self::quick(stack, rate_per_second, seed)
        }
    }

    /// As long as needed: faults that outlast everything that is kept for seconds, all strategies at
    /// once and each alone.
    #[must_use]
    pub fn thorough(stack: StackOptions, rate_per_second: f64, seed: u64) -> Self {
        Self {
            faults: Fault::of(Pass::Thorough),
            forms: vec![Form::AllAtOnce, Form::Alone],
            users: 16,
            baseline: Duration::from_secs(1),
            fault: Duration::from_secs(7),
            recovery: Duration::from_secs(3),
            ..Self::full(stack, rate_per_second, seed)
        }
    }

    /// How long one fault is watched.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.baseline + self.fault + self.recovery
    }

    /// How long all of it takes, about.
    #[must_use]
    pub fn expected(&self) -> Duration {
        const STARTS: Duration = Duration::from_secs(2);
        const BETWEEN: Duration = Duration::from_millis(900);
        let strategies = u32::try_from(self.stack.strategies.len()).unwrap_or(1);
        let per_repetition: u32 = self
            .forms
            .iter()
            .map(|form| match form {
                Form::AllAtOnce => 1,
                Form::Alone => strategies,
            })
            .sum();
        let outlasting = self.faults.iter().filter(|fault| fault.is_outlasting());
        let outlasting = u32::try_from(outlasting.count()).unwrap_or(0);
        let others = u32::try_from(self.faults.len()).unwrap_or(0) - outlasting;
        STARTS
            + (self.window() + BETWEEN) * others * self.repetitions * per_repetition
            + (STARTS + outlasting::WINDOW * self.repetitions) * outlasting
            + BETWEEN * self.starts * strategies
    }
}

/// The faults could not be made. What they do to requests is never this.
#[derive(Debug, thiserror::Error)]
pub enum CouplingError {
    /// Nobody knows how to log in for it.
    #[error("{0:?} is not a strategy; known are {known}", known = KNOWN_STRATEGIES.join(", "))]
    UnknownStrategy(String),
    /// The system did not start, or a process could not be handled.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Something could not be broken or mended.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The proxies could not be started or measured.
    #[error("the proxies between the parts: {0}")]
    Proxy(std::io::Error),
    /// No users, no load.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The clients that refresh their tokens could not run.
    #[error("the clients that refresh their tokens: {0}")]
    Clients(std::io::Error),
    /// A process that was started anew answered nothing good.
    #[error("{0} was started anew and gave no good answer within {1:?}")]
    NoAnswer(String, Duration),
    /// It was ended early.
    #[error("interrupted")]
    Interrupted,
}

/// Starts a system, breaks it as asked, and tells what came of it.
///
/// # Errors
///
/// The system or the generator failed, or the experiment was interrupted.
pub fn run(options: &CouplingOptions, progress: &Progress) -> Result<Coupling, CouplingError> {
    let interrupted = || options.stack.interrupt.is_cancelled();
    match measure(options, progress) {
        // Whatever broke, broke because the signal reached the children too.
        Err(_) if interrupted() => Err(CouplingError::Interrupted),
        result => result,
    }
}

fn measure(options: &CouplingOptions, progress: &Progress) -> Result<Coupling, CouplingError> {
    progress.step("faults: starting a system whose links can be broken");
    let links = Links::start().map_err(CouplingError::Proxy)?;
    let proxy = proxy_error()?;
    let stack = start(&options.stack, &links)?;
    let (own, outlasting): (Vec<&Fault>, Vec<&Fault>) = options
        .faults
        .iter()
        .copied()
        .filter(|fault| fault.is_possible(&stack))
        .partition(|fault| !fault.is_outlasting());

    let mut bench = Bench::new(options, stack, &links)?;
    let mut observed = Vec::new();
    let plan = plan(options, &own);
    let count = plan.len();
    for (place, go) in (0..).zip(plan) {
        progress.step(&format!(
            "fault {} of {count}: {}, {}",
            place + 1,
            go.fault.title,
            go.strategies.join(", ")
        ));
        observed.extend(bench.make(&go, place)?);
    }
    let new_replicas = replicas::measure(&mut bench, options, progress)?;
    bench.end();
    let short_lives = outlasting::measure(options, &outlasting, &mut observed, progress)?;

    Ok(Coupling {
        rate_per_second: options.rate_per_second,
        deadline_ms: millis(options.deadline),
        slice_ms: millis(options.slice),
        baseline_ms: millis(options.baseline),
        fault_ms: millis(options.fault),
        recovery_ms: millis(options.recovery),
        replicas: u32::try_from(options.stack.replicas).unwrap_or(u32::MAX),
        users: u32::try_from(options.users).unwrap_or(u32::MAX),
        repetitions: options.repetitions,
        seed: options.seed,
        proxy,
        faults: own.iter().chain(&outlasting).map(|one| info(one)).collect(),
        cells: cells(options, &observed),
        new_replicas,
        short_lives,
    })
}

fn start(options: &StackOptions, links: &Arc<Links>) -> Result<Stack, CouplingError> {
    Ok(Stack::start(StackOptions {
        detour: Some(links.detour()),
        ..options.clone()
    })?)
}

/// In proxies of its own, which have nothing else to do, as those of the system have when it matters.
fn proxy_error() -> Result<ProxyError, CouplingError> {
    const DELAY: Duration = Duration::from_millis(1);
    const MESSAGES: usize = 100;
    let proxies = Proxies::start().map_err(CouplingError::Proxy)?;
    let error = proxy::check(&proxies, DELAY, MESSAGES).map_err(CouplingError::Proxy)?;
    Ok(ProxyError {
        round_trip_ms: DELAY.as_secs_f64() * 2e3,
        p50_us: error.p50_us,
        p99_us: error.p99_us,
    })
}

/// One fault, to be made once.
#[derive(Clone, Debug)]
struct Go {
    fault: &'static Fault,
    form: Form,
    strategies: Vec<String>,
}

/// Every fault, as often as asked and in every form, in an order that only the seed knows: what the
/// machine does meanwhile hits no fault and no strategy more than another.
fn plan(options: &CouplingOptions, faults: &[&'static Fault]) -> Vec<Go> {
    let mut plan = Vec::new();
    for &fault in faults {
        for form in &options.forms {
            let groups: Vec<Vec<String>> = match form {
                Form::AllAtOnce => vec![options.stack.strategies.clone()],
                Form::Alone => options
                    .stack
                    .strategies
                    .iter()
                    .map(|strategy| vec![strategy.clone()])
                    .collect(),
            };
            for strategies in groups {
                let go = Go {
                    fault,
                    form: *form,
                    strategies,
                };
                plan.extend(std::iter::repeat_n(go, options.repetitions as usize));
            }
        }
    }
    let mut random = Random::new(options.seed);
    for last in (1..plan.len()).rev() {
        plan.swap(last, random.below(last + 1));
    }
    plan
}

fn info(fault: &Fault) -> FaultInfo {
    FaultInfo {
        id: fault.id.to_owned(),
        title: fault.title.to_owned(),
        kind: fault.kind.name().to_owned(),
        target: fault.target.name().to_owned(),
        dose: fault.kind.dose(),
        action: fault.action(),
    }
}

/// In the order of the faults, then of the strategies, then of the forms.
fn cells(
    options: &CouplingOptions,
    observed: &[Observation],
) -> Vec<crate::results::coupling::Cell> {
    let mut cells = Vec::new();
    for fault in &options.faults {
        let at = circumstances(options, fault);
        for strategy in &options.stack.strategies {
            let expected = predicted::expected(fault, strategy, &at);
            for form in [Form::AllAtOnce, Form::Alone] {
                let of = |one: &&Observation| {
                    one.fault.id == fault.id && one.strategy == *strategy && one.form == form
                };
                let of = observed.iter().filter(of).collect();
                cells.extend(cells::cell(of, expected.as_ref(), &at));
            }
        }
    }
    cells
}

fn circumstances(options: &CouplingOptions, fault: &Fault) -> Circumstances {
    let usual = Circumstances {
        replicas: u32::try_from(options.stack.replicas).unwrap_or(u32::MAX),
        fault: options.fault,
        slice: options.slice,
        watched: options.recovery,
        exchange: EXCHANGE,
        token: Duration::from_secs(15 * 60),
        leeway: Duration::from_secs(30),
        refresh_at: clients::REFRESH_AT,
        pause: clients::LONGEST_PAUSE,
    };
    if fault.is_outlasting() {
        outlasting::circumstances(usual)
    } else {
        usual
    }
}

/// How often an interruption is looked for during a wait.
const LOOK: Duration = Duration::from_millis(20);

fn wait_until(moment: Instant, options: &CouplingOptions) -> Result<(), CouplingError> {
    loop {
        if options.stack.interrupt.is_cancelled() {
            return Err(CouplingError::Interrupted);
        }
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disturb::fault::FAULTS;

    fn options() -> CouplingOptions {
        CouplingOptions::thorough(StackOptions::default(), 100.0, 7)
    }

    #[test]
    fn each_fault_is_made_as_often_as_asked_in_each_form_and_in_a_random_order() {
        let options = options();
        let plan = plan(&options, &options.faults);
        // Two strategies: once together and once each alone.
        assert_eq!(plan.len(), FAULTS.len() * 3 * 3);
        let of = |id: &str, form| {
            let goes = plan.iter();
            goes.filter(|go| go.fault.id == id && go.form == form)
                .count()
        };
        assert_eq!(of("redis_hung", Form::AllAtOnce), 3);
        assert_eq!(of("redis_hung", Form::Alone), 6);
        let ids = |plan: &[Go]| plan.iter().map(|go| go.fault.id).collect::<Vec<_>>();
        let mut sorted = ids(&plan);
        sorted.sort_unstable();
        assert_ne!(ids(&plan), sorted);
    }

    #[test]
    fn the_same_seed_gives_the_same_order() {
        let ids = |seed| -> Vec<&str> {
            let options = CouplingOptions { seed, ..options() };
            let plan = plan(&options, &options.faults);
            plan.iter().map(|go| go.fault.id).collect()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }
}
