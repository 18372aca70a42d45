//! The command line: what can be asked for, and the exit code of each answer.

mod arguments;
mod coupling;
mod diff;
mod freshness;
mod metrics;
mod storm;
mod target;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    console::{self, tell},
    experiment::compare::{self, ArmSpec, CompareError, CompareOptions, Rounds},
    experiment::coupling::CouplingError,
    experiment::error::ExperimentError,
    experiment::run::{self, RunOptions},
    interrupt,
    load::{Load, Options},
    report,
    results::{self, Results, ThresholdOutcome, Validity},
    subject::stack::{RedisSource, StackOptions, UserStore},
    subject::strategy::Strategy,
    subject::usage::strategies_of,
    thresholds::{Measurable, Threshold},
};

pub use arguments::Cli;
use arguments::{
    Blocks, Command, CompareArgs, ReportArgs, RunArgs, StackCommand, SystemArgs, UpArgs,
};

/// Of `--rounds auto`: the ratio that every headline row shall be able to show.
const DETECT: f64 = 1.05;
/// Of `--rounds auto`: time for the blocks.
const MAX_TIME: Duration = Duration::from_secs(15 * 60);
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
            Command::Coupling(args) => args.run(),
            Command::Freshness(args) => args.run(),
            Command::LoginStorm(args) => args.run(),
            Command::Report(args) => args.run(),
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

impl CompareArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        // An unwritable folder is found before two minutes are spent.
        report::prepare(&self.out).with_context(|| {
            format!(
                "user {} cannot write results, so nothing is measured",
                rustix::process::geteuid().as_raw()
            )
        })?;
        let arms = self.arms()?;
        growth(Some(self.connections), self.max_connections)?;
        without_credentials("--gateway", self.gateway.as_ref())?;
        without_credentials("--gateway-admin", self.gateway_admin.as_ref())?;
        let rounds = self.rounds()?;
        let mut options = CompareOptions {
            stack: self.system.stack(interrupt),
            arms,
            quick: self.quick,
            rate: self.rate,
            rounds,
            working_sets: self.working_sets,
            mixes: self.mixes,
            connections: self.connections,
            max_connections: self.max_connections,
            generator_threads: self
                .generator_threads
                .map_or(Options::default().threads, usize::from),
            faults: !self.no_faults,
            revocations: self.revocations,
            gateway: self.gateway,
            gateway_admin: self.gateway_admin,
            thresholds: Vec::new(),
            seed: self.seed,
        };
        match thresholds(&self.fail_if, &compare::known(&options)) {
            Ok(thresholds) => options.thresholds = thresholds,
            Err(told) => {
                tell(format_args!(
                    "loadtest: --fail-if cannot be evaluated\n{told}"
                ));
                return Ok(ExitCode::from(EXIT_USAGE));
            }
        }
        let results = compare::run(&options)?;
        // A terminal that is gone loses no file, and a disk that is full no text.
        let written = report::write(&results, &self.out);
        print(&report::terminal(&results))?;
        let (json, page) = written?;
        let junit = self.out.join("junit.xml");
        for path in [json, page, junit] {
            print(&format!("{}\n", path.display()))?;
        }
        Ok(exit_code(&results))
    }
}

impl CompareArgs {
    fn rounds(&self) -> anyhow::Result<Rounds> {
        match self.rounds {
            Some(Blocks::Auto) => Ok(Rounds::Auto {
                detect: self.detect.unwrap_or(DETECT),
                at_most: self.max_time.unwrap_or(MAX_TIME),
            }),
            _ if self.detect.is_some() || self.max_time.is_some() => {
                Err(Usage("--detect and --max-time need --rounds auto".to_owned()).into())
            }
            None => Ok(Rounds::Usual),
            Some(Blocks::Count(count)) => Ok(Rounds::Fixed(count)),
        }
    }

    /// Strategies in their order, then the arms. A strategy that was named twice is two arms.
    /// Without either, of a system that runs all that it has.
    fn arms(&self) -> anyhow::Result<Vec<ArmSpec>> {
        let strategies = match &self.gateway_admin {
            _ if !self.arms.is_empty() => self.system.strategies.clone(),
            Some(admin) if self.system.strategies.is_empty() => {
                let found = strategies_of(admin)?;
                found.iter().map(|one| one.name().to_owned()).collect()
            }
            _ => self.system.strategies(),
        };
        let mut arms: Vec<ArmSpec> = Vec::new();
        for name in strategies {
            let strategy = Strategy::named(&name)
                .ok_or_else(|| CompareError::UnknownStrategy(name.clone()))?;
            let mut arm = ArmSpec::of(strategy);
            let same = arms.iter().filter(|one| one.strategy == Some(strategy));
            match same.count() {
                0 => {}
                before => arm.name = format!("{name}-{}", before + 1),
            }
            arms.push(arm);
        }
        arms.extend(self.arms.iter().cloned());
        Ok(arms)
    }
}

