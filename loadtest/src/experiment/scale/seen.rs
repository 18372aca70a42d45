//! What one window of load shows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    experiment::error::ExperimentError,
    instrument::machine::MachineUse,
    load::{ArmOutcome, EngineOutcome},
    results::scale::Component,
    subject::slices::Throttling,
};

/// What was seen in a window.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Answers per second.
    pub(super) rate: f64,
    /// CPU time per request, seconds.
    pub(super) demand: BTreeMap<Component, f64>,
    /// Processors that were used.
    pub(super) cores: BTreeMap<Component, f64>,
    /// Share of the periods in which a component was held back; of those with a slice.
    pub(super) throttled: BTreeMap<Component, f64>,
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Mean response time.
    pub(super) mean_us: f64,
    /// Share of its threads' time for which the generator was busy.
    pub(super) generator_share: f64,
    pub(super) own_connect_fault: Option<String>,
    /// What the machine did besides.
    pub(super) machine: MachineUse,
}

/// Counters at one moment.
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) cpu: BTreeMap<Component, Duration>,
    pub(super) throttling: BTreeMap<Component, Throttling>,
}

/// What a run shows between two readings; `what` was asked.
pub(super) fn seen(
    what: &str,
    outcome: &EngineOutcome,
    first: &Reading,
    last: &Reading,
    machine: MachineUse,
) -> Result<Seen, ExperimentError> {
    let scaled = &outcome.arms[0];
    if scaled.good() == 0 {
        let answers = answers(scaled);
        let came = answers
            .iter()
            .map(|(kind, count)| format!("{kind} × {count}"));
        return Err(ExperimentError::NoAnswer {
            what: what.to_owned(),
            came: came.collect::<Vec<_>>().join(", "),
        });
    }
    let rate = scaled.achieved_per_second();
    let mut cores = cores(first, last);
    let elapsed = outcome.elapsed.as_secs_f64().max(1e-9);
    cores.insert(Component::Generator, outcome.cpu.as_secs_f64() / elapsed);
    let demand = cores.iter();
    let demand = demand.map(|(component, cores)| (*component, cores / rate));
    let throttled = last.throttling.iter().map(|(component, now)| {
        let before = first.throttling.get(component).copied().unwrap_or_default();
        (*component, now.since(&before).share())
    });
    let (demand, throttled) = (demand.collect(), throttled.collect());
    Ok(Seen {
        rate,
        demand,
        throttled,
        cores,
        requests: scaled.scheduled,
        failed: scaled.failed(),
        mean_us: scaled.response_time.summary(false).mean_us,
        generator_share: outcome.busy_percent() / 100.0,
        own_connect_fault: scaled.own_connect_fault.clone(),
        machine,
    })
}

/// Processors that were used between two readings.
fn cores(first: &Reading, last: &Reading) -> BTreeMap<Component, f64> {
    let seconds = (last.at - first.at).as_secs_f64();
    let used = |(component, now): (&Component, &Duration)| {
        let before = first.cpu.get(component).copied().unwrap_or_default();
        let used = now.saturating_sub(before).as_secs_f64();
        (*component, used / seconds)
    };
    last.cpu.iter().map(used).collect()
}

/// How requests ended, as in results.
pub(super) fn answers(arm: &ArmOutcome) -> BTreeMap<String, u64> {
    let told = arm.outcomes.iter();
    told.map(|(outcome, count)| (outcome.to_string(), *count))
        .collect()
}
