//! `loadtest compare`.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use url::Url;

use super::{
    EXIT_USAGE, Usage, administrator,
    arguments::{Blocks, CompareArgs},
    exit_code, growth, written,
};
use crate::{
    console::tell,
    experiment::compare::{self, ArmSpec, CompareError, CompareOptions, Rounds},
    interrupt,
    load::Options,
    report,
    subject::{strategy::Strategy, usage::strategies_of},
    thresholds::{Measurable, Threshold},
};

/// Of `--rounds auto`: the ratio that every headline row shall be able to show.
const DETECT: f64 = 1.05;
/// Of `--rounds auto`: time for the blocks.
const MAX_TIME: Duration = Duration::from_secs(15 * 60);

impl CompareArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
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
            administrator: administrator(),
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
        written(&results, &self.out)?;
        Ok(exit_code(&[&results]))
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

/// Users log in to a system that runs: credentials in its URL would be sent beside theirs. They are not
/// repeated here.
pub(super) fn without_credentials(option: &str, url: Option<&Url>) -> Result<(), Usage> {
    match url {
        Some(url) if !url.username().is_empty() || url.password().is_some() => Err(Usage(format!(
            "{option}: credentials in this URL are not used; leave them out"
        ))),
        _ => Ok(()),
    }
}
