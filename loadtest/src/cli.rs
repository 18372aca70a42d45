//! The command line: what can be asked for, and the exit code of each answer.

mod arguments;
mod coupling;
mod diff;
mod freshness;
mod storm;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::{
    experiment::compare::{self, CompareError, CompareOptions},
    experiment::coupling::CouplingError,
    experiment::run::{self, RunOptions},
    interrupt,
    load::{Load, Options},
    report,
    results::{
        self,
        v2::{Results, Validity},
    },
    subject::stack::{RedisSource, StackError, StackOptions},
};

pub use arguments::Cli;
use arguments::{Command, CompareArgs, ReportArgs, RunArgs, StackCommand, SystemArgs, UpArgs};

/// A threshold did not hold.
const EXIT_THRESHOLD: u8 = 1;
/// The instrument, not the system, was the limit.
const EXIT_INVALID: u8 = 3;
/// The run cannot tell.
const EXIT_INCONCLUSIVE: u8 = 4;

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
            Command::Freshness(args) => args.run(),
            Command::LoginStorm(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Diff(args) => args.run(),
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
        Ok(runtime.block_on(crate::subject::stack::up(
            options,
            self.ready_file.as_deref(),
        ))?)
    }
}

impl CompareArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        // An unwritable folder is found before two minutes are spent.
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("making the folder {}", self.out.display()))?;
        let options = CompareOptions {
            stack: self.system.stack(interrupt),
            quick: self.quick,
            rate: self.rate,
            revocations: self.revocations,
            gateway: self.gateway,
            gateway_admin: self.gateway_admin,
            seed: self.seed,
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
        } else if !result.failed_answers.is_empty() {
            ExitCode::from(EXIT_THRESHOLD)
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

impl ReportArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let results = Results::read(&self.results)?;
        let folder = self
            .out
            .or_else(|| self.results.parent().map(PathBuf::from))
            .unwrap_or_default();
        let page = report::write_page(&results, &folder)?;
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
