//! The arguments of `loadtest refresh-race`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct RaceArgs {
    /// Requests of one login that are sent at the same time, just after its token ran out
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::cli) requests: u32,
    /// Logins in each of the four races [default: 20, with --quick 5]
    // A user has 100 logins at a time, and two races of a system have the same one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=90))]
    pub(in crate::cli) logins: Option<u32>,
    /// Fewer logins
    #[arg(long)]
    pub(in crate::cli) quick: bool,
    /// API processes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = super::replicas)]
    pub(in crate::cli) replicas: usize,
    /// Where auth-service, api-service and gateway are [default: beside this program, then PATH]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) bin_dir: Option<PathBuf>,
    /// Where results.json, report.html and junit.xml go
    #[arg(long, value_name = "DIR", default_value = "statewise-results")]
    pub(in crate::cli) out: PathBuf,
}
