//! The command line: what can be asked for, and the exit code of each answer.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    compare::{self, CompareError, CompareOptions},
    coupling::{self, CouplingError, CouplingOptions},
    engine::{Arm, Arrivals, Load, Options},
    interrupt,
    login::{Credential, Users},
    progress::Progress,
    report,
    results::{self, Results, Validity},
    run::{self, RunOptions},
    stack::{RedisSource, Stack, StackError, StackOptions},
};

/// A threshold did not hold.
const EXIT_THRESHOLD: u8 = 1;
/// The instrument, not the system, was the limit.
const EXIT_INVALID: u8 = 3;
/// The run cannot tell.
const EXIT_INCONCLUSIVE: u8 = 4;

/// Starts or finds a system, drives it, breaks it, compares, reports.
///
/// Exit codes: 0 done · 1 a threshold failed, or the job could not be done · 2 usage · 3 invalid: the
/// instrument was the limit · 4 inconclusive · 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a whole system of real processes
    #[command(subcommand)]
    Stack(StackCommand),
    /// Compares strategies: latency, CPU, highest rate, what happens under faults
    Compare(CompareArgs),
    /// Drives one URL
    Run(RunArgs),
    /// Takes parts of a system away under load
    Coupling(CouplingArgs),
    /// Renders a results.json again
    Report(ReportArgs),
    /// Prints the JSON Schema of results.json
    #[command(hide = true)]
    Schema,
}

#[derive(Debug, Subcommand)]
enum StackCommand {
    /// Starts the system and ends it on SIGINT or SIGTERM
    Up(UpArgs),
}

#[derive(Debug, Args)]
struct SystemArgs {
    /// A strategy; can be given several times, and the first is the baseline
    #[arg(long = "strategy", value_name = "S", default_values = ["jwt", "session"])]
    strategies: Vec<String>,
    /// API processes per strategy
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = replicas)]
    replicas: usize,
    /// A Redis that runs, in place of one that is started
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Where auth-service, api-service and gateway are [default: beside this program, then PATH]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    system: SystemArgs,
    /// Written when all is ready: addresses and processes as JSON
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CompareArgs {
    #[command(flatten)]
    system: SystemArgs,
    /// Below two minutes, with wider intervals
    #[arg(long)]
    quick: bool,
    /// Requests per second of the comparison [default: a quarter of what the slower strategy answers in a closed loop]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Base URL of a system that runs, in place of one that is started
    #[arg(long, value_name = "URL")]
    gateway: Option<Url>,
    /// Base URL of the running gateway's /pools and /metrics; without it no CPU time is told
    #[arg(long, value_name = "URL", requires = "gateway")]
    gateway_admin: Option<String>,
    /// Where results.json and report.html go
    #[arg(long, value_name = "DIR", default_value = "statewise-results")]
    out: PathBuf,
    /// The same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct CouplingArgs {
    #[command(flatten)]
    system: SystemArgs,
    /// Short faults
    #[arg(long)]
    quick: bool,
    /// Requests per second and strategy
    #[arg(long, value_name = "R", default_value_t = 500.0, value_parser = rate)]
    rate: f64,
    /// The same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the result goes as JSON [default: standard output]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// What is requested, http only
    #[arg(long)]
    url: Url,
    /// Open loop: requests per second
    #[arg(long, value_name = "R", value_parser = rate, required_unless_present = "connections")]
    rate: Option<f64>,
    /// Without --rate a closed loop on this many connections; with it, connections to begin with
    #[arg(long, value_name = "C")]
    connections: Option<usize>,
    /// Open loop: how requests arrive
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Measured time
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Not measured, before
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// A later answer counts as failed
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// A header field as "Name: value"; can be given several times
    #[arg(long = "header", value_name = "FIELD", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Registers users at /auth of the same server and logs them in for this strategy
    #[arg(long, value_name = "S")]
    login: Option<String>,
    /// How many users
    #[arg(long, default_value_t = 8, requires = "login")]
    users: usize,
    /// Share of requests whose trace is kept; 0 sends no traceparent
    #[arg(long, default_value_t = 0.0, value_parser = ratio)]
    trace_ratio: f64,
    /// The same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Fails (exit 1) when the 99th percentile of the response time is above
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_p99: Option<Duration>,
    /// Fails (exit 1) when a larger share of requests fails
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    max_error_ratio: Option<f64>,
    /// Where the result goes as JSON as well
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ReportArgs {
    /// A results.json
    results: PathBuf,
    /// Where report.html goes [default: beside the results]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a number above 0 is needed".to_owned()),
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

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("\"Name: value\" is needed")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// It could not be done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Stack(StackCommand::Up(args)) => args.run(),
            Command::Compare(args) => args.run(),
            Command::Run(args) => args.run(),
            Command::Coupling(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Schema => {
                print(&format!("{:#}\n", results::schema()));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl SystemArgs {
    fn stack(self, interrupt: CancellationToken) -> StackOptions {
        StackOptions {
            strategies: self.strategies,
            replicas: self.replicas,
            redis: self.redis_url.map_or(RedisSource::Child, RedisSource::Url),
            bin_dir: self.bin_dir,
            interrupt,
            ..StackOptions::default()
        }
    }
}

impl UpArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the runtime")?;
        let options = self.system.stack(CancellationToken::new());
        Ok(runtime.block_on(crate::stack::up(options, self.ready_file.as_deref()))?)
    }
}

impl CompareArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        // An unwritable folder is found before two minutes are spent.
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("making the folder {}", self.out.display()))?;
        let options = CompareOptions {
            strategies: self.system.strategies,
            quick: self.quick,
            replicas: self.system.replicas,
            rate: self.rate,
            gateway: self.gateway,
            gateway_admin: self.gateway_admin,
            redis_url: self.system.redis_url,
            bin_dir: self.system.bin_dir,
            seed: self.seed,
            interrupt,
        };
        let results = match compare::run(&options) {
            Ok(results) => results,
            Err(CompareError::Interrupted) => return Ok(interrupt::exit_code()),
            Err(error) => return Err(error.into()),
        };
        let (json, page) = report::write(&results, &self.out)?;
        print(&report::terminal(&results));
        print(&format!("{}\n{}\n", json.display(), page.display()));
        Ok(exit_code(results.validity))
    }
}

