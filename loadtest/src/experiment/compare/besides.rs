//! What a comparison measures besides its windows, each in a system of its own unless one was found running: faults,
//! and how long what was revoked goes on being accepted.

use super::{CompareError, CompareOptions};
use crate::{
    experiment::{
        coupling::{self, CouplingOptions},
        freshness::{self, FoundSystem, FreshnessOptions},
    },
    progress::Progress,
    results::{Coupling, Freshness, RevocationKind},
    subject::stack::StackOptions,
};

/// Rate of the faults per strategy: there it is about answers and not about load.
const FAULT_RATE: f64 = 300.0;

/// What came of it, and why what is absent was not measured.
#[derive(Default)]
pub(super) struct Besides {
    pub(super) coupling: Option<Coupling>,
    pub(super) freshness: Option<Freshness>,
    pub(super) left_out: Vec<String>,
}

pub(super) fn measure(
    options: &CompareOptions,
    progress: &Progress,
) -> Result<Besides, CompareError> {
    let mut besides = Besides::default();
    if options.gateway.is_some() {
        besides
            .left_out
            .push("No faults: the system was found running, and is not ours to break.".to_owned());
        besides.left_out.push(
            "What share of requests is traced is a setting of the running system and not known here. \
             Tracing costs CPU in every process, and the Compose file traces all of them unless \
             OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say otherwise (traceidratio, 0.01)."
                .to_owned(),
        );
        if options.gateway_admin.is_none() {
            besides.left_out.push(
                "No CPU time, memory, number of replicas and revocation lags, and only the strategies that \
                 were named: without --gateway-admin the system cannot be asked."
                    .to_owned(),
            );
        } else if measures_lags(options) && options.administrator.is_none() {
            besides.left_out.push(
                "Of revocations only logouts: bans and role changes need an administrator \
                 (AUTH_ADMIN_USERNAME and AUTH_ADMIN_PASSWORD)."
                    .to_owned(),
            );
        }
        besides.lags(options, progress)?;
        return Ok(besides);
    }
    if strategies(options).is_empty() {
        besides.left_out.push(
            "No faults and no revocation lags: no arm is a strategy with the programs and settings \
             of this run."
                .to_owned(),
        );
        return Ok(besides);
    }
    if options.faults {
        match coupling::run(&faults(options), progress) {
            Ok(coupling) => besides.coupling = Some(coupling),
            Err(error) => besides.failed(options, "The faults", &error)?,
        }
    }
    besides.lags(options, progress)?;
    Ok(besides)
}

impl Besides {
    fn lags(&mut self, options: &CompareOptions, progress: &Progress) -> Result<(), CompareError> {
        if !measures_lags(options) {
            return Ok(());
        }
        match freshness::run(&lags(options), progress) {
            Ok(freshness) => self.freshness = Some(freshness),
            Err(error) => self.failed(options, "The revocation lags", &error)?,
        }
        Ok(())
    }

    /// A failure is told and does not undo what was measured before.
    fn failed(
        &mut self,
        options: &CompareOptions,
        what: &str,
        error: &dyn std::error::Error,
    ) -> Result<(), CompareError> {
        if options.stack.interrupt.is_cancelled() {
            return Err(CompareError::Interrupted);
        }
        self.left_out
            .push(format!("{what} could not be measured: {error}."));
        Ok(())
    }
}

/// For the progress bar.
pub(super) fn expected(options: &CompareOptions) -> std::time::Duration {
    let mut expected = std::time::Duration::ZERO;
    if options.gateway.is_none() && !strategies(options).is_empty() && options.faults {
        expected += faults(options).expected();
    }
    if measures_lags(options) {
        expected += freshness::expected(&lags(options));
    }
    expected
}

/// Ids of the faults that are made.
pub(super) fn faults_made(options: &CompareOptions) -> Vec<String> {
    if options.gateway.is_some() || strategies(options).is_empty() || !options.faults {
        return Vec::new();
    }
    let faults = faults(options).faults;
    faults.iter().map(|fault| fault.id.to_owned()).collect()
}

/// What is revoked.
pub(super) fn kinds_revoked(options: &CompareOptions) -> Vec<RevocationKind> {
    if !measures_lags(options) {
        return Vec::new();
    }
    lags(options).kinds
}

/// A system that runs is asked who its replicas are.
fn measures_lags(options: &CompareOptions) -> bool {
    let reached = options.gateway.is_none() || options.gateway_admin.is_some();
    reached && !strategies(options).is_empty() && revocations(options) > 0
}

/// The strategies among the arms that need nothing of their own, each once.
fn strategies(options: &CompareOptions) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for arm in &options.arms {
        if let (Some(strategy), None, false) = (arm.strategy, &arm.url, arm.is_apart())
            && !names.iter().any(|name| name == strategy.name())
        {
            names.push(strategy.name().to_owned());
        }
    }
    names
}

fn stack(options: &CompareOptions) -> StackOptions {
    StackOptions {
        strategies: strategies(options),
        ..options.stack.clone()
    }
}

fn faults(options: &CompareOptions) -> CouplingOptions {
    let make = if options.quick {
        CouplingOptions::quick
    } else {
        CouplingOptions::full
    };
    make(stack(options), FAULT_RATE, options.seed)
}

fn revocations(options: &CompareOptions) -> u32 {
    let usual = if options.quick {
        freshness::QUICK_REVOCATIONS
    } else {
        freshness::REVOCATIONS
    };
    options.revocations.unwrap_or(usual)
}

fn found(options: &CompareOptions) -> Option<FoundSystem> {
    Some(FoundSystem {
        gateway: options.gateway.clone()?,
        gateway_admin: options.gateway_admin.clone()?,
        administrator: options.administrator.clone(),
    })
}

fn lags(options: &CompareOptions) -> FreshnessOptions {
    let found = found(options);
    let is_anonymous = found
        .as_ref()
        .is_some_and(|one| one.administrator.is_none());
    FreshnessOptions {
        stack: stack(options),
        found,
        revocations: revocations(options),
        kinds: if options.quick || is_anonymous {
            vec![RevocationKind::Logout]
        } else {
            RevocationKind::ALL.to_vec()
        },
        quick: options.quick,
        seed: options.seed,
    }
}
