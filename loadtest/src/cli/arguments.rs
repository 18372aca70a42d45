//! Every command with its arguments, as `--help` shows them.

mod capacity;
mod distance;
mod race;
mod run;
mod scale;
mod sizes;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use url::Url;

use crate::{
    disturb::fault::{FAULTS, Fault},
    experiment::compare::ArmSpec,
    results::{RevocationKind, coupling::Form},
    subject::{
        mix::Mix,
        strategy::{KNOWN_STRATEGIES, Strategy},
    },
};

pub(super) use capacity::CapacityArgs;
pub(super) use distance::DistanceArgs;
pub(super) use race::RaceArgs;
pub(super) use run::{MergeArgs, RunArgs};
pub(super) use scale::ScaleArgs;
pub(super) use sizes::SizesArgs;

/// Starts or finds a system, drives it, breaks it, compares, reports.
///
/// Exit codes: 0 done · 1 a threshold failed, or the job could not be done · 2 usage · 3 INVALID or
/// DISTURBED: the instrument or the machine was the limit · 4 OVERLOADED or INCONCLUSIVE, or a threshold
/// is unclear · 130 interrupted. The first of 130, 2, 3, 1, 4 that applies is told.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Starts a whole system of real processes
    #[command(subcommand)]
    Stack(StackCommand),
    /// Compares strategies: latency, CPU, highest rate, what happens under faults
    Compare(CompareArgs),
    /// Drives one URL
    Run(RunArgs),
    /// Adds the results of the shards of one run
    Merge(MergeArgs),
    /// Takes parts of a system away under load
    Coupling(CouplingArgs),
    /// Measures how long a revoked credential is still accepted
    Freshness(FreshnessArgs),
    /// Measures what each strategy costs at a distance from its store, and where two cost the same
    Distance(DistanceArgs),
    /// Measures what the next replica buys, predicted and observed, each process in a slice of a processor
    Scale(ScaleArgs),
    /// Measures what many logins at the same time do to everybody else
    LoginStorm(StormArgs),
    /// Measures what the size of what is carried costs, and where a token and a session cost the same
    Sizes(SizesArgs),
    /// Sends many requests at the moment when the token that they carry runs out
    RefreshRace(RaceArgs),
    /// Renders one results.json again, or several on one page
    Report(ReportArgs),
    /// What a rate of requests takes of each part, by a model of what was measured
    ///
    /// An answer is worth what the worst of its files is, and says so: exit code 3 when one is INVALID or
    /// DISTURBED, 4 when one is OVERLOADED or INCONCLUSIVE. Thresholds of the files are not looked at.
    Capacity(CapacityArgs),
    /// Compares two results.json of the same machine
    Diff(DiffArgs),
    /// Lists what can be measured: ids for --fail-if and results.json, units, meaning
    Metrics,
    /// Prints the JSON Schema of results.json
    #[command(hide = true)]
    Schema,
    /// Serves known latencies until SIGINT or SIGTERM: what scripts/trust holds this program to.
    /// Prints its URL at once, and at its end what serving took, as JSON
    #[command(hide = true)]
    Target(TargetArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum StackCommand {
    /// Starts the system and ends it on SIGINT or SIGTERM
    Up(UpArgs),
}

#[derive(Debug, Args)]
pub(super) struct SystemArgs {
    /// A strategy; can be given several times, and the first is the baseline [default: jwt and session]
    #[arg(long = "strategy", value_name = "S", value_parser = strategy)]
    pub(super) strategies: Vec<String>,
    /// API processes per strategy
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = replicas)]
    pub(super) replicas: usize,
    /// A Redis that runs, in place of one that is started
    #[arg(long, value_name = "URL")]
    pub(super) redis_url: Option<String>,
    /// Where auth-service, api-service and gateway are [default: beside this program, then PATH]
    #[arg(long, value_name = "DIR")]
    pub(super) bin_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    pub(super) system: SystemArgs,
    /// Auth services; several need --postgres
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = replicas)]
    pub(super) auth_replicas: usize,
    /// Users in a PostgreSQL that is started too, in place of a SQLite file
    #[arg(long)]
    pub(super) postgres: bool,
    /// Gateways, each with every route
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = replicas)]
    pub(super) gateways: usize,
    /// Written when all is ready: addresses and processes as JSON; removed when it ends
    #[arg(long, value_name = "PATH")]
    pub(super) ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    pub(super) system: SystemArgs,
    /// A build, a setting, a server of one's own.
    #[arg(
        long = "arm",
        value_name = "ARM",
        help = "A build, a setting, a server of your own: NAME=strategy[,bin-dir=DIR][,env=K=V][,url=URL][,header=Name: value]; \
                can be given several times; strategies come first, and the first of all arms is the baseline"
    )]
    pub(super) arms: Vec<ArmSpec>,
    /// Below two minutes for two strategies, with wider intervals; the output says what is left out
    #[arg(long)]
    pub(super) quick: bool,
    /// One rate in requests per second [default: several, as shares of the slower arm's highest rate]
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Blocks that are measured, or "auto": until --detect can be seen [default: 10, with --quick 7]
    #[arg(long, value_name = "N|auto", value_parser = rounds)]
    pub(super) rounds: Option<Blocks>,
    /// With --rounds auto: the difference that every headline row shall be able to show [default: 5%]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(super) detect: Option<f64>,
    /// With --rounds auto: time for the blocks [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) max_time: Option<Duration>,
    /// Logins whose credentials are presented in turn; several sizes are measured each [default: 32, with --quick 8]
    #[arg(long = "working-set", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) working_sets: Vec<u32>,
    /// What is requested: me, app (80 % /me, 10 % and 5 % reads and writes of the cart, 2 % logins, 2 % refreshes, 1 % logouts),
    /// or shares such as me=90,login=10; several are measured each
    #[arg(long = "mix", value_name = "MIX", default_value = "me")]
    pub(super) mixes: Vec<Mix>,
    /// Connections of the generator to each arm
    #[arg(long, value_name = "C", default_value_t = 32, value_parser = connections)]
    pub(super) connections: usize,
    /// Lets them grow to this number; without it, a request that finds none free waits
    #[arg(long, value_name = "C", value_parser = connections)]
    pub(super) max_connections: Option<usize>,
    /// Threads of the generator [default: 1 below four cores, else 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) generator_threads: Option<u16>,
    /// Base URL of a system that runs, in place of one that is started. With AUTH_ADMIN_USERNAME and
    /// AUTH_ADMIN_PASSWORD in the environment, the lags of bans and role changes are measured too
    #[arg(long, value_name = "URL")]
    pub(super) gateway: Option<Url>,
    /// Base URL of the running gateway's /pools and /metrics; without it no CPU time is told, and no revocation lags
    #[arg(long, value_name = "URL", requires = "gateway")]
    pub(super) gateway_admin: Option<Url>,
    /// Takes no part of the system away
    #[arg(long)]
    pub(super) no_faults: bool,
    /// Revocations per strategy whose lag is measured; 0: none [default: 200, with --quick 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(super) revocations: Option<u32>,
    /// A condition under which the run has failed (exit code 1), such as 'p99(session) > 5ms' or
    /// 'ratio(cpu, session, jwt) > 1.3'; can be given several times; see `loadtest metrics`
    #[arg(long = "fail-if", value_name = "EXPR")]
    pub(super) fail_if: Vec<String>,
    /// Where results.json, report.html and junit.xml go
    #[arg(long, value_name = "DIR", default_value = "statewise-results")]
    pub(super) out: PathBuf,
    /// The same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct CouplingArgs {
    #[command(flatten)]
    pub(super) system: SystemArgs,
    /// Short faults: the usual four, once each, all strategies at once
    #[arg(long)]
    pub(super) quick: bool,
    /// A fault; can be given several times [default: all, with --quick the usual four]
    #[arg(long = "fault", value_name = "ID", value_parser = fault)]
    pub(super) faults: Vec<&'static Fault>,
    /// How often each fault is made, per form [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) repetitions: Option<u32>,
    /// Under load at once: all strategies, or each alone; can be given twice [default: both, with --quick all]
    #[arg(long = "form", value_name = "FORM", value_enum)]
    pub(super) forms: Vec<Form>,
    /// Requests per second and strategy
    #[arg(long, value_name = "R", default_value_t = 500.0, value_parser = rate)]
    pub(super) rate: f64,
    /// The same seed gives the same order and the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Where the result goes as JSON as well
    #[arg(long, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct FreshnessArgs {
    #[command(flatten)]
    pub(super) system: SystemArgs,
    /// Fewer revocations, and tokens that live shorter still
    #[arg(long)]
    pub(super) quick: bool,
    /// Revocations per strategy of the first kind; of each further kind a quarter [default: 200, with --quick 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) revocations: Option<u32>,
    /// What is revoked; can be given several times [default: all three]
    #[arg(long = "kind", value_name = "KIND", value_enum)]
    pub(super) kinds: Vec<RevocationKind>,
    /// Base URL of a system that runs, in place of one that is started. What only time ends is watched for some
    /// seconds there. With AUTH_ADMIN_USERNAME and AUTH_ADMIN_PASSWORD in the environment, bans and role changes are
    /// measured too
    #[arg(long, value_name = "URL", requires = "gateway_admin")]
    pub(super) gateway: Option<Url>,
    /// Base URL of the running gateway's /pools, whose members are asked themselves
    #[arg(long, value_name = "URL", requires = "gateway")]
    pub(super) gateway_admin: Option<Url>,
    /// The same seed gives the same moments
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Where the result goes as JSON as well
    #[arg(long, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct StormArgs {
    #[command(flatten)]
    pub(super) system: SystemArgs,
    /// Fewer and shorter windows
    #[arg(long)]
    pub(super) quick: bool,
    /// Users who log in at the same time
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(super) logins: u32,
    /// Requests for /me per second and strategy
    #[arg(long, value_name = "R", default_value_t = 500.0, value_parser = rate)]
    pub(super) rate: f64,
    /// Gives the auth-service a slice of so many processors, such as 0.5
    #[arg(long, value_name = "CORES", value_parser = scale::cores)]
    pub(super) auth_cpu: Option<f64>,
    /// Fails (exit 1) when a p99 of /me is more than so many times what it is without the logins, or a request fails
    #[arg(long, value_name = "RATIO", value_parser = rate)]
    pub(super) max_ratio: Option<f64>,
    /// The same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Where the result goes as JSON as well
    #[arg(long, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// One results.json, or several for one page
    #[arg(required = true)]
    pub(super) results: Vec<PathBuf>,
    /// Where report.html goes [default: beside the first]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The earlier results.json
    pub(super) earlier: PathBuf,
    /// The later one
    pub(super) later: PathBuf,
    /// Compares what was measured in different circumstances too
    #[arg(long)]
    pub(super) force: bool,
    /// Fails (exit 1) when a latency or a CPU time is higher by more than this ratio beyond doubt; exit 4
    /// when it may be or not
    #[arg(long, value_name = "RATIO", value_parser = rate)]
    pub(super) max_ratio: Option<f64>,
}

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Time from a request to its answer; of several, each request takes the next one, over and over
    #[arg(long = "delay", value_name = "TIME", value_delimiter = ',', value_parser = humantime::parse_duration)]
    pub(super) delays: Vec<Duration>,
}

