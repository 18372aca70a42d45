//! What each strategy is coupled to: the parts of a system are taken away one after the other, under
//! an open load on all strategies at the same time, and the answers are watched.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use crate::{
    disturb::fault::Fault,
    load::{self, Arm, ArmOutcome, EngineError, Options, Outcome, Slice},
    progress::Progress,
    results::v2::{self as results, Coupling, ErrorCount, FaultEffect, FaultResult, Recovery},
    subject::stack::{Stack, StackError},
};

/// At least this share of requests must be well for a slice to be.
const WELL: f64 = 0.95;
/// How often an interruption is looked for during a wait.
const LOOK: Duration = Duration::from_millis(20);

/// How long and how hard.
#[derive(Clone, Debug)]
pub struct CouplingOptions {
    /// Requests per second, per strategy; only told in the results.
    pub rate_per_second: f64,
    /// Watched before the fault.
    pub baseline: Duration,
    /// How long the fault lasts.
    pub fault: Duration,
    /// Watched after the fault.
    pub recovery: Duration,
    /// A later answer counts as a timeout.
    pub deadline: Duration,
    /// Length of a slice of the timeline.
    pub slice: Duration,
    /// Connections per strategy.
    pub connections: usize,
    /// Seed of the schedules.
    pub seed: u64,
    /// Ends the pass early, with [`CouplingError::Interrupted`].
    pub interrupt: CancellationToken,
}

impl CouplingOptions {
    /// The short form: 6.5 s a fault.
    #[must_use]
    pub fn quick(rate_per_second: f64, seed: u64) -> Self {
        Self {
            rate_per_second,
            baseline: Duration::from_millis(1_500),
            fault: Duration::from_millis(2_500),
            recovery: Duration::from_millis(2_500),
            deadline: Duration::from_secs(1),
            slice: Duration::from_millis(100),
            connections: busy_connections(rate_per_second),
            seed,
            interrupt: CancellationToken::new(),
        }
    }

    /// The long form: 30 s a fault.
    #[must_use]
    pub fn thorough(rate_per_second: f64, seed: u64) -> Self {
        Self {
            baseline: Duration::from_secs(5),
            fault: Duration::from_secs(10),
            recovery: Duration::from_secs(15),
            ..Self::quick(rate_per_second, seed)
        }
    }

    /// How long one fault is watched.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.baseline + self.fault + self.recovery
    }
}

/// The pass could not be done. What the faults do to requests is never this.
#[derive(Debug, thiserror::Error)]
pub enum CouplingError {
    /// A process could not be broken or mended.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It was ended early.
    #[error("interrupted")]
    Interrupted,
}

/// Makes every fault that is possible in this stack. `arms` has one arm a strategy, named like it,
/// with logged-in users; after the pass their sessions are lost.
///
/// # Errors
///
/// A process could not be broken or mended, the generator failed, or the pass was interrupted.
pub fn run(
    stack: &Stack,
    arms: &[Arm],
    options: &CouplingOptions,
    progress: &Progress,
) -> Result<Coupling, CouplingError> {
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        if fault.is_possible(stack) {
            progress.step(&format!("fault: {}", fault.title()));
            faults.push(one(stack, arms, options, fault)?);
        }
    }
    Ok(Coupling {
        rate_per_second: options.rate_per_second,
        deadline_ms: millis(options.deadline),
        slice_ms: millis(options.slice),
        faults,
    })
}

/// As many as are busy when each answer takes as long as a fault makes most of them take: a request
/// of a user does not wait for the answers to others.
fn busy_connections(rate_per_second: f64) -> usize {
    /// What a service gives Redis, which is the longest that it makes a request wait.
    const SLOW_ANSWER: Duration = Duration::from_millis(300);
    (rate_per_second * SLOW_ANSWER.as_secs_f64()).clamp(32.0, 512.0) as usize
}

