//! `loadtest sizes`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{Usage, arguments::SizesArgs, exit_code, written};
use crate::{
    experiment::sizes::{self, SizesOptions},
    interrupt,
    progress::Progress,
    report,
};

/// Both credentials, each read anew and remembered.
const STRATEGIES: [&str; 4] = ["jwt", "jwt-remembered", "session", "session-cached"];

impl SizesArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        // An unwritable folder is found before minutes are spent.
        report::prepare(&self.out)?;
        let out = self.out.clone();
        let options = self.options(interrupt)?;
        let progress = Progress::start(options.expected());
        let results = sizes::run(&options, &progress);
        progress.finish();
        let results = results?;
        written(&results, &out)?;
        Ok(exit_code(&[&results]))
    }

    fn options(mut self, interrupt: CancellationToken) -> Result<SizesOptions, Usage> {
        if self.system.strategies.is_empty() {
            self.system.strategies = STRATEGIES.map(str::to_owned).to_vec();
        }
        let mut strategies = self.system.strategies.clone();
        strategies.sort_unstable();
        if let Some(twice) = strategies.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Usage(format!("--strategy {} is given twice", twice[0])));
        }
        self.roles.sort_unstable();
        self.roles.dedup();
        self.record.sort_unstable();
        self.record.dedup();
        let stack = self.system.stack(interrupt);
        let form = match self.quick {
            true => SizesOptions::quick,
            false => SizesOptions::thorough,
        };
        Ok(SizesOptions {
            rate: self.rate,
            ..form(stack, self.roles, self.record, self.seed)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_help_names_the_strategies_that_are_measured_by_default() {
        let mut command = Cli::command();
        let sizes = command.find_subcommand_mut("sizes").unwrap();
        let help = sizes.render_long_help().to_string();
        let [first @ .., last] = &STRATEGIES;
        let named = format!("[default: {} and {last}]", first.join(", "));
        assert!(help.contains(&named), "{help}");
        assert!(!help.contains("baseline"), "{help}");
    }
}
