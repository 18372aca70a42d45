//! `loadtest refresh-race`.

use std::process::ExitCode;

use anyhow::Context;

use super::{EXIT_THRESHOLD, arguments::RaceArgs, exit_code, print, written};
use crate::{
    experiment::race::{self, RaceOptions},
    interrupt,
    progress::Progress,
    report,
    subject::stack::StackOptions,
};

impl RaceArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        // An unwritable folder is found before minutes are spent.
        report::prepare(&self.out)?;
        let options = RaceOptions {
            stack: StackOptions {
                replicas: self.replicas,
                bin_dir: self.bin_dir,
                interrupt,
                ..StackOptions::default()
            },
            requests: self.requests,
            logins: self.logins.unwrap_or(if self.quick { 5 } else { 20 }),
            quick: self.quick,
        };
        let progress = Progress::start(options.expected());
        let results = race::run(&options, &progress);
        progress.finish();
        let results = results?;
        written(&results, &self.out)?;
        let race = results.refresh_race.as_ref();
        let lost = race.map_or(0, |race| race.usual.logins_lost);
        if lost > 0 {
            print(&format!(
                "FAILED: {lost} logins were lost with the usual grace\n"
            ))?;
            return Ok(ExitCode::from(EXIT_THRESHOLD));
        }
        Ok(exit_code(&[&results]))
    }
}
