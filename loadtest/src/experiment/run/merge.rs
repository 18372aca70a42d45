//! The shards of one run as one result.

mod possible;

use std::collections::BTreeMap;

use super::{Limits, RunResult, Shard, judge};
use crate::{
    load::SpansSent,
    results::v2::{ErrorCount, StatusCount},
    stats::histogram::{HistogramError, LatencyHistogram},
};

/// These are not the shards of one run.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no result was given")]
    Nothing,
    /// It was all of its schedule.
    #[error("{0} is the result of a run without --shard and --start-at")]
    NoShard(String),
    /// What must be the same differs.
    #[error(
        "{one} has {what} {mine} and {other} has {theirs}: they are not shards of the same run"
    )]
    Differs {
        /// The first file.
        one: String,
        /// The other one.
        other: String,
        /// What differs.
        what: &'static str,
        /// In the first one.
        mine: String,
        /// In the other one.
        theirs: String,
    },
    /// A part of the schedule was sent by nobody that is here.
    #[error("shard {index}/{of} is missing")]
    Missing {
        /// Which one.
        index: u64,
        /// Of how many.
        of: u64,
    },
    /// A part of the schedule is here twice.
    #[error("shard {index}/{of} is there twice: {one} and {other}")]
    Twice {
        /// Which one.
        index: u64,
        /// Of how many.
        of: u64,
        /// The first file.
        one: String,
        /// The other one.
        other: String,
    },
    /// No run has such a result: the file was changed, or is none of ours.
    #[error("{file} is not what loadtest run --out writes: {fault}")]
    Impossible {
        /// Which file.
        file: String,
        /// What cannot be.
        fault: String,
    },
    /// A distribution cannot be read.
    #[error("{file}: {name}: {source}")]
    Histogram {
        /// In which file.
        file: String,
        /// Which one.
        name: &'static str,
        /// What is wrong.
        source: HistogramError,
    },
}

/// Adds the shards of one run, each with the name of its file: counts are added and distributions merged value
/// by value, so that quantiles are those of all requests together. What makes one of them invalid makes the whole
/// so.
///
/// # Errors
///
/// They are not all the shards of one run.
pub fn merge(parts: &[(String, RunResult)], limits: &Limits) -> Result<RunResult, MergeError> {
    for (file, result) in parts {
        possible::check(result).map_err(|fault| MergeError::Impossible {
            file: file.clone(),
            fault,
        })?;
    }
    let shards = shards(parts)?;
    complete(&shards)?;
    let results = || parts.iter().map(|(_, result)| result);
    let (first, _) = shards.first().ok_or(MergeError::Nothing)?;
    let distributions = distributions(parts)?;
    let [response, service, failure, lag, wait, lateness] = &distributions;
    let answered = |one: &RunResult| one.answers.iter().map(|one| one.count).sum::<u64>() as f64;
    let seconds = results().map(|one| one.seconds).fold(0.0, f64::max);
    let good: f64 = results()
        .map(|one| one.achieved_per_second * one.seconds)
        .sum();
    let mut whole = RunResult {
        seconds,
        requests: results().map(|one| one.requests).sum(),
        asked_per_second: Some(first.rate_per_second),
        achieved_per_second: good / seconds.max(1e-9),
        response_time: response.summary(true),
        service_time: service.summary(true),
        failure_time: failure.summary(false),
        send_lag: lag.summary(false),
        connection_wait: wait.summary(false),
        receive_lateness: lateness.summary(false),
        answers: statuses(parts),
        errors: errors(parts),
        request_bytes: mean(parts, answered, |one| one.request_bytes),
        response_bytes: mean(parts, answered, |one| one.response_bytes),
        generator_cpu_us_per_request: mean(
            parts,
            |one| one.requests as f64,
            |one| one.generator_cpu_us_per_request,
        ),
        generator_cpu_percent: mean(
            parts,
            |one| one.generator_threads as f64,
            |one| one.generator_cpu_percent,
        ),
        generator_threads: results().map(|one| one.generator_threads).sum(),
        connections_opened: results().map(|one| one.connections_opened).sum(),
        connections_open: results().map(|one| one.connections_open).sum(),
        connect_fault: results().find_map(|one| one.connect_fault.clone()),
        histograms: NAMES
            .into_iter()
            .zip(&distributions)
            .map(|(name, histogram)| (name.to_owned(), histogram.to_v2()))
            .collect(),
        shard: None,
        spans: results().filter_map(|one| one.spans.clone()).reduce(both),
        interrupted: results().any(|one| one.interrupted),
        failed_answers: Vec::new(),
        failed_thresholds: Vec::new(),
        instrument_faults: faults(parts, &shards),
        overload: Vec::new(),
    };
    judge::system(&mut whole, "the system", limits);
    Ok(whole)
}

/// What became of the spans of two shards.
fn both(one: SpansSent, other: SpansSent) -> SpansSent {
    SpansSent {
        exported: one.exported + other.exported,
        lost: one.lost + other.lost,
        fault: one.fault.or(other.fault),
    }
}

/// The distributions of a result.
const NAMES: [&str; 6] = [
    "response_time",
    "service_time",
    "failure_time",
    "send_lag",
    "connection_wait",
    "receive_lateness",
];

