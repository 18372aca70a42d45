//! `loadtest coupling`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{ResultFile, arguments::CouplingArgs, deliver};
use crate::{
    experiment::coupling::{self, CouplingOptions},
    interrupt,
    progress::Progress,
    report,
};

impl CouplingArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.as_deref().map(ResultFile::at).transpose()?;
        let options = self.options(interrupt);
        let progress = Progress::start(options.expected());
        let found = coupling::run(&options, &progress);
        progress.finish();
        let found = found?;
        deliver(out, &found, &report::faults(&found))?;
        Ok(ExitCode::SUCCESS)
    }

    fn options(self, interrupt: CancellationToken) -> CouplingOptions {
        let stack = self.system.stack(interrupt);
        let mut options = if self.quick {
            CouplingOptions::quick(stack, self.rate, self.seed)
        } else {
            CouplingOptions::thorough(stack, self.rate, self.seed)
        };
        if !self.faults.is_empty() {
            options.faults = self.faults;
        }
        if !self.forms.is_empty() {
            options.forms = self.forms;
        }
        options.repetitions = self.repetitions.unwrap_or(options.repetitions);
        options
    }
}
