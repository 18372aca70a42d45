//! The command line: what can be asked for, and the exit code of each answer.

mod arguments;
mod diff;
mod freshness;
mod storm;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    experiment::compare::{self, CompareError, CompareOptions},
    experiment::coupling::{self, CouplingError, CouplingOptions},
    experiment::run::{self, RunOptions},
    interrupt,
    load::{Arm, Arrivals, Load, Options},
    progress::Progress,
    report,
    results::{self, Results, Validity},
    subject::login::{Credential, Users},
    subject::stack::{RedisSource, Stack, StackError, StackOptions},
};

pub use arguments::Cli;
use arguments::{
    Command, CompareArgs, CouplingArgs, ReportArgs, RunArgs, StackCommand, SystemArgs, UpArgs,
};

/// A threshold did not hold.
const EXIT_THRESHOLD: u8 = 1;
/// The instrument, not the system, was the limit.
const EXIT_INVALID: u8 = 3;
/// The run cannot tell, or the system was overloaded.
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
        // A file that cannot be written is found before the time is spent.
        let out = self.out.as_deref().map(open_result).transpose()?;
        let result = run::run(&self.options()?, &interrupt)?;
        // First, so that nobody who stops reading costs the result.
        if let Some((path, mut file)) = out {
            let text = serde_json::to_string_pretty(&result)? + "\n";
            file.write_all(text.as_bytes())
                .with_context(|| format!("writing {}", path.display()))?;
        }
        print(&result.to_string());
        Ok(if result.interrupted {
            interrupt::exit_code()
        } else if !result.instrument_faults.is_empty() {
            ExitCode::from(EXIT_INVALID)
        } else if !result.failed_answers.is_empty() || !result.failed_thresholds.is_empty() {
            ExitCode::from(EXIT_THRESHOLD)
        } else if !result.overload.is_empty() {
            ExitCode::from(EXIT_INCONCLUSIVE)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn options(self) -> anyhow::Result<RunOptions> {
        let defaults = Options::default();
        let connections = self.connections.unwrap_or(defaults.connections);
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
            login: self.login,
            users: self.users,
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
                ..defaults
            },
            max_p99: self.max_p99,
            max_error_ratio: self.max_error_ratio,
        })
    }
}

/// Makes the file that a result will be written to.
fn open_result(path: &Path) -> anyhow::Result<(PathBuf, File)> {
    let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
    Ok((path.to_owned(), file))
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
        let page = report::write_page(&results, &folder)?;
        print(&report::terminal(&results));
        print(&format!("{}\n", page.display()));
        Ok(exit_code(results.validity))
    }
}

/// Writes a result to standard output. Whoever reads it may stop before its end, as `head` does.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Whether an error means that a signal ended the job.
#[must_use]
pub fn is_interrupt(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StackError::Interrupted))
        || matches!(error.downcast_ref(), Some(CouplingError::Interrupted))
}
