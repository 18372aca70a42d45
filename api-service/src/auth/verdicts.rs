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
    duration: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verdict {
    strategy: &'static str,
    outcome: &'static str,
}

impl Verdicts {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let verdicts = Self {
            counts: Family::default(),
            duration: duration_histogram(),
        };
        metrics.register(|registry| {
            registry.register(
                "statewise_verdicts",
                "Verdicts about credentials by strategy and outcome",
                verdicts.counts.clone(),
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