/// Every result's shard, when all are of the same run.
fn shards(parts: &[(String, RunResult)]) -> Result<Vec<(&Shard, &str)>, MergeError> {
    let mut shards: Vec<(&Shard, &str)> = Vec::new();
    let mut length = None;
    for (file, result) in parts {
        let shard = result.shard.as_ref();
        let shard = shard.ok_or_else(|| MergeError::NoShard(file.clone()))?;
        if let Some((first, one)) = shards.first() {
            let what = |shard: &Shard| {
                [
                    ("shards", shard.of.to_string()),
                    ("seed", shard.seed.to_string()),
                    ("rate", shard.rate_per_second.to_string()),
                    ("arrivals", shard.arrivals.clone()),
                    ("warm-up", shard.warmup_seconds.to_string()),
                    ("start", shard.start_at.clone()),
                    ("target", told(shard.target.as_ref())),
                    ("deadline", told(shard.deadline_seconds.as_ref())),
                    (
                        "connections",
                        told(
                            shard
                                .connections
                                .map(|(one, most)| format!("{one} to {most}"))
                                .as_ref(),
                        ),
                    ),
                ]
            };
            let mut differs = what(first).into_iter().zip(what(shard));
            if let Some(((what, mine), (_, theirs))) = differs.find(|(a, b)| a != b) {
                return Err(MergeError::Differs {
                    one: (*one).to_owned(),
                    other: file.clone(),
                    what,
                    mine,
                    theirs,
                });
            }
        }
        // One that was interrupted is shorter, and says so.
        if !result.interrupted {
            let mine = *length.get_or_insert(result.seconds);
            if (mine - result.seconds).abs() > 1e-6 {
                return Err(MergeError::Differs {
                    one: parts[0].0.clone(),
                    other: file.clone(),
                    what: "duration",
                    mine: mine.to_string(),
                    theirs: result.seconds.to_string(),
                });
            }
        }
        shards.push((shard, file));
    }
    Ok(shards)
}

fn told(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// Each shard is there once.
fn complete(shards: &[(&Shard, &str)]) -> Result<(), MergeError> {
    let of = shards.first().map_or(0, |(shard, _)| shard.of);
    if let Some((shard, file)) = shards
        .iter()
        .find(|(shard, _)| !(1..=of).contains(&shard.index))
    {
        return Err(MergeError::Impossible {
            file: (*file).to_owned(),
            fault: format!("it is shard {} of {of}", shard.index),
        });
    }
    for index in 1..=of {
        let mut found = shards.iter().filter(|(shard, _)| shard.index == index);
        match (found.next(), found.next()) {
            (Some((_, one)), Some((_, other))) => {
                return Err(MergeError::Twice {
                    index,
                    of,
                    one: (*one).to_owned(),
                    other: (*other).to_owned(),
                });
            }
            (Some(_), None) => {}
            (None, _) => return Err(MergeError::Missing { index, of }),
        }
    }
    Ok(())
}

fn distributions(parts: &[(String, RunResult)]) -> Result<[LatencyHistogram; 6], MergeError> {
    let mut whole = NAMES.map(|_| LatencyHistogram::new());
    for (file, result) in parts {
        let read = |name| read(file, result, name);
        let [a, b, c, d, e, f] = NAMES.map(read);
        let own = [a?, b?, c?, d?, e?, f?];
        possible::distributions(result, &own).map_err(|fault| MergeError::Impossible {
            file: file.clone(),
            fault,
        })?;
        for (whole, one) in whole.iter_mut().zip(&own) {
            whole.merge(one);
        }
    }
    Ok(whole)
}

fn read(
    file: &str,
    result: &RunResult,
    name: &'static str,
) -> Result<LatencyHistogram, MergeError> {
    let text = result.histograms.get(name).map_or("", String::as_str);
    LatencyHistogram::from_v2(text).map_err(|source| MergeError::Histogram {
        file: file.to_owned(),
        name,
        source,
    })
}

fn statuses(parts: &[(String, RunResult)]) -> Vec<StatusCount> {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for one in parts.iter().flat_map(|(_, result)| &result.answers) {
        *counts.entry(one.status).or_default() += one.count;
    }
    let counts = counts.into_iter();
    counts
        .map(|(status, count)| StatusCount { status, count })
        .collect()
}

fn errors(parts: &[(String, RunResult)]) -> Vec<ErrorCount> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for one in parts.iter().flat_map(|(_, result)| &result.errors) {
        *counts.entry(&one.kind).or_default() += one.count;
    }
    let counts = counts.into_iter();
    counts
        .map(|(kind, count)| ErrorCount {
            kind: kind.to_owned(),
            count,
        })
        .collect()
}

/// A mean of means, each counted as often as what it is a mean of.
fn mean(
    parts: &[(String, RunResult)],
    weight: impl Fn(&RunResult) -> f64,
    value: impl Fn(&RunResult) -> f64,
) -> f64 {
    let results = || parts.iter().map(|(_, result)| result);
    let weights: f64 = results().map(&weight).sum();
    let sum: f64 = results().map(|one| weight(one) * value(one)).sum();
    sum / weights.max(f64::MIN_POSITIVE)
}

/// What makes one of them invalid makes the whole so.
fn faults(parts: &[(String, RunResult)], shards: &[(&Shard, &str)]) -> Vec<String> {
    let of_each = parts.iter().zip(shards);
    of_each
        .flat_map(|((_, result), (shard, file))| {
            let faults = result.instrument_faults.iter();
            faults.map(move |fault| format!("shard {}/{} ({file}): {fault}", shard.index, shard.of))
        })
        .collect()
}
