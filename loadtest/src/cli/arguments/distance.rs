//! The arguments of `loadtest distance`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{rate, strategy};

/// Farther apart, no request is answered within its deadline.
const FARTHEST_MS: f64 = 500.0;

#[derive(Debug, Args)]
pub(in crate::cli) struct DistanceArgs {
    /// A strategy; can be given several times [default: jwt, session, session-cached, introspection and phantom]
    #[arg(long = "strategy", value_name = "S", value_parser = strategy)]
    pub(in crate::cli) strategies: Vec<String>,
    /// Round-trip times that are added between the API and what it asks, in ms; at 0 nothing is between
    /// [default: 0,0.25,0.5,1,2,5,20, with --quick 0,0.5,2,20]
    #[arg(long, value_name = "MS", value_delimiter = ',', value_parser = round_trip)]
    pub(in crate::cli) rtt: Vec<Duration>,
    /// Requests per second, of one strategy at a time
    #[arg(long, value_name = "R", default_value_t = 1_000.0, value_parser = rate)]
    pub(in crate::cli) rate: f64,
    /// Below three minutes for the default strategies, with wider intervals; the output says what is left out
    #[arg(long)]
    pub(in crate::cli) quick: bool,
    /// Where auth-service, api-service and gateway are [default: beside this program, then PATH]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) bin_dir: Option<PathBuf>,
    /// Where results.json, report.html and junit.xml go
    #[arg(long, value_name = "DIR", default_value = "statewise-results")]
    pub(in crate::cli) out: PathBuf,
    /// The same seed gives the same order and the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
}

/// A round-trip time in milliseconds.
fn round_trip(text: &str) -> Result<Duration, String> {
    match text.trim().parse::<f64>() {
        Ok(ms) if (0.0..=FARTHEST_MS).contains(&ms) => Ok(Duration::from_secs_f64(ms / 1e3)),
        _ => Err(format!("a number of ms from 0 to {FARTHEST_MS} is needed")),
    }
}
