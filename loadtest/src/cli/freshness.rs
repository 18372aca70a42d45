//! `loadtest freshness`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    EXIT_INCONCLUSIVE, ResultFile, Usage, administrator, arguments::FreshnessArgs,
    compare::without_credentials, deliver,
};
use crate::{
    experiment::freshness::{self, FoundSystem, FreshnessOptions},
    interrupt,
    progress::Progress,
    report,
    results::RevocationKind,
    subject::usage::strategies_of,
};

impl FreshnessArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.as_deref().map(ResultFile::at).transpose()?;
        let options = self.options(interrupt)?;
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

    fn options(mut self, interrupt: CancellationToken) -> anyhow::Result<FreshnessOptions> {
        let usual = if self.quick {
            freshness::QUICK_REVOCATIONS
        } else {
            freshness::REVOCATIONS
        };
        let found = self.found()?;
        if let Some(found) = &found
            && found.administrator.is_none()
        {
            if self
                .kinds
                .iter()
                .any(|kind| *kind != RevocationKind::Logout)
            {
                return Err(Usage(
                    "bans and role changes are an administrator's: set AUTH_ADMIN_USERNAME and AUTH_ADMIN_PASSWORD"
                        .to_owned(),
                )
                .into());
            }
            self.kinds = vec![RevocationKind::Logout];
        }
        Ok(FreshnessOptions {
            stack: self.system.stack(interrupt),
            found,
            revocations: self.revocations.unwrap_or(usual),
            kinds: if self.kinds.is_empty() {
                RevocationKind::ALL.to_vec()
            } else {
                self.kinds
            },
            quick: self.quick,
            seed: self.seed,
        })
    }

    /// The system that runs, if one was named. Without strategies, it is asked which it has.
    fn found(&mut self) -> anyhow::Result<Option<FoundSystem>> {
        without_credentials("--gateway", self.gateway.as_ref())?;
        without_credentials("--gateway-admin", self.gateway_admin.as_ref())?;
        let (Some(gateway), Some(gateway_admin)) = (self.gateway.take(), self.gateway_admin.take())
        else {
            return Ok(None);
        };
        if self.system.strategies.is_empty() {
            let found = strategies_of(&gateway_admin)?;
            self.system.strategies = found.iter().map(|one| one.name().to_owned()).collect();
        }
        Ok(Some(FoundSystem {
            gateway,
            gateway_admin,
            administrator: administrator(),
        }))
    }
}