fn strategy(text: &str) -> Result<String, String> {
    match Strategy::named(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("known are {}", KNOWN_STRATEGIES.join(", "))),
    }
}

/// How many blocks `--rounds` asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blocks {
    Count(u32),
    Auto,
}

fn rounds(text: &str) -> Result<Blocks, String> {
    match text.parse::<u32>() {
        Ok(count) if (2..=1_000).contains(&count) => Ok(Blocks::Count(count)),
        _ if text == "auto" => Ok(Blocks::Auto),
        _ => Err("a number from 2 to 1000, or auto, is needed".to_owned()),
    }
}

/// A fault by its id.
fn fault(text: &str) -> Result<&'static Fault, String> {
    let ids = FAULTS.map(|fault| fault.id);
    Fault::named(text).ok_or_else(|| format!("known are {}", ids.join(", ")))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 1_000.0 => Ok(1.0 + percent / 100.0),
        _ => Err("a percentage above 0, such as 5%, is needed".to_owned()),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=65_536).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 65536 is needed".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // More than any generator sends; what is due and cannot be sent takes memory. The lowest is
        // one in eleven days.
        Ok(rate) if (1e-6..=1e6).contains(&rate) => Ok(rate),
        _ => Err("a number from 0.000001 to 1000000 is needed".to_owned()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a number from 0 to 1 is needed".to_owned()),
    }
}

