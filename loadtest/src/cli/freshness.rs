//! `loadtest freshness`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{EXIT_INCONCLUSIVE, ResultFile, arguments::FreshnessArgs, deliver};
use crate::{
    experiment::freshness::{self, FreshnessOptions},
    interrupt,
    progress::Progress,
    report,
    results::RevocationKind,
};

impl FreshnessArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.as_deref().map(ResultFile::create).transpose()?;
        let options = self.options(interrupt);
        let progress = Progress::start(freshness::expected(&options));
        let found = freshness::run(&options, &progress);
        progress.finish();
        let found = found?;
        deliver(out, &found, &report::freshness(&found))?;
        let enough = found.lags.iter().all(|lag| lag.revocations > 0);
        Ok(if enough {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EXIT_INCONCLUSIVE)
        })
    }

    fn options(self, interrupt: CancellationToken) -> FreshnessOptions {
        let usual = if self.quick {
            freshness::QUICK_REVOCATIONS
        } else {
            freshness::REVOCATIONS
        };
        FreshnessOptions {
            stack: self.system.stack(interrupt),
            revocations: self.revocations.unwrap_or(usual),
            kinds: if self.kinds.is_empty() {
                RevocationKind::ALL.to_vec()
            } else {
                self.kinds
            },
            quick: self.quick,
            seed: self.seed,
        }
    }
}