fn exit_code(validity: Validity) -> ExitCode {
    match validity {
        Validity::Valid => ExitCode::SUCCESS,
        Validity::Invalid => ExitCode::from(EXIT_INVALID),
        Validity::Inconclusive => ExitCode::from(EXIT_INCONCLUSIVE),
    }
}

impl RunArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.clone();
        let result = run::run(&self.options(), &interrupt)?;
        print(&result.to_string());
        if let Some(path) = out {
            let text = serde_json::to_string_pretty(&result)? + "\n";
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(if result.interrupted {
            interrupt::exit_code()
        } else if !result.instrument_faults.is_empty() {
            ExitCode::from(EXIT_INVALID)
        } else if !result.failed_thresholds.is_empty() {
            ExitCode::from(EXIT_THRESHOLD)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn options(self) -> RunOptions {
        let defaults = Options::default();
        let connections = self.connections.unwrap_or(defaults.connections);
        RunOptions {
            url: self.url,
            load: match self.rate {
                Some(rate) => Load::Open {
                    rate,
                    arrivals: self.arrivals,
                },
                None => Load::Closed { connections },
            },
            headers: self.headers,
            login: self.login,
            users: self.users,
            engine: Options {
                duration: self.duration,
                warmup: self.warmup,
                deadline: self.deadline,
                connections,
                max_connections: defaults.max_connections.max(connections),
                seed: self.seed,
                trace_ratio: self.trace_ratio,
                ..defaults
            },
            max_p99: self.max_p99,
            max_error_ratio: self.max_error_ratio,
        }
    }
}

impl CouplingArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.clone();
        match self.measure(&interrupt) {
            Ok(coupling) => {
                let text = serde_json::to_string_pretty(&coupling)? + "\n";
                match out {
                    Some(path) => std::fs::write(&path, text)
                        .with_context(|| format!("writing {}", path.display()))?,
                    None => print(&text),
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(_) if interrupt.is_cancelled() => Ok(interrupt::exit_code()),
            Err(error) => Err(error.into()),
        }
    }

    fn measure(
        self,
        interrupt: &CancellationToken,
    ) -> Result<crate::results::Coupling, CompareError> {
        const USERS: usize = 8;
        let options = if self.quick {
            CouplingOptions::quick(self.rate, self.seed)
        } else {
            CouplingOptions::thorough(self.rate, self.seed)
        };
        let options = CouplingOptions {
            interrupt: interrupt.clone(),
            ..options
        };
        let progress = Progress::start(options.window() * 4);
        progress.step("starting the system");
        let strategies = self.system.strategies.clone();
        let stack = Stack::start(self.system.stack(interrupt.clone()))?;
        let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
        let users = Users::register(&gateway, USERS)?;
        let mut arms = Vec::new();
        for strategy in strategies {
            let credential = Credential::of(&strategy)
                .ok_or_else(|| CompareError::UnknownStrategy(strategy.clone()))?;
            let mut url = gateway.clone();
            url.set_path(&format!("/{strategy}/me"));
            arms.push(Arm {
                name: strategy,
                url,
                variants: users.log_in(credential)?,
                load: Load::Open {
                    rate: self.rate,
                    arrivals: Arrivals::Poisson,
                },
            });
        }
        Ok(coupling::run(&stack, &arms, &options, &progress)?)
    }
}

impl ReportArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let results = Results::read(&self.results)?;
        let folder = self
            .out
            .or_else(|| self.results.parent().map(PathBuf::from))
            .unwrap_or_default();
        let page = folder.join("report.html");
        std::fs::write(&page, report::html(&results))
            .with_context(|| format!("writing {}", page.display()))?;
        print(&report::terminal(&results));
        print(&format!("{}\n", page.display()));
        Ok(exit_code(results.validity))
    }
}

#[expect(
    clippy::print_stdout,
    reason = "results are the output of this program"
)]
fn print(text: &str) {
    print!("{text}");
}

/// Whether an error means that a signal ended the job.
#[must_use]
pub fn is_interrupt(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StackError::Interrupted))
        || matches!(error.downcast_ref(), Some(CouplingError::Interrupted))
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
            "loadtest compare --quick --strategy jwt --replicas 2 --rate 100 --gateway http://g:8080 \
             --gateway-admin http://g:9901 --redis-url redis://r:6379 --out dir",
            "loadtest run --url http://h/ --rate 10 --duration 5s --header A:b --max-p99 5ms --max-error-ratio 0",
            "loadtest run --url http://h/ --connections 32 --login jwt --users 4 --out f",
            "loadtest coupling --quick",
            "loadtest report results.json",
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
            "loadtest run --url http://h/ --rate 1 --max-error-ratio 2",
            "loadtest run --url nonsense --rate 1",
            "loadtest compare --replicas 0",
            "loadtest compare --gateway-admin http://g:9901",
        ] {
            assert!(
                Cli::try_parse_from(line.split_whitespace()).is_err(),
                "{line}"
            );
        }
    }
}