fn replicas(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=64).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 64 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_spelling_that_scripts_use_is_understood() {
        for line in [
            "loadtest stack up --strategy jwt --strategy session --replicas 3 --ready-file f",
            "loadtest stack up --auth-replicas 2 --postgres --gateways 2",
            "loadtest compare --quick --strategy jwt --replicas 2 --rate 100 --gateway http://g:8080 \
             --gateway-admin http://g:9901 --redis-url redis://r:6379 --out dir",
            "loadtest run --url http://h/ --rate 10 --duration 5s --header A:b --max-p99 5ms --max-error-ratio 0",
            "loadtest run --url http://h/ --connections 32 --login jwt --users 4 --out f",
            "loadtest compare --arm a=jwt --arm b=jwt,env=AUTH_ALGORITHM=EdDSA --rounds auto --detect 3% --working-set 32,10000",
            "loadtest compare --strategy jwt --strategy jwt --rounds 12 --connections 8",
            "loadtest run --url https://h/ --rate 9 --connections 4 --max-connections 8 --ca f --busy-poll 20us \
             --generator-threads 2 --method POST --body @f --header A:b --header C:d",
            "loadtest run --url http://h/ --rate 9 --shard 2/3 --start-at 2026-01-02T03:04:05.5Z --out f",
            "loadtest run --url http://h/ --rate 9 --start-at 1767323045.5",
            "loadtest merge a b c --max-p99 5ms --max-error-ratio 0 --out f",
            "loadtest compare --fail-if p99(jwt)>5ms --fail-if cpu(jwt)>100us",
            "loadtest coupling --quick",
            "loadtest coupling --strategy jwt --fault redis_slow --fault auth_outlasting --repetitions 5 \
             --form alone --rate 200 --out f",
            "loadtest distance --rtt 0,0.25,20 --strategy jwt --strategy session --rate 500 --quick --out dir",
            "loadtest scale --quick --strategy jwt --replicas 1,2,3,4,5,6,8 --replica-cpu 0.05 --redis-cpu 0.05 \
             --redis-shards 1 --auth-replicas 1,2,4 --up-and-down 20 --gateway-threads 1 --whole-machine --out dir --seed 7",
            "loadtest sizes --roles 10,100,1000 --record 0.3k,3k,30k --strategy jwt --strategy session --quick \
             --rate 500 --out dir",
            "loadtest refresh-race --requests 50 --logins 4 --quick --out dir",
            "loadtest report results.json",
            "loadtest report a.json b.json --out dir",
            "loadtest capacity a.json b.json --rate 100k,1M --rtt 0.5 --active-users 5M --token-life 5m \
             --logout-within 1s --replicas 40 --without-redis --assume session_bytes=1200 --json",
            "loadtest metrics",
            "loadtest target --delay 500us,2ms",
        ] {
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "loadtest",
            "loadtest run --url http://h/",
            "loadtest run --url http://h/ --rate 0",
            "loadtest run --url http://h/ --rate 1e9",
            "loadtest run --url http://h/ --connections 1 --max-connections 2",
            "loadtest run --url http://h/ --rate 1 --generator-threads 0",
            "loadtest run --url http://h/ --rate 1 --duration 0s",
            "loadtest run --url http://h/ --rate 1 --warmup 1000years",
            "loadtest run --url http://h/ --rate 1 --deadline 0s",
            "loadtest run --url http://h/ --connections 0",
            "loadtest run --url http://h/ --rate 1 --login jwt --users 0",
            "loadtest run --url http://h/ --rate 1 --max-error-ratio 2",
            "loadtest run --url nonsense --rate 1",
            "loadtest run --url http://h/ --rate 1 --shard 1/3",
            "loadtest run --url http://h/ --rate 1 --shard 0/3 --start-at 1767323045",
            "loadtest run --url http://h/ --rate 1 --shard 4/3 --start-at 1767323045",
            "loadtest run --url http://h/ --rate 1 --start-at tomorrow",
            "loadtest run --url http://h/ --connections 1 --shard 1/3 --start-at 1767323045",
            "loadtest merge",
            "loadtest compare --replicas 0",
            "loadtest compare --strategy cookies",
            "loadtest run --url http://h/ --rate 1 --login cookies",
            "loadtest compare --gateway-admin http://g:9901",
            "loadtest compare --arm a=cookies",
            "loadtest compare --rounds 1",
            "loadtest compare --detect 0",
            "loadtest compare --working-set 0",
            "loadtest distance --rtt -1",
            "loadtest run --url http://h/ --rate 1e-300",
            "loadtest distance --rtt 0,1000",
            "loadtest scale --replicas 0",
            "loadtest scale --replicas 1,x",
            "loadtest scale --replica-cpu 0",
            "loadtest scale --redis-shards 3",
            "loadtest sizes --roles 0",
            "loadtest sizes --record many",
            "loadtest sizes --record 0",
            "loadtest refresh-race --requests 0",
            "loadtest coupling --fault rain",
            "loadtest report",
            "loadtest capacity",
            "loadtest capacity a.json --rate none",
            "loadtest coupling --repetitions 0",
        ] {
            assert!(
                Cli::try_parse_from(line.split_whitespace()).is_err(),
                "{line}"
            );
        }
    }
}
