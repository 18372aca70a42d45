//! `loadtest target`: the target of known latency as a process of its own, for tests of this program
//! and of others from outside.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::Context;

use super::{arguments::TargetArgs, print};
use crate::{instrument::target::Target, interrupt};

/// How often it is looked whether a signal came.
const POLL: Duration = Duration::from_millis(20);

impl TargetArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let target = Target::start(self.delays).context("starting the target")?;
        print(&format!("http://{}/\n", target.address()))?;
        std::io::stdout().flush().context("telling the URL")?;
        while !interrupt.is_cancelled() {
            std::thread::sleep(POLL);
        }
        let took = serde_json::to_string(&target.took().summary(true))?;
        print(&format!("{took}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