fn one(
    stack: &Stack,
    arms: &[Arm],
    options: &CouplingOptions,
    fault: Fault,
) -> Result<FaultResult, CouplingError> {
    let load = Options {
        duration: options.window(),
        warmup: Duration::from_millis(200),
        deadline: options.deadline,
        drain: options.deadline,
        connections: options.connections,
        slice: options.slice,
        seed: options.seed,
        interrupt: options.interrupt.clone(),
        ..Options::default()
    };
    let running = load::start(load, arms.to_vec())?;
    let origin = running.measured_from;

    wait_until(origin + options.baseline, &options.interrupt)?;
    let began = origin.elapsed();
    fault.begin(stack)?;
    wait_until(
        origin + options.baseline + options.fault,
        &options.interrupt,
    )?;
    fault.end(stack)?;
    let window = Window {
        began,
        ended: origin.elapsed(),
        slice: options.slice,
    };

    let outcome = running.join()?;
    if outcome.interrupted {
        return Err(CouplingError::Interrupted);
    }
    for target in fault.targets(stack) {
        stack.wait_ready(&target)?;
    }
    stack.wait_upstreams()?;
    Ok(FaultResult {
        fault: fault.name().to_owned(),
        title: fault.title().to_owned(),
        action: fault.action(stack),
        began_ms: millis(window.began),
        ended_ms: millis(window.ended),
        effects: outcome
            .arms
            .iter()
            .map(|arm| effect(arm, &window))
            .collect(),
    })
}

fn wait_until(moment: Instant, interrupt: &CancellationToken) -> Result<(), CouplingError> {
    loop {
        if interrupt.is_cancelled() {
            return Err(CouplingError::Interrupted);
        }
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// When the fault was, on the timeline.
struct Window {
    began: Duration,
    ended: Duration,
    slice: Duration,
}

impl Window {
    /// A slice belongs where its middle is: the edges of the fault lie microseconds beside those of
    /// slices, and never exactly on them.
    fn middle(&self, slice: &Slice) -> Duration {
        slice.at + self.slice / 2
    }

    fn before<'a>(&'a self, timeline: &'a [Slice]) -> impl Iterator<Item = &'a Slice> {
        let within = |slice: &&Slice| self.middle(slice) < self.began;
        timeline.iter().filter(within)
    }

    fn during<'a>(&'a self, timeline: &'a [Slice]) -> impl Iterator<Item = &'a Slice> {
        let within = |slice: &&Slice| (self.began..self.ended).contains(&self.middle(slice));
        timeline.iter().filter(within)
    }

    fn after<'a>(&'a self, timeline: &'a [Slice]) -> impl DoubleEndedIterator<Item = &'a Slice> {
        let within = |slice: &&Slice| self.middle(slice) >= self.ended;
        timeline.iter().filter(within)
    }
}

fn effect(arm: &ArmOutcome, window: &Window) -> FaultEffect {
    let timeline = &arm.timeline;
    let offered: u64 = window.during(timeline).map(Slice::offered).sum();
    let good: u64 = window.during(timeline).map(Slice::good).sum();
    FaultEffect {
        strategy: arm.name.clone(),
        offered_in_fault: offered,
        good_in_fault: good,
        availability_in_fault: share(good, offered),
        unauthorized_in_fault: unauthorized(window.during(timeline)),
        unauthorized_after_fault: unauthorized(window.after(timeline)),
        errors_in_fault: errors(window.during(timeline)),
        p99_before_us: p99(window.before(timeline)),
        p99_in_fault_us: p99(window.during(timeline)),
        recovery: Recovery {
            decided_ms: recovered(timeline, window, decided),
            good_ms: recovered(timeline, window, Slice::good),
        },
        timeline: timeline.iter().map(told).collect(),
    }
}

/// Answered with anything that is not the system's own failure.
fn decided(slice: &Slice) -> u64 {
    let is_decided = |outcome: &Outcome| matches!(outcome, Outcome::Status(..=499));
    let matching = slice
        .outcomes
        .iter()
        .filter(|(outcome, _)| is_decided(outcome));
    matching.map(|(_, count)| count).sum()
}

fn unauthorized<'a>(slices: impl Iterator<Item = &'a Slice>) -> u64 {
    slices
        .filter_map(|slice| slice.outcomes.get(&Outcome::Status(401)))
        .sum()
}

fn errors<'a>(slices: impl Iterator<Item = &'a Slice>) -> Vec<ErrorCount> {
    let mut counts = std::collections::BTreeMap::<Outcome, u64>::new();
    for (outcome, count) in slices.flat_map(|slice| &slice.outcomes) {
        if !outcome.is_good() {
            *counts.entry(*outcome).or_default() += count;
        }
    }
    let told = counts.into_iter().map(|(outcome, count)| ErrorCount {
        kind: outcome.to_string(),
        count,
    });
    told.collect()
}

