//! The arguments of `loadtest run`, and of `loadtest merge`, which adds what its shards found.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Args;
use url::Url;

use super::{connections, rate, ratio, strategy};
use crate::load::{Arrivals, Share};

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    /// What is requested; credentials in it are sent as HTTP Basic
    #[arg(long)]
    pub(in crate::cli) url: Url,
    /// With which method
    #[arg(long, value_name = "M", default_value = "GET")]
    pub(in crate::cli) method: String,
    /// With which body: the text itself, or @FILE
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(in crate::cli) body: Option<String>,
    /// Open loop: requests per second
    #[arg(long, value_name = "R", value_parser = rate, required_unless_present = "connections")]
    pub(in crate::cli) rate: Option<f64>,
    /// Connections, each busy at all times without --rate; with it, requests wait for a free one [default: 32]
    #[arg(long, value_name = "C", value_parser = connections)]
    pub(in crate::cli) connections: Option<usize>,
    /// Open loop: one more connection for each request that waits, up to so many [default: no more than --connections]
    #[arg(long, value_name = "M", requires = "rate", value_parser = connections)]
    pub(in crate::cli) max_connections: Option<usize>,
    /// Threads that send [default: 1 below four cores, else 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(in crate::cli) generator_threads: Option<u16>,
    /// Polls for so long before each request is due, in place of sleeping: more punctual, more CPU time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = at_most_an_hour)]
    pub(in crate::cli) busy_poll: Duration,
    /// Certificates of the authorities that an https server is trusted by, as PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// Open loop: how requests arrive
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    pub(in crate::cli) arrivals: Arrivals,
    /// Measured time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = measured_time)]
    pub(in crate::cli) duration: Duration,
    /// Not measured, before
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = at_most_an_hour)]
    pub(in crate::cli) warmup: Duration,
    /// A later answer counts as failed
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = deadline)]
    pub(in crate::cli) deadline: Duration,
    /// A header field as "Name: value"; can be given several times
    #[arg(long = "header", value_name = "FIELD", value_parser = header)]
    pub(in crate::cli) headers: Vec<(String, String)>,
    /// Registers users at /auth of the same server and logs them in for this strategy
    #[arg(long, value_name = "S", value_parser = strategy)]
    pub(in crate::cli) login: Option<String>,
    /// How many users
    #[arg(long, value_name = "N", default_value_t = 8, requires = "login", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) users: u32,
    /// Share of requests whose trace is kept; 0 sends no traceparent
    #[arg(long, default_value_t = 0.0, value_parser = ratio)]
    pub(in crate::cli) trace_ratio: f64,
    /// Who gets the spans of the requests whose trace is kept, by OTLP over HTTP [default: nobody; the
    /// traces then begin at the server]
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide_env_values = true
    )]
    pub(in crate::cli) trace_endpoint: Option<Url>,
    /// The same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
    /// One of several generators, from 1: of the schedule it sends the requests I, I+N, I+2N, …, and it has
    /// its part of the connections. All else is given to each alike; `loadtest merge` adds what they found
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "rate", requires = "start_at")]
    pub(in crate::cli) shard: Option<Share>,
    /// When the schedule begins: RFC 3339, or seconds since 1970. The clocks of all machines must agree
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "rate")]
    pub(in crate::cli) start_at: Option<SystemTime>,
    /// Fails (exit 1) when the 99th percentile of the response time is above
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(in crate::cli) max_p99: Option<Duration>,
    /// Fails (exit 1) when a larger share of requests fails
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub(in crate::cli) max_error_ratio: Option<f64>,
    /// Where the result goes as JSON as well
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MergeArgs {
    /// What each shard wrote with --out
    #[arg(required = true)]
    pub(in crate::cli) results: Vec<PathBuf>,
    /// Fails (exit 1) when the 99th percentile of the response time is above
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(in crate::cli) max_p99: Option<Duration>,
    /// Fails (exit 1) when a larger share of requests fails
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub(in crate::cli) max_error_ratio: Option<f64>,
    /// Where the result goes as JSON as well
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) out: Option<PathBuf>,
}

/// A week.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const HOUR: Duration = Duration::from_secs(3_600);

fn measured_time(text: &str) -> Result<Duration, String> {
    time(
        text,
        |time| !time.is_zero() && time <= LONGEST,
        "above 0 and up to 7days",
    )
}

fn deadline(text: &str) -> Result<Duration, String> {
    time(
        text,
        |time| !time.is_zero() && time <= HOUR,
        "above 0 and up to 1h",
    )
}

fn at_most_an_hour(text: &str) -> Result<Duration, String> {
    time(text, |time| time <= HOUR, "up to 1h")
}

fn time(
    text: &str,
    makes_sense: impl Fn(Duration) -> bool,
    range: &str,
) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match makes_sense(time) {
        true => Ok(time),
        false => Err(format!("a time {range} is needed")),
    }
}

/// `2/3`: the second of three.
fn shard(text: &str) -> Result<Share, String> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(one, of)| Some((one.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((one, of)) if (1..=of).contains(&one) && of <= 1_024 => {
            Ok(Share { index: one - 1, of })
        }
        _ => Err("I/N is needed, such as 2/3 for the second of three".to_owned()),
    }
}

/// `2026-01-02T03:04:05Z` or `1767323045`, each with decimals.
fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(moment) = humantime::parse_rfc3339_weak(text) {
        return Ok(moment);
    }
    match text.parse::<f64>().map(Duration::try_from_secs_f64) {
        Ok(Ok(since)) => SystemTime::UNIX_EPOCH.checked_add(since),
        _ => None,
    }
    .ok_or_else(|| "2026-01-02T03:04:05Z, or seconds since 1970, is needed".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("\"Name: value\" is needed")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
