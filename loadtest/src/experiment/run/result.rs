//! What one generator found, or several that shared a schedule.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use super::RunOptions;
use crate::{
    load::{self, EngineOutcome, Load, SpansSent},
    results::v2::{ErrorCount, Latency, StatusCount},
};

/// What a run found, as `--out` writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Length of the measured time.
    pub seconds: f64,
    /// Requests that were due.
    pub requests: u64,
    /// Requests due per second; absent in a closed loop.
    pub asked_per_second: Option<f64>,
    /// 2xx answers per second of the measured time.
    pub achieved_per_second: f64,
    /// From the intended moment of sending to the last byte of a 2xx answer. Ends when the kernel
    /// received it, where the kernel says so, and otherwise when it was read.
    pub response_time: Latency,
    /// From the actual moment of sending.
    pub service_time: Latency,
    /// From the intended moment of sending to the failure, of all other requests.
    pub failure_time: Latency,
    /// The generator's own lateness.
    pub send_lag: Latency,
    /// The wait for a free connection, which is part of the response time.
    pub connection_wait: Latency,
    /// From the kernel's receiving the last byte of an answer to its being read; not part of the
    /// response time.
    pub receive_lateness: Latency,
    /// Answers by HTTP status.
    pub answers: Vec<StatusCount>,
    /// Requests without a 2xx answer, by kind.
    pub errors: Vec<ErrorCount>,
    /// Mean size of a request on the wire.
    pub request_bytes: f64,
    /// Mean size of an answer on the wire.
    pub response_bytes: f64,
    /// The generator's CPU time per request.
    pub generator_cpu_us_per_request: f64,
    /// Share of the time for which the generator's threads were busy, in percent.
    pub generator_cpu_percent: f64,
    /// Threads that sent.
    pub generator_threads: usize,
    /// Connections that were opened.
    pub connections_opened: u64,
    /// Connections that were open at the same time, at most.
    pub connections_open: u64,
    /// Why a connection could not be opened, if one could not: of the last one.
    pub connect_fault: Option<String>,
    /// The distributions above by their names, in µs: HdrHistogram's V2 form, compressed, in base64.
    /// Those of several runs can be added.
    pub histograms: BTreeMap<String, String>,
    /// Which part of a schedule that several generators share this was; absent where it was all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// What became of the spans of the requests whose trace is kept; absent where none were to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<SpansSent>,
    /// Ended early by a signal.
    pub interrupted: bool,
    /// Thresholds about answers that did not hold.
    pub failed_answers: Vec<String>,
    /// Thresholds about latency that did not hold.
    pub failed_thresholds: Vec<String>,
    /// Why the generator, and not the system, was the limit; empty when it was not.
    pub instrument_faults: Vec<String>,
    /// How the system fell short of the rate that was asked for, while the generator was in time;
    /// empty when it did not.
    pub overload: Vec<String>,
}

/// The part of a schedule that one of several generators sent, and what must be the same of all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Which one, from 1.
    pub index: u64,
    /// How many there are.
    pub of: u64,
    /// Where the schedule's randomness begins.
    pub seed: u64,
    /// Rate of the whole schedule.
    pub rate_per_second: f64,
    /// How requests arrive: `poisson` or `uniform`.
    pub arrivals: String,
    /// Not measured, before.
    pub warmup_seconds: f64,
    /// When the schedule began, by whoever started the shards: RFC 3339.
    pub start_at: String,
    /// What was requested, without its query: method and URL.
    #[serde(default)]
    pub target: Option<String>,
    /// A later answer counted as failed.
    #[serde(default)]
    pub deadline_seconds: Option<f64>,
    /// Connections of all shards together, and how many they could become.
    #[serde(default)]
    pub connections: Option<(usize, usize)>,
    /// How long after that this shard could begin.
    pub late_ms: f64,
    /// How far its wall clock moved against the monotonic one from the begin to the end.
    pub clock_moved_ms: f64,
}

impl RunResult {
    pub(super) fn of(run: &EngineOutcome, options: &RunOptions) -> Self {
        let arm = &run.arms[0];
        let answered = arm.answered().max(1) as f64;
        let status = |kind: &load::Outcome, count: &u64| match kind {
            load::Outcome::Status(status) => Some(StatusCount {
                status: *status,
                count: *count,
            }),
            _ => None,
        };
        Self {
            seconds: arm.window.as_secs_f64(),
            requests: arm.scheduled,
            asked_per_second: match options.load {
                // Of a schedule that is shared, its part.
                Load::Open { rate, .. } => Some(rate / options.engine.share.of as f64),
                Load::Closed { .. } => None,
            },
            achieved_per_second: arm.achieved_per_second(),
            response_time: arm.response_time.summary(true),
            service_time: arm.service_time.summary(true),
            failure_time: arm.failure_time.summary(false),
            send_lag: arm.send_lag.summary(false),
            connection_wait: arm.connection_wait.summary(false),
            receive_lateness: arm.receive_lateness.summary(false),
            answers: arm
                .outcomes
                .iter()
                .filter_map(|(kind, count)| status(kind, count))
                .collect(),
            errors: arm
                .outcomes
                .iter()
                .filter(|(kind, _)| !kind.is_good())
                .map(|(kind, count)| ErrorCount {
                    kind: kind.to_string(),
                    count: *count,
                })
                .collect(),
            request_bytes: arm.request_bytes as f64 / answered,
            response_bytes: arm.response_bytes as f64 / answered,
            generator_cpu_us_per_request: run.cpu_us_per_request(),
            generator_cpu_percent: run.busy_percent(),
            generator_threads: run.threads,
            connections_opened: arm.connections_opened,
            connections_open: arm.connections_open,
            connect_fault: arm.connect_fault.clone(),
            histograms: BTreeMap::from([
                ("response_time".to_owned(), arm.response_time.to_v2()),
                ("service_time".to_owned(), arm.service_time.to_v2()),
                ("failure_time".to_owned(), arm.failure_time.to_v2()),
                ("send_lag".to_owned(), arm.send_lag.to_v2()),
                ("connection_wait".to_owned(), arm.connection_wait.to_v2()),
                ("receive_lateness".to_owned(), arm.receive_lateness.to_v2()),
            ]),
            shard: Shard::of(run, options),
            spans: None,
            interrupted: run.interrupted,
            failed_answers: Vec::new(),
            failed_thresholds: Vec::new(),
            instrument_faults: Vec::new(),
            overload: Vec::new(),
        }
    }
}

