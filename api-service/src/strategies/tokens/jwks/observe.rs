//! Metrics of the key set: fetches by outcome, how many keys, how old they are.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Unit,
};
use shared::telemetry::metrics::Metrics;

/// What the fetching task reports.
#[derive(Clone)]
pub(super) struct Observed {
    fetches: Family<Fetch, Counter>,
    keys: Gauge,
    clock: Gauge,
    age: Age,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fetch {
    outcome: &'static str,
}

impl Observed {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let observed = Self {
            fetches: Family::default(),
            keys: Gauge::default(),
            clock: Gauge::default(),
            age: Age::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "statewise_jwks_fetches",
                "Fetches of the issuer's keys by outcome",
                observed.fetches.clone(),
            );
            registry.register(
                "statewise_jwks_keys",
                "Usable keys known",
                observed.keys.clone(),
            );
            registry.register_with_unit(
                "statewise_issuer_clock_difference",
                "How far this clock is ahead of the issuer's, by its last answer",
                Unit::Seconds,
                observed.clock.clone(),
            );
            registry.register_collector(Box::new(observed.age.clone()));
        });
        observed
    }

    /// `ahead`: seconds that our clock is ahead.
    pub(super) fn succeeded(&self, keys: usize, ahead: i64) {
        self.count("success");
        self.clock.set(ahead);
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        *self.age.fetched() = Some(Instant::now());
    }

    pub(super) fn failed(&self, outcome: &'static str) {
        self.count(outcome);
    }

    fn count(&self, outcome: &'static str) {
        self.fetches.get_or_create(&Fetch { outcome }).inc();
    }
}

/// The time since the keys were fetched, worked out when somebody looks.
#[derive(Clone, Debug, Default)]
struct Age(Arc<Mutex<Option<Instant>>>);

impl Age {
    fn fetched(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Age {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(at) = *self.fetched() else {
            return Ok(());
        };
        let encoder = encoder.encode_descriptor(
            "statewise_jwks_age",
            "Time since the keys in use were fetched",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(at.elapsed().as_secs_f64()).encode(encoder)
    }
}