/// All of them, or what is wrong with each that is.
fn thresholds(expressions: &[String], known: &Measurable) -> Result<Vec<Threshold>, String> {
    let (mut thresholds, mut wrong) = (Vec::new(), Vec::new());
    for expression in expressions {
        match Threshold::parse(expression, known) {
            Ok(threshold) => thresholds.push(threshold),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    match wrong.is_empty() {
        true => Ok(thresholds),
        false => Err(wrong.join("\n")),
    }
}

/// Precedence 3, 1, 4: a fault of the instrument or the machine excuses every threshold, and a
/// threshold that failed is more than one that is unclear.
fn exit_code(results: &Results) -> ExitCode {
    let any = |outcome| {
        let mut thresholds = results.thresholds.iter();
        thresholds.any(|one| one.outcome == outcome)
    };
    match results.validity {
        Validity::Invalid | Validity::Disturbed => ExitCode::from(EXIT_INVALID),
        _ if any(ThresholdOutcome::Fails) => ExitCode::from(EXIT_THRESHOLD),
        Validity::Overloaded | Validity::Inconclusive => ExitCode::from(EXIT_INCONCLUSIVE),
        Validity::Valid if any(ThresholdOutcome::Unclear) => ExitCode::from(EXIT_INCONCLUSIVE),
        Validity::Valid => ExitCode::SUCCESS,
    }
}

impl RunArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.as_deref().map(ResultFile::create).transpose()?;
        self.one_authorization()?;
        let result = run::run(&self.options()?, &interrupt)?;
        deliver(out, &result, &result.to_string())?;
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

    /// Servers that see two credentials differ in which one they believe.
    fn one_authorization(&self) -> Result<(), Usage> {
        let in_url = !self.url.username().is_empty() || self.url.password().is_some();
        let mut given = vec![
            (in_url, "the credentials in --url"),
            (self.login.is_some(), "--login"),
        ];
        let headers = self.headers.iter();
        let names = headers.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        given.extend(names.map(|_| (true, "--header Authorization")));
        let given: Vec<&str> = given
            .into_iter()
            .filter_map(|(is, what)| is.then_some(what))
            .collect();
        match given.len() {
            0 | 1 => Ok(()),
            _ => Err(Usage(format!(
                "{} would each send an Authorization header, and a request has one: give one of them",
                given.join(" and ")
            ))),
        }
    }

    fn options(self) -> anyhow::Result<RunOptions> {
        let defaults = Options::default();
        growth(self.connections, self.max_connections)?;
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

/// The file that a result will be written to. It is made before anything is measured, so that one
/// that cannot be written costs no time.
struct ResultFile {
    path: PathBuf,
    file: File,
}

impl ResultFile {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    fn write(mut self, result: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(result)? + "\n";
        let written = self.file.write_all(text.as_bytes());
        written.with_context(|| format!("writing {}", self.path.display()))
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
        print(&report::terminal(&results))?;
        print(&format!("{}\n", page.display()))?;
        Ok(exit_code(&results))
    }
}

/// Writes a result to its file and then to standard output: whoever stops reading costs no file, and a
/// disk that is full no text.
fn deliver(out: Option<ResultFile>, result: &impl Serialize, text: &str) -> anyhow::Result<()> {
    let written = out.map(|out| out.write(result)).transpose();
    print(text)?;
    written.map(drop)
}

/// Writes a result to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    console::print(text).context("writing to standard output")
}

/// Arguments that are right each by itself and make no sense together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Users log in to a system that runs: credentials in its URL would be sent beside theirs. They are not
/// repeated here.
fn without_credentials(option: &str, url: Option<&Url>) -> Result<(), Usage> {
    match url {
        Some(url) if !url.username().is_empty() || url.password().is_some() => Err(Usage(format!(
            "{option}: credentials in this URL are not used; leave them out"
        ))),
        _ => Ok(()),
    }
}

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