impl Shard {
    /// Nothing where the schedule was not shared and had no moment to begin at.
    fn of(run: &EngineOutcome, options: &RunOptions) -> Option<Self> {
        let engine = &options.engine;
        let start_at = engine.start_at?;
        let Load::Open { rate, arrivals } = options.load else {
            return None;
        };
        let arrivals = arrivals.to_possible_value();
        Some(Self {
            index: engine.share.index + 1,
            of: engine.share.of,
            seed: engine.seed,
            rate_per_second: rate,
            arrivals: arrivals.map_or_else(String::new, |one| one.get_name().to_owned()),
            warmup_seconds: engine.warmup.as_secs_f64(),
            start_at: humantime::format_rfc3339_micros(start_at).to_string(),
            target: Some(target(options)),
            deadline_seconds: Some(engine.deadline.as_secs_f64()),
            connections: Some((
                engine.connections,
                engine.max_connections.unwrap_or(engine.connections),
            )),
            late_ms: run.punctuality.late.as_secs_f64() * 1e3,
            clock_moved_ms: run.punctuality.clock_moved.as_secs_f64() * 1e3,
        })
    }
}

/// A query may hold what nobody else is to read.
fn target(options: &RunOptions) -> String {
    let mut url = options.url.clone();
    url.set_query(None);
    format!("{} {url}", options.method)
}

/// As lines for a terminal.
impl std::fmt::Display for RunResult {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let asked = self
            .asked_per_second
            .map_or(String::new(), |rate| format!(" of {rate:.1} asked"));
        writeln!(out, "{} requests in {:.1} s", self.requests, self.seconds)?;
        writeln!(out, "{:.1} good answers/s{asked}", self.achieved_per_second)?;
        writeln!(
            out,
            "{:<16}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "µs", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (name, latency) in [
            ("response time", &self.response_time),
            ("service time", &self.service_time),
            ("send lag", &self.send_lag),
            ("connection wait", &self.connection_wait),
            ("read late", &self.receive_lateness),
        ] {
            let Latency {
                p50_us,
                p90_us,
                p99_us,
                p99_9_us,
                max_us,
                ..
            } = latency;
            writeln!(
                out,
                "{name:<16}{p50_us:>10.0}{p90_us:>10.0}{p99_us:>10.0}{p99_9_us:>10.0}{max_us:>10.0}"
            )?;
        }
        let counts = |counts: Vec<String>| {
            if counts.is_empty() {
                "none".to_owned()
            } else {
                counts.join(", ")
            }
        };
        let answers = self
            .answers
            .iter()
            .map(|one| format!("{} × {}", one.status, one.count));
        let errors = self
            .errors
            .iter()
            .map(|one| format!("{} × {}", one.kind, one.count));
        writeln!(out, "answers: {}", counts(answers.collect()))?;
        writeln!(out, "errors: {}", counts(errors.collect()))?;
        writeln!(
            out,
            "bytes/request: {:.0} sent, {:.0} received",
            self.request_bytes, self.response_bytes
        )?;
        writeln!(
            out,
            "connections: {} open, {} opened",
            self.connections_open, self.connections_opened
        )?;
        if let Some(fault) = &self.connect_fault {
            writeln!(out, "a connection could not be opened: {fault}")?;
        }
        writeln!(
            out,
            "generator: {:.1} µs CPU/request, busy {:.0} % of the time, threads: {}",
            self.generator_cpu_us_per_request, self.generator_cpu_percent, self.generator_threads
        )?;
        if let Some(SpansSent {
            exported,
            lost,
            fault,
        }) = &self.spans
        {
            let why = fault.as_ref().map(|fault| format!(" ({fault})"));
            let why = why.unwrap_or_default();
            writeln!(out, "traces: {exported} begun, {lost} lost{why}")?;
        }
        for threshold in self.failed_answers.iter().chain(&self.failed_thresholds) {
            writeln!(out, "FAILED: {threshold}")?;
        }
        for fault in &self.instrument_faults {
            writeln!(out, "INVALID: {fault}")?;
        }
        for fault in &self.overload {
            writeln!(out, "OVERLOADED: {fault}")?;
        }
        Ok(())
    }
}
