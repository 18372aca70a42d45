//! `loadtest run`.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context;

use super::{
    EXIT_INCONCLUSIVE, EXIT_INVALID, EXIT_THRESHOLD, ResultFile, Usage, arguments::RunArgs,
    deliver, growth,
};
use crate::{
    experiment::run::{self, Limits, RunOptions, RunResult},
    interrupt,
    load::{Load, Options, Share},
};

impl RunArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.as_deref().map(ResultFile::at).transpose()?;
        self.one_authorization()?;
        let result = run::run(&self.options()?, &interrupt)?;
        deliver(out, &result, &result.to_string())?;
        Ok(exit_code(&result))
    }

    /// Servers that see two credentials differ in which one they believe.
    fn one_authorization(&self) -> Result<(), Usage> {
        let in_url = !self.url.username().is_empty() || self.url.password().is_some();
        let mut given = vec![
            (in_url, "the credentials in --url"),
            (self.login.is_some(), "--login"),
        ];
        let headers = self.headers.iter();
        let names = headers.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        given.extend(names.map(|_| (true, "--header Authorization")));
        let given: Vec<&str> = given
            .into_iter()
            .filter_map(|(is, what)| is.then_some(what))
            .collect();
        match given.len() {
            0 | 1 => Ok(()),
            _ => Err(Usage(format!(
                "{} would each send an Authorization header, and a request has one: give one of them",
                given.join(" and ")
            ))),
        }
    }

    fn options(self) -> anyhow::Result<RunOptions> {
        let defaults = Options::default();
        growth(self.connections, self.max_connections)?;
        self.start_at.map_or(Ok(()), near)?;
        let connections = self.connections.unwrap_or(defaults.connections);
        if let Some(share) = self.shard.filter(|share| share.of > connections as u64) {
            return Err(Usage(format!(
                "{connections} connections cannot be shared by {} shards",
                share.of
            ))
            .into());
        }
        let body = match self.body {
            None => None,
            Some(text) => Some(match text.strip_prefix('@') {
                Some(file) => std::fs::read(file).with_context(|| format!("reading {file}"))?,
                None => text.into_bytes(),
            }),
        };
        Ok(RunOptions {
            url: self.url,
            method: self.method,
            load: match self.rate {
                Some(rate) => Load::Open {
                    rate,
                    arrivals: self.arrivals,
                },
                None => Load::Closed { connections },
            },
            headers: self.headers,
            body,
            collector: self.trace_endpoint.filter(|_| self.trace_ratio > 0.0),
            login: self.login,
            users: self.users as usize,
            engine: Options {
                duration: self.duration,
                warmup: self.warmup,
                deadline: self.deadline,
                connections,
                max_connections: self.max_connections,
                threads: self.generator_threads.map_or(defaults.threads, usize::from),
                busy_poll: self.busy_poll,
                ca_file: self.ca,
                seed: self.seed,
                trace_ratio: self.trace_ratio,
                // Without randomness the traces of two runs of one seed are the same.
                trace_run: getrandom::u64().unwrap_or_default(),
                share: self.shard.unwrap_or(Share::WHOLE),
                start_at: self.start_at,
                ..defaults
            },
            limits: Limits {
                max_p99: self.max_p99,
                max_error_ratio: self.max_error_ratio,
            },
        })
    }
}

/// Who is late by more than this is not late but wrong; who would wait longer as well.
const PAST: Duration = Duration::from_secs(3_600);
const AHEAD: Duration = Duration::from_secs(86_400);

/// A moment that a run can begin at.
fn near(moment: SystemTime) -> Result<(), Usage> {
    let now = SystemTime::now();
    let told = match (now.duration_since(moment), moment.duration_since(now)) {
        (Ok(past), _) if past > PAST => format!("{:.0} s ago", past.as_secs_f64()),
        (_, Ok(ahead)) if ahead > AHEAD => format!("{:.0} s ahead", ahead.as_secs_f64()),
        _ => return Ok(()),
    };
    Err(Usage(format!(
        "--start-at is {told}: a moment within the next day is needed"
    )))
}

pub(super) fn exit_code(result: &RunResult) -> ExitCode {
    if result.interrupted {
        interrupt::exit_code()
    } else if !result.instrument_faults.is_empty() {
        ExitCode::from(EXIT_INVALID)
    } else if !result.failed_answers.is_empty() || !result.failed_thresholds.is_empty() {
        ExitCode::from(EXIT_THRESHOLD)
    } else if !result.overload.is_empty() {
        ExitCode::from(EXIT_INCONCLUSIVE)
    } else {
        ExitCode::SUCCESS
    }
}
