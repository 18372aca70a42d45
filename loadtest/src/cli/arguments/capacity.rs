//! The arguments of `loadtest capacity`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::model::parse_count;

#[derive(Debug, Args)]
pub(in crate::cli) struct CapacityArgs {
    /// One results.json, or several whose figures are taken together
    #[arg(required = true)]
    pub(in crate::cli) results: Vec<PathBuf>,
    /// Requests per second at the peak, such as 100k; several have an answer each [default: 100k]
    #[arg(long = "rate", value_name = "R", value_delimiter = ',', value_parser = parse_count)]
    pub(in crate::cli) rates: Vec<f64>,
    /// Logins that are alive at the same time, such as 5M [default: 1M]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(in crate::cli) active_users: Option<f64>,
    /// From a replica of the API to Redis and back, in milliseconds [default: 0.5]
    #[arg(long, value_name = "MS")]
    pub(in crate::cli) rtt: Option<f64>,
    /// Life of an access token [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(in crate::cli) token_life: Option<Duration>,
    /// How long after a logout the old credential may be accepted [default: any time]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(in crate::cli) logout_within: Option<Duration>,
    /// Replicas of the API, of one core each [default: as needed]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(in crate::cli) replicas: Option<f64>,
    /// Leaves out what does not answer while Redis is gone
    #[arg(long)]
    pub(in crate::cli) without_redis: bool,
    /// Share of its core that a process is planned to be busy [default: 0.6]
    #[arg(long, value_name = "SHARE")]
    pub(in crate::cli) utilisation: Option<f64>,
    /// Sessions, or verified tokens, that a thread keeps where any are kept [default: 10k]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(in crate::cli) cache_entries: Option<f64>,
    /// How long a login lasts [default: 12h]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(in crate::cli) login_every: Option<Duration>,
    /// Bytes of data that a Redis shard may hold [default: 16G]
    #[arg(long, value_name = "BYTES", value_parser = parse_count)]
    pub(in crate::cli) shard_memory: Option<f64>,
    /// Bits per second to and from a Redis shard [default: 5G]
    #[arg(long, value_name = "BITS", value_parser = parse_count)]
    pub(in crate::cli) shard_network: Option<f64>,
    /// A number of your own for a figure: session_bytes=1200, or of one strategy session.round_trips=2; can
    /// be given several times
    #[arg(long = "assume", value_name = "FIGURE=NUMBER")]
    pub(in crate::cli) assumed: Vec<String>,
    /// Prints JSON: answers, figures with their sources, formulas
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
