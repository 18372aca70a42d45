//! `loadtest login-storm`.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    EXIT_INCONCLUSIVE, EXIT_INVALID, EXIT_THRESHOLD, ResultFile, arguments::StormArgs, deliver,
    print,
};
use crate::{
    experiment::storm::{self, StormOptions, StormResult},
    interrupt,
    progress::Progress,
    results::{ThresholdOutcome, Validity},
};

impl StormArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.as_deref().map(ResultFile::at).transpose()?;
        let (limit, options) = (self.max_ratio, self.options(interrupt));
        let windows = (options.window + Duration::from_secs(2)) * 4 * options.blocks;
        let progress = Progress::start(Duration::from_secs(20) + windows);
        let found = storm::run(&options, &progress);
        progress.finish();
        let found = found?;
        deliver(out, &found, &found.to_string())?;
        storm_exit_code(&found, limit)
    }

    fn options(self, interrupt: CancellationToken) -> StormOptions {
        // With fewer blocks an interval is as good as none.
        let (blocks, window) = if self.quick { (4, 2) } else { (6, 4) };
        StormOptions {
            stack: self.system.stack(interrupt),
            rate: self.rate,
            logins: self.logins as usize,
            blocks,
            window: Duration::from_secs(window),
            auth_cpu: self.auth_cpu,
            seed: self.seed,
        }
    }
}

/// Says what did not hold, and what that makes of the whole: 3 outweighs 1, and 1 outweighs 4.
fn storm_exit_code(found: &StormResult, limit: Option<f64>) -> anyhow::Result<ExitCode> {
    let judged = limit.map(|limit| found.judged(limit)).unwrap_or_default();
    for gate in found.gates.iter().filter(|gate| !gate.passed) {
        print(&format!(
            "{}: {} is {:.3} {}, the limit is {} {}. {} {}\n",
            format!("{:?}", found.validity).to_uppercase(),
            gate.name,
            gate.value,
            gate.unit,
            gate.limit,
            gate.unit,
            gate.meaning,
            gate.advice
        ))?;
    }
    for (outcome, sentence) in &judged {
        match outcome {
            ThresholdOutcome::Holds => {}
            ThresholdOutcome::Fails => print(&format!("FAILED: {sentence}\n"))?,
            ThresholdOutcome::Unclear => print(&format!("UNCLEAR: {sentence}\n"))?,
        }
    }
    let any = |wanted| judged.iter().any(|(outcome, _)| *outcome == wanted);
    Ok(
        if matches!(found.validity, Validity::Invalid | Validity::Disturbed) {
            ExitCode::from(EXIT_INVALID)
        } else if any(ThresholdOutcome::Fails) {
            ExitCode::from(EXIT_THRESHOLD)
        } else if any(ThresholdOutcome::Unclear) || !found.is_conclusive() {
            ExitCode::from(EXIT_INCONCLUSIVE)
        } else {
            ExitCode::SUCCESS
        },
    )
}
