//! Whether a file can be what a run wrote: its figures are some, its sums fit, and it adds up.

use crate::{experiment::run::RunResult, stats::histogram::LatencyHistogram};

/// More than any generator counts; the sum over all shards that there can be is a count as well.
const MOST: u64 = 1_000_000_000_000_000;
/// More of anything that is measured than there is.
const MOST_OF_A_MEASURE: f64 = 1e12;

/// Looks at everything but the distributions.
///
/// # Errors
///
/// What cannot be, in a sentence.
pub(super) fn check(result: &RunResult) -> Result<(), String> {
    counts(result)?;
    measures(result)?;
    // Each request ended once.
    let requests = result.requests;
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
    for (what, sum) in [
        (
            "answers",
            sum(&mut result.answers.iter().map(|one| one.count)),
        ),
        (
            "errors",
            sum(&mut result.errors.iter().map(|one| one.count)),
        ),
    ] {
        if sum > requests {
            return Err(format!("it has {sum} {what} to {requests} requests"));
        }
    }
    Ok(())
}

/// Looks at the distributions of [`super::NAMES`].
///
/// # Errors
///
/// What cannot be, in a sentence.
pub(super) fn distributions(
    result: &RunResult,
    [response, service, failure, lag, wait, lateness]: &[LatencyHistogram; 6],
) -> Result<(), String> {
    let requests = result.requests;
    let ended = response.count().saturating_add(failure.count());
    if ended != requests || service.count() != response.count() {
        return Err(format!(
            "its distributions have {} good and {} other requests, and it has {requests}",
            response.count(),
            failure.count()
        ));
    }
    // How late answers were read is counted while the load begins, too.
    let most = [(lag, requests), (wait, requests), (lateness, MOST)];
    match most.iter().find(|(one, most)| one.count() > *most) {
        Some((one, _)) => Err(format!(
            "a distribution has {} values, and there were {requests} requests",
            one.count()
        )),
        None => Ok(()),
    }
}

fn counts(result: &RunResult) -> Result<(), String> {
    let answers = result.answers.iter().map(|one| ("answers", one.count));
    let errors = result.errors.iter().map(|one| ("errors", one.count));
    let own = [
        ("requests", result.requests),
        ("connections_opened", result.connections_opened),
        ("connections_open", result.connections_open),
        ("generator_threads", result.generator_threads as u64),
    ];
    match own
        .into_iter()
        .chain(answers)
        .chain(errors)
        .find(|(_, count)| *count > MOST)
    {
        Some((what, count)) => Err(format!("{what} is {count}")),
        None => Ok(()),
    }
}

fn measures(result: &RunResult) -> Result<(), String> {
    let mut measures = vec![
        ("achieved_per_second", result.achieved_per_second),
        ("request_bytes", result.request_bytes),
        ("response_bytes", result.response_bytes),
        (
            "generator_cpu_us_per_request",
            result.generator_cpu_us_per_request,
        ),
        ("generator_cpu_percent", result.generator_cpu_percent),
    ];
    let mut above_0 = vec![("seconds", result.seconds)];
    if let Some(shard) = &result.shard {
        above_0.push(("rate_per_second", shard.rate_per_second));
        measures.push(("warmup_seconds", shard.warmup_seconds));
        measures.push(("late_ms", shard.late_ms));
        measures.push(("clock_moved_ms", shard.clock_moved_ms));
    }
    if let Some((what, value)) = above_0.iter().find(|(_, value)| *value <= 0.0) {
        return Err(format!("{what} is {value}"));
    }
    measures.extend(above_0);
    let within = |value: f64| (0.0..=MOST_OF_A_MEASURE).contains(&value);
    match measures.into_iter().find(|(_, value)| !within(*value)) {
        Some((what, value)) => Err(format!("{what} is {value}")),
        None => Ok(()),
    }
}
