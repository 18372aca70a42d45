//! `loadtest run`: one stream of requests to any URL, with thresholds.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    instrument::gates::OWN_CONNECT_ADVICE,
    load::{self, Arm, ArmOutcome, EngineError, EngineOutcome, Load, Options, Variant},
    results::v2::{ErrorCount, Latency, StatusCount},
    subject::{
        login::{LoginError, Users},
        strategy::Credential,
    },
};

/// 99th percentile of the generator's own lateness above which it was the limit.
const SEND_LAG_LIMIT: Duration = Duration::from_millis(2);
/// Share of the time, in percent, for which its threads may be busy: above, the generator was the
/// limit.
const GENERATOR_CPU_LIMIT: f64 = 95.0;
/// Share of the requests that must be answered in the measured time; below, the system is overloaded.
const ACHIEVED_SHARE: f64 = 0.99;
/// Runs longer than this have a timeline in seconds.
const FINE_TIMELINE: Duration = Duration::from_secs(120);

/// What is driven, and what must hold.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What is requested. Credentials in it become an `Authorization` header (RFC 7617).
    pub url: Url,
    /// With which method.
    pub method: String,
    /// How many and when.
    pub load: Load,
    /// Header fields of every request.
    pub headers: Vec<(String, String)>,
    /// Body of every request; of no stated type unless a header names one.
    pub body: Option<Vec<u8>>,
    /// Logs users in for this strategy, through the server of the URL.
    pub login: Option<String>,
    /// How many users.
    pub users: usize,
    /// Time, deadline, seed and the like.
    pub engine: Options,
    /// Highest allowed 99th percentile of the response time.
    pub max_p99: Option<Duration>,
    /// Highest allowed share of failed requests.
    pub max_error_ratio: Option<f64>,
}

/// The run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody knows how to log in for it.
    #[error("--login {0:?} is not a strategy")]
    UnknownStrategy(String),
    /// The users could not be logged in.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a run found, as `--out` writes it.
#[derive(Clone, Debug, Serialize)]
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
    pub histograms: BTreeMap<&'static str, String>,
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

/// Drives the URL.
///
/// # Errors
///
/// The users cannot be logged in or the generator cannot start. What the server answers is never
/// an error.
pub fn run(options: &RunOptions, interrupt: &CancellationToken) -> Result<RunResult, RunError> {
    let mut engine_options = options.engine.clone();
    engine_options.interrupt = interrupt.clone();
    if engine_options.duration > FINE_TIMELINE {
        engine_options.slice = Duration::from_secs(1);
    }
    let mut options = options.clone();
    if let Some(authorization) = load::take_credentials(&mut options.url) {
        options.headers.push(authorization);
    }
    let arm = Arm {
        name: "run".to_owned(),
        url: options.url.clone(),
        variants: variants(&options)?,
        load: options.load,
    };
    Ok(RunResult::of(
        &load::run(engine_options, vec![arm])?,
        &options,
    ))
}

fn variants(options: &RunOptions) -> Result<Vec<Variant>, RunError> {
    let variants = match &options.login {
        None => vec![Variant::default()],
        Some(strategy) => {
            let credential = Credential::of(strategy)
                .ok_or_else(|| RunError::UnknownStrategy(strategy.clone()))?;
            let mut gateway = options.url.clone();
            gateway.set_path("/");
            gateway.set_query(None);
            Users::register(&gateway, options.users)?.log_in(credential)?
        }
    };
    let complete = |mut variant: Variant| {
        variant = variant.method(&options.method);
        for (name, value) in &options.headers {
            variant = variant.header(name, value);
        }
        match &options.body {
            Some(body) => variant.body("application/octet-stream", body.clone()),
            None => variant,
        }
    };
    Ok(variants.into_iter().map(complete).collect())
}

impl RunResult {
    fn of(run: &EngineOutcome, options: &RunOptions) -> Self {
        let arm = &run.arms[0];
        let answered = arm.answered().max(1) as f64;
        let status = |kind: &load::Outcome, count: &u64| match kind {
            load::Outcome::Status(status) => Some(StatusCount {
                status: *status,
                count: *count,
            }),
            _ => None,
        };
        let mut result = Self {
            seconds: arm.window.as_secs_f64(),
            requests: arm.scheduled,
            asked_per_second: match options.load {
                Load::Open { rate, .. } => Some(rate),
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
                ("response_time", arm.response_time.to_v2()),
                ("service_time", arm.service_time.to_v2()),
                ("failure_time", arm.failure_time.to_v2()),
                ("send_lag", arm.send_lag.to_v2()),
                ("connection_wait", arm.connection_wait.to_v2()),
                ("receive_lateness", arm.receive_lateness.to_v2()),
            ]),
            interrupted: run.interrupted,
            failed_answers: failed_answers(arm, options),
            failed_thresholds: failed_thresholds(arm, options),
            instrument_faults: Vec::new(),
            overload: Vec::new(),
        };
        result.instrument_faults = instrument_faults(&result, arm, options);
        if result.instrument_faults.is_empty() && !result.interrupted {
            result.overload = overload(arm, options);
        }
        result
    }
}

fn failed_answers(arm: &ArmOutcome, options: &RunOptions) -> Vec<String> {
    let mut failed = Vec::new();
    // The one that nobody has to ask for: a load that reached nobody measured nothing.
    if arm.scheduled > 0 && arm.answered() == 0 {
        failed.push(format!("no request to {} was answered", options.url));
    }
    if let Some(limit) = options.max_error_ratio {
        let ratio = arm.failed() as f64 / arm.scheduled.max(1) as f64;
        if arm.scheduled == 0 || ratio > limit {
            failed.push(format!(
                "{ratio:.5} of the requests failed, --max-error-ratio is {limit}"
            ));
        }
    }
    failed
}

fn failed_thresholds(arm: &ArmOutcome, options: &RunOptions) -> Vec<String> {
    let mut failed = Vec::new();
    if let Some(limit) = options.max_p99 {
        let p99_us = arm.response_time.quantile_us(0.99);
        // Without a single good answer there is no latency that could be low enough.
        if arm.response_time.count() == 0 || p99_us > limit.as_secs_f64() * 1e6 {
            failed.push(format!(
                "p99 of the response time is {p99_us:.0} µs, --max-p99 is {limit:?}"
            ));
        }
    }
    failed
}

/// A closed loop is meant to be as fast as it can, so that only an open loop can be late.
fn instrument_faults(result: &RunResult, arm: &ArmOutcome, options: &RunOptions) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(fault) = &arm.own_connect_fault {
        let asked = match options.load {
            Load::Closed { connections } => connections,
            Load::Open { .. } => {
                let engine = &options.engine;
                engine.max_connections.unwrap_or(engine.connections)
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

/// Requests were due faster than they were answered. Those in flight at the end, at most one a
/// connection, are not missing.
fn overload(arm: &ArmOutcome, options: &RunOptions) -> Vec<String> {
    if matches!(options.load, Load::Closed { .. }) {
        return Vec::new();
    }
    let answered = arm.good_in_window + arm.connections_open;
    if answered as f64 >= ACHIEVED_SHARE * arm.scheduled as f64 {
        return Vec::new();
    }
    vec![format!(
        "{} of the {} requests had a good answer within the measured time, and the generator was in time",
        arm.good_in_window, arm.scheduled
    )]
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
