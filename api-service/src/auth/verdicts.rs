//! Verdicts, counted and timed.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Unit,
};
use shared::telemetry::metrics::{Metrics, duration_histogram};

/// The counters of verdicts and the histogram of how long they took; clones share them.
#[derive(Clone)]
pub(crate) struct Verdicts {
    counts: Family<Verdict, Counter>,
    refusals: Family<Refused, Counter>,
    duration: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verdict {
    strategy: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    strategy: &'static str,
    reason: &'static str,
}

impl Verdicts {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let verdicts = Self {
            counts: Family::default(),
            refusals: Family::default(),
            duration: duration_histogram(),
        };
        metrics.register(|registry| {
            registry.register(
                "statewise_verdicts",
                "Verdicts about credentials by strategy and outcome",
                verdicts.counts.clone(),
            );
            registry.register(
                "statewise_refusals",
                "Credentials that were refused by strategy and reason, which the caller does not learn",
                verdicts.refusals.clone(),
            );
            registry.register_with_unit(
                "statewise_verification_duration",
                "Time to a verdict",
                Unit::Seconds,
                verdicts.duration.clone(),
            );
        });
        verdicts
    }

    /// Counts why a credential was refused: one of the names in the code, however many callers there
    /// are.
    pub(crate) fn refused(&self, strategy: &'static str, reason: &'static str) {
        self.refusals
            .get_or_create(&Refused { strategy, reason })
            .inc();
    }

    /// Counts one verdict. A request without a credential took no verification to time.
    pub(crate) fn count(&self, strategy: &'static str, outcome: &'static str, took: Duration) {
        self.counts
            .get_or_create(&Verdict { strategy, outcome })
            .inc();
        if outcome != "missing" {
            self.duration.observe(took.as_secs_f64());
        }
    }
}
