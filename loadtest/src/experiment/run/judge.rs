//! Whether a run's figures may be used, and whether what was asked of them holds.

use std::time::Duration;

use super::{RunOptions, RunResult, result::Shard};
use crate::{
    instrument::gates::OWN_CONNECT_ADVICE,
    load::{ArmOutcome, Load},
};

/// 99th percentile of the generator's own lateness above which it was the limit.
const SEND_LAG_LIMIT: Duration = Duration::from_millis(2);
/// Share of the time, in percent, for which its threads may be busy: above, the generator was the
/// limit.
const GENERATOR_CPU_LIMIT: f64 = 95.0;
/// Share of the requests that must be answered in the measured time; below, the system is overloaded.
const ACHIEVED_SHARE: f64 = 0.99;
/// How late a shard may begin, and how far its clock may move: more, and the load was not the one of the
/// schedule.
const PUNCTUALITY_LIMIT_MS: f64 = 50.0;

/// What must hold of the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Highest allowed 99th percentile of the response time.
    pub max_p99: Option<Duration>,
    /// Highest allowed share of failed requests.
    pub max_error_ratio: Option<f64>,
}

/// Says of the answers what does not hold, and, when the instrument was not the limit, whether the system was.
pub(super) fn system(result: &mut RunResult, target: &str, limits: &Limits) {
    result.failed_answers = failed_answers(result, target, limits);
    result.failed_thresholds = failed_thresholds(result, limits);
    result.overload = Vec::new();
    if result.instrument_faults.is_empty() && !result.interrupted {
        result.overload = overload(result);
    }
}

fn failed_answers(result: &RunResult, target: &str, limits: &Limits) -> Vec<String> {
    let mut failed = Vec::new();
    // The one that nobody has to ask for: a load that reached nobody measured nothing.
    if result.requests > 0 && result.answers.is_empty() {
        failed.push(format!("no request to {target} was answered"));
    }
    if let Some(limit) = limits.max_error_ratio {
        let errors: u64 = result.errors.iter().map(|one| one.count).sum();
        let ratio = errors as f64 / result.requests.max(1) as f64;
        if result.requests == 0 || ratio > limit {
            failed.push(format!(
                "{ratio:.5} of the requests failed, --max-error-ratio is {limit}"
            ));
        }
    }
    failed
}

fn failed_thresholds(result: &RunResult, limits: &Limits) -> Vec<String> {
    let mut failed = Vec::new();
    if let Some(limit) = limits.max_p99 {
        let p99_us = result.response_time.p99_us;
        // Without a single good answer there is no latency that could be low enough.
        if result.response_time.count == 0 || p99_us > limit.as_secs_f64() * 1e6 {
            failed.push(format!(
                "p99 of the response time is {p99_us:.0} µs, --max-p99 is {limit:?}"
            ));
        }
    }
    failed
}

/// A closed loop is meant to be as fast as it can, so that only an open loop can be late.
pub(super) fn instrument(
    result: &RunResult,
    arm: &ArmOutcome,
    options: &RunOptions,
) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(fault) = &arm.own_connect_fault {
        let asked = match options.load {
            Load::Closed { connections } => connections,
            Load::Open { .. } => {
                let engine = &options.engine;
                let all = engine.max_connections.unwrap_or(engine.connections);
                engine.share.part_of(all)
            }
        };
        faults.push(format!(
            "this machine opened {} of the {asked} connections: {fault}. {OWN_CONNECT_ADVICE}",
            arm.connections_open
        ));
    }
    if matches!(options.load, Load::Closed { .. }) {
        return faults;
    }
    faults.extend(result.shard.as_ref().into_iter().flat_map(unpunctual));
    let limit_us = SEND_LAG_LIMIT.as_secs_f64() * 1e6;
    if result.send_lag.p99_us > limit_us {
        faults.push(format!(
            "1 % of the requests were sent {:.0} µs late or later by the generator itself; the limit is {limit_us:.0} µs",
            result.send_lag.p99_us
        ));
    }
    if result.generator_cpu_percent > GENERATOR_CPU_LIMIT {
        faults.push(format!(
            "the generator's threads were busy {:.0} % of the time; the limit is {GENERATOR_CPU_LIMIT:.0} %",
            result.generator_cpu_percent
        ));
    }
    faults
}

/// How a shard kept to its moment, if it did not.
fn unpunctual(shard: &Shard) -> Vec<String> {
    let mut faults = Vec::new();
    if shard.late_ms > PUNCTUALITY_LIMIT_MS {
        faults.push(format!(
            "it could begin {:.0} ms after --start-at {}; the limit is {PUNCTUALITY_LIMIT_MS:.0} ms. Choose a \
             moment that is further ahead",
            shard.late_ms, shard.start_at
        ));
    }
    if shard.clock_moved_ms > PUNCTUALITY_LIMIT_MS {
        faults.push(format!(
            "this machine's clock moved by {:.0} ms during the run; the limit is {PUNCTUALITY_LIMIT_MS:.0} ms. \
             Let a time service keep it",
            shard.clock_moved_ms
        ));
    }
    faults
}

/// Requests were due faster than they were answered. Those in flight at the end, at most one a
/// connection, are not missing.
fn overload(result: &RunResult) -> Vec<String> {
    if result.asked_per_second.is_none() {
        return Vec::new();
    }
    let good = (result.achieved_per_second * result.seconds).round();
    if good + result.connections_open as f64 >= ACHIEVED_SHARE * result.requests as f64 {
        return Vec::new();
    }
    vec![format!(
        "{good:.0} of the {} requests had a good answer within the measured time, and the generator was in time",
        result.requests
    )]
}