/// Over all answers, whatever their status; `None` when there were none.
fn p99<'a>(slices: impl Iterator<Item = &'a Slice>) -> Option<f64> {
    let mut all: Option<Histogram<u32>> = None;
    for slice in slices {
        match &mut all {
            None => all = Some(slice.response_us.clone()),
            Some(all) => all.add(&slice.response_us).ok()?,
        }
    }
    let all = all.filter(|all| !all.is_empty())?;
    u32::try_from(all.value_at_quantile(0.99))
        .ok()
        .map(f64::from)
}

/// From the end of the fault to the begin of the slices that are all well, to the last one.
fn recovered(timeline: &[Slice], window: &Window, well: fn(&Slice) -> u64) -> Option<u64> {
    let well_from = window
        .after(timeline)
        .rev()
        .take_while(|slice| share(well(slice), slice.offered()) >= WELL)
        .last()?;
    let first = window.after(timeline).next()?;
    if well_from.at == first.at {
        return Some(0);
    }
    Some(millis(well_from.at.saturating_sub(window.ended)))
}

/// All of nothing is everything.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share = part as f64 / whole as f64;
    share
}

fn told(slice: &Slice) -> results::Slice {
    results::Slice {
        at_ms: millis(slice.at),
        answers: slice
            .outcomes
            .iter()
            .map(|(outcome, count)| (outcome.to_string(), *count))
            .collect(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(index: u32, outcomes: &[(Outcome, u64)]) -> Slice {
        Slice {
            at: Duration::from_millis(100) * index,
            outcomes: outcomes.iter().copied().collect(),
            response_us: Histogram::new(2).unwrap(),
        }
    }

    /// One slice each: good, good, fault: 503, fault: 503, 503, 401, 401, then `last`.
    fn timeline(last: Outcome) -> Vec<Slice> {
        let statuses = [200, 200, 503, 503, 503, 401, 401];
        let mut slices: Vec<Slice> = statuses
            .iter()
            .zip(0..)
            .map(|(status, index)| slice(index, &[(Outcome::Status(*status), 100)]))
            .collect();
        slices.push(slice(7, &[(last, 100)]));
        slices
    }

    const WINDOW: Window = Window {
        began: Duration::from_micros(200_300),
        ended: Duration::from_micros(400_900),
        slice: Duration::from_millis(100),
    };

    #[test]
    fn the_fault_window_holds_the_slices_whose_middle_is_in_it() {
        let timeline = timeline(Outcome::Status(200));
        let at = |slices: Vec<&Slice>| -> Vec<u64> {
            slices.into_iter().map(|slice| millis(slice.at)).collect()
        };
        assert_eq!(at(WINDOW.before(&timeline).collect()), [0, 100]);
        assert_eq!(at(WINDOW.during(&timeline).collect()), [200, 300]);
        assert_eq!(at(WINDOW.after(&timeline).collect()), [400, 500, 600, 700]);
    }

    #[test]
    fn a_lost_session_is_decided_before_it_is_good_again() {
        let timeline = timeline(Outcome::Status(200));
        assert_eq!(recovered(&timeline, &WINDOW, decided), Some(99));
        assert_eq!(recovered(&timeline, &WINDOW, Slice::good), Some(299));
    }

    #[test]
    fn a_relapse_at_the_end_is_no_recovery() {
        let timeline = timeline(Outcome::Timeout);
        assert_eq!(recovered(&timeline, &WINDOW, decided), None);
        assert_eq!(recovered(&timeline, &WINDOW, Slice::good), None);
    }

    #[test]
    fn what_never_suffered_recovers_at_once() {
        let timeline: Vec<Slice> = (0..8)
            .map(|index| slice(index, &[(Outcome::Status(200), 100)]))
            .collect();
        assert_eq!(recovered(&timeline, &WINDOW, Slice::good), Some(0));
    }

    #[test]
    fn errors_in_the_fault_are_counted_by_kind_and_good_answers_are_none() {
        let mixed = [
            slice(0, &[(Outcome::Status(200), 5), (Outcome::Timeout, 2)]),
            slice(1, &[(Outcome::Timeout, 1), (Outcome::Status(503), 4)]),
        ];
        let found: Vec<(String, u64)> = errors(mixed.iter())
            .into_iter()
            .map(|error| (error.kind, error.count))
            .collect();
        assert_eq!(found, [("503".to_owned(), 4), ("timeout".to_owned(), 3)]);
        assert_eq!(unauthorized(mixed.iter()), 0);
    }
}
