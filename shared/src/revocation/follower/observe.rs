//! The metrics of a follower.

use std::sync::{Arc, Weak};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::Unit,
};

use super::Shared;
use crate::telemetry::metrics::Metrics;

/// What is counted as it happens.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) snapshots: Counter,
    pub(super) gaps: Counter,
    stale: Family<Stale, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Stale {
    outcome: &'static str,
}

impl Observed {
    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            registry.register(
                "statewise_revocation_snapshots",
                "Times that all revocations were read: at the start, after a lost connection, after a gap",
                self.snapshots.clone(),
            );
            registry.register(
                "statewise_revocation_gaps",
                "Times that the feed of revocations did not go on where it had stopped",
                self.gaps.clone(),
            );
            registry.register(
                "statewise_revocation_stale_verdicts",
                "Verdicts while the revocations were too old, by what the policy made of them",
                self.stale.clone(),
            );
        });
    }

    /// Counts a verdict that was given or not given on revocations that are too old.
    pub(super) fn stale(&self, outcome: &'static str) {
        self.stale.get_or_create(&Stale { outcome }).inc();
    }
}

/// What is true at the moment of asking.
#[derive(Debug)]
pub(super) struct Now(pub(super) Weak<Shared>);

impl Now {
    pub(super) fn register(shared: &Arc<Shared>, metrics: &Metrics) {
        let now = Box::new(Self(Arc::downgrade(shared)));
        metrics.register(|registry| registry.register_collector(now));
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(shared) = self.0.upgrade() else {
            return Ok(());
        };
        let entries = ConstGauge::new(i64::try_from(shared.entries()).unwrap_or(i64::MAX));
        entries.encode(encoder.encode_descriptor(
            "statewise_revocation_entries",
            "Revocations held now",
            None,
            entries.metric_type(),
        )?)?;
        let sequence = ConstGauge::new(i64::try_from(shared.sequence()).unwrap_or(i64::MAX));
        sequence.encode(encoder.encode_descriptor(
            "statewise_revocation_sequence",
            "Number of the last revocation that was heard of",
            None,
            sequence.metric_type(),
        )?)?;
        let most = ConstGauge::new(shared.max_age.as_secs_f64());
        most.encode(encoder.encode_descriptor(
            "statewise_revocation_max_age",
            "The age beyond which a verdict cannot be given, or is given all the same where the policy accepts that",
            Some(&Unit::Seconds),
            most.metric_type(),
        )?)?;
        // Absent before the first time in sync: there is no such age.
        if let Some(age) = shared.age() {
            let age = ConstGauge::new(age.as_secs_f64());
            age.encode(encoder.encode_descriptor(
                "statewise_revocation_age",
                "Time since every revocation there was is known",
                Some(&Unit::Seconds),
                age.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
