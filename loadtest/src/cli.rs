//! The command line: what can be asked for, and the exit code of each answer.

mod arguments;
mod capacity;
mod compare;
mod coupling;
mod diff;
mod distance;
mod freshness;
mod merge;
mod metrics;
mod race;
mod run;
mod scale;
mod sizes;
mod storm;
mod target;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    console::{self, tell},
    experiment::{compare::CompareError, coupling::CouplingError, error::ExperimentError},
    interrupt, report,
    results::{self, Destination, Results, ThresholdOutcome, Validity},
    subject::stack::{RedisSource, StackOptions, UserStore},
};

pub use arguments::Cli;
use arguments::{Command, ReportArgs, StackCommand, SystemArgs, UpArgs};

/// What was asked for makes no sense.
const EXIT_USAGE: u8 = 2;
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
            Command::Merge(args) => args.run(),
            Command::Coupling(args) => args.run(),
            Command::Freshness(args) => args.run(),
            Command::Distance(args) => args.run(),
            Command::Scale(args) => args.run(),
            Command::LoginStorm(args) => args.run(),
            Command::Sizes(args) => args.run(),
            Command::RefreshRace(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Capacity(args) => args.run(),
            Command::Diff(args) => args.run(),
            Command::Metrics => {
                print(&metrics::table())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Schema => {
                print(&format!("{:#}\n", results::schema()))?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Target(args) => args.run(),
        }
    }
}

impl SystemArgs {
    /// Those that were named, or the two that most people mean.
    fn strategies(&self) -> Vec<String> {
        match self.strategies.as_slice() {
            [] => ["jwt", "session"].map(str::to_owned).to_vec(),
            named => named.to_vec(),
        }
    }

    fn stack(self, interrupt: CancellationToken) -> StackOptions {
        StackOptions {
            strategies: self.strategies(),
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
        if self.auth_replicas > 1 && !self.postgres {
            return Err(
                Usage("--auth-replicas needs --postgres, which they share".to_owned()).into(),
            );
        }
        let options = StackOptions {
            auth_replicas: self.auth_replicas,
            gateways: self.gateways,
            users: match self.postgres {
                true => UserStore::Postgres,
                false => UserStore::Sqlite,
            },
            ..self.system.stack(CancellationToken::new())
        };
        Ok(runtime.block_on(crate::subject::stack::up(
            options,
            self.ready_file.as_deref(),
        ))?)
    }
}

/// Who may change users of a system that runs: the variables that make an administrator of an auth-service.
/// A command line is no place for a password.
fn administrator() -> Option<(String, String)> {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some((given("AUTH_ADMIN_USERNAME")?, given("AUTH_ADMIN_PASSWORD")?))
}

/// Of one run or several. Precedence 3, 1, 4: a fault of the instrument or the machine excuses every
/// threshold, and a threshold that failed is more than one that is unclear.
fn exit_code(runs: &[&Results]) -> ExitCode {
    let valid = |wanted: &[Validity]| runs.iter().any(|run| wanted.contains(&run.validity));
    let any = |outcome| {
        let mut thresholds = runs.iter().flat_map(|run| &run.thresholds);
        thresholds.any(|one| one.outcome == outcome)
    };
    if valid(&[Validity::Invalid, Validity::Disturbed]) {
        ExitCode::from(EXIT_INVALID)
    } else if any(ThresholdOutcome::Fails) {
        ExitCode::from(EXIT_THRESHOLD)
    } else if valid(&[Validity::Overloaded, Validity::Inconclusive])
        || any(ThresholdOutcome::Unclear)
    {
        ExitCode::from(EXIT_INCONCLUSIVE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Reads one or several results.
fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Results>> {
    let read = paths.iter().map(|path| Results::read(path));
    Ok(read.collect::<Result<_, _>>()?)
}

/// The file that a result will be written to. It is tried before anything is measured, so that one
/// that cannot be written costs no time; what it holds stays until there is a result.
struct ResultFile {
    path: PathBuf,
    destination: Destination,
}

impl ResultFile {
    fn at(path: &Path) -> anyhow::Result<Self> {
        let destination = Destination::at(path);
        Ok(Self {
            path: path.to_owned(),
            destination: destination.with_context(|| format!("writing {}", path.display()))?,
        })
    }

    fn write(self, result: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(result)? + "\n";
        let written = self.destination.write(&text);
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

impl ReportArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let runs = read_all(&self.results)?;
        let runs: Vec<&Results> = runs.iter().collect();
        let beside = self.results.first().and_then(|first| first.parent());
        let folder = self.out.or_else(|| beside.map(PathBuf::from));
        let page = report::write_page(&runs, &folder.unwrap_or_default())?;
        for results in &runs {
            print(&report::terminal(results))?;
        }
        print(&format!("{}\n", page.display()))?;
        Ok(exit_code(&runs))
    }
}

/// Writes a result to its file and then to standard output: whoever stops reading costs no file, and a
/// disk that is full no text.
fn deliver(out: Option<ResultFile>, result: &impl Serialize, text: &str) -> anyhow::Result<()> {
    let written = out.map(|out| out.write(result)).transpose();
    print(text)?;
    written.map(drop)
}

/// Writes the results into a folder, and says what they are and where.
fn written(results: &Results, folder: &Path) -> anyhow::Result<()> {
    // A terminal that is gone loses no file, and a disk that is full no text.
    let written = report::write(results, folder);
    print(&report::terminal(results))?;
    let (json, page) = written?;
    let junit = folder.join("junit.xml");
    for path in [json, page, junit] {
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

/// Writes a result to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    // The results are in their file, whoever reads on.
    console::print(text)
        .map(drop)
        .context("writing to standard output")
}

/// Arguments that are right each by itself and make no sense together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// A pool that grows begins with fewer connections than it may have.
fn growth(connections: Option<usize>, most: Option<usize>) -> Result<(), Usage> {
    match (connections, most) {
        (Some(connections), Some(most)) if most < connections => Err(Usage(format!(
            "--max-connections {most} is less than --connections {connections}"
        ))),
        _ => Ok(()),
    }
}

/// What went wrong and why, each cause once: most errors tell their own.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

/// The exit code of a job that could not be done, after saying why on standard error.
#[must_use]
pub fn failed(error: &anyhow::Error) -> ExitCode {
    let interrupted = matches!(error.downcast_ref(), Some(ExperimentError::Interrupted))
        || matches!(error.downcast_ref(), Some(CouplingError::Interrupted))
        || matches!(error.downcast_ref(), Some(CompareError::Interrupted));
    if interrupted {
        return interrupt::exit_code();
    }
    tell(format_args!("loadtest: {}", told(error)));
    let compare = error.downcast_ref::<CompareError>();
    if error.is::<Usage>() || compare.is_some_and(CompareError::is_usage) {
        ExitCode::from(EXIT_USAGE)
    } else {
        ExitCode::FAILURE
    }
}
