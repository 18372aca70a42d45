//! The arguments of `loadtest scale`.

use std::path::PathBuf;

use clap::Args;

use super::{replicas, strategy};
use crate::experiment::scale::{REDIS_CPU, REPLICA_CPU};

#[derive(Debug, Args)]
pub(in crate::cli) struct ScaleArgs {
    /// A strategy; can be given several times [default: jwt, jwt-remembered, session and session-cached, with
    /// --quick jwt and session]
    #[arg(long = "strategy", value_name = "S", value_parser = strategy)]
    pub(in crate::cli) strategies: Vec<String>,
    /// Numbers of API replicas that are observed [default: 1,2,3,4,5,6,8, with --quick 1,2,3,4,6];
    /// the service demands are measured at one, two and the most
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = replicas)]
    pub(in crate::cli) replicas: Vec<usize>,
    #[arg(
        long,
        value_name = "CORES",
        value_parser = cores,
        help = format!(
            "Processors of each API replica [default: {REPLICA_CPU}, less for a strategy so cheap that \
             the machine could not carry all replicas]"
        )
    )]
    pub(in crate::cli) replica_cpu: Option<f64>,
    /// Processors of Redis
    #[arg(long, value_name = "CORES", default_value_t = REDIS_CPU, value_parser = cores)]
    pub(in crate::cli) redis_cpu: f64,
    /// Shards of the store; the local system has one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1))]
    pub(in crate::cli) redis_shards: u32,
    /// Scales the auth-service too: numbers of auth-services, on a PostgreSQL that they share, such as 1,2,4
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = replicas)]
    pub(in crate::cli) auth_replicas: Vec<usize>,
    /// Adds replicas one by one under load and takes them away again, so often [default: 1, with --quick 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000))]
    pub(in crate::cli) up_and_down: Option<u32>,
    /// Threads of the gateway, which has no slice
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = replicas)]
    pub(in crate::cli) gateway_threads: usize,
    /// Without slices: all processes share the machine. The results say so
    #[arg(long)]
    pub(in crate::cli) whole_machine: bool,
    /// Below three minutes for two strategies, with wider intervals; the output says what is left out
    #[arg(long)]
    pub(in crate::cli) quick: bool,
    /// Where auth-service, api-service and gateway are [default: beside this program, then PATH]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) bin_dir: Option<PathBuf>,
    /// Where prediction.json, results.json, report.html and junit.xml go
    #[arg(long, value_name = "DIR", default_value = "statewise-results")]
    pub(in crate::cli) out: PathBuf,
    /// The same seed gives the same order
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
}

/// A CPU limit, as a number of processors.
pub(super) fn cores(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cores) if (0.002..=64.0).contains(&cores) => Ok(cores),
        _ => Err("a number of processors from 0.002 to 64 is needed, such as 0.05".to_owned()),
    }
}
