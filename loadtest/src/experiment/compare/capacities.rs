//! The highest rate of each strategy, with the steps of all of them in turn.

use std::{collections::BTreeMap, time::Duration};

use super::{CompareError, Comparison, open};
use crate::{
    experiment::capacity::{Criteria, Search},
    load::{Arm, Options},
    results::v2::{CapacityStep, ProcessMemory, Sustainable},
};

/// First step, as a share of what the strategy answers in a closed loop.
const FIRST_STEP: f64 = 0.7;
/// After a step that was too much, what is left over is not waited for.
const DRAIN: Duration = Duration::from_millis(200);

/// Highest rates in the order of `arms`, and the largest memory of each process that was seen.
pub(super) type Found = (Vec<Option<Sustainable>>, BTreeMap<String, u64>);

pub(super) fn find(
    comparison: &mut Comparison<'_>,
    arms: &[Arm],
    closed_loop: &[f64],
) -> Result<Found, CompareError> {
    let steps = comparison.pace.capacity_steps;
    let mut searches: Vec<Search> = closed_loop
        .iter()
        .map(|closed| Search::new((closed * FIRST_STEP).max(1.0), steps))
        .collect();
    let mut memory = BTreeMap::new();
    while searches.iter().any(|search| search.next_rate().is_some()) {
        for (arm, search) in arms.iter().zip(&mut searches) {
            if let Some(rate) = search.next_rate() {
                step(comparison, arm, search, rate)?;
                for (process, bytes) in comparison.subject.meter.read()?.memory() {
                    let peak: &mut u64 = memory.entry(process).or_default();
                    *peak = bytes.max(*peak);
                }
            }
        }
    }
    Ok((searches.into_iter().map(Search::found).collect(), memory))
}

fn step(
    comparison: &Comparison<'_>,
    arm: &Arm,
    search: &mut Search,
    rate: f64,
) -> Result<(), CompareError> {
    let what = format!("highest rate: {} at {rate:.0} requests/s", arm.name);
    comparison.progress.step(&what);
    let pace = comparison.pace;
    let options = comparison.engine(
        comparison.options.seed,
        pace.capacity_warmup,
        pace.capacity_window,
    );
    let options = Options {
        drain: DRAIN,
        ..options
    };
    let outcome = &comparison.drive(options, open(arm, rate))?.arms[0];
    let fault = Criteria::default().fault(outcome, rate);
    let step = CapacityStep {
        asked_per_second: rate,
        achieved_per_second: outcome.achieved_per_second(),
        p99_us: outcome.response_time.quantile_us(0.99),
        errors: outcome.failed(),
        held: fault.is_none(),
    };
    search.record(step, fault);
    Ok(())
}

pub(super) fn memory(
    idle: &BTreeMap<String, u64>,
    peak: &BTreeMap<String, u64>,
) -> Vec<ProcessMemory> {
    idle.iter()
        .map(|(process, bytes)| ProcessMemory {
            process: process.clone(),
            idle_bytes: *bytes,
            highest_rate_bytes: peak.get(process).copied(),
        })
        .collect()
}
