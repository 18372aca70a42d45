//! Metrics of the key sets, by issuer: fetches by outcome, how many keys, how old they are. Only
//! configured issuers have any, so that no stranger adds one.

use std::{
    collections::BTreeMap,
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

/// What the fetching tasks report; clones count together.
#[derive(Clone)]
pub(in crate::strategies::tokens) struct Observed {
    fetches: Family<Fetch, Counter>,
    keys: Family<Issuer, Gauge>,
    clock: Family<Issuer, Gauge>,
    ages: Ages,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct Issuer {
    issuer: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fetch {
    issuer: String,
    outcome: &'static str,
}

impl Observed {
    pub(in crate::strategies::tokens) fn register(metrics: &Metrics) -> Self {
        let observed = Self {
            fetches: Family::default(),
            keys: Family::default(),
            clock: Family::default(),
            ages: Ages::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "statewise_jwks_fetches",
                "Fetches of an issuer's keys by outcome",
                observed.fetches.clone(),
            );
            registry.register(
                "statewise_jwks_keys",
                "Usable keys of an issuer that are in use",
                observed.keys.clone(),
            );
            registry.register_with_unit(
                "statewise_issuer_clock_difference",
                "How far this clock is ahead of an issuer's, by its last answer",
                Unit::Seconds,
                observed.clock.clone(),
            );
            registry.register_collector(Box::new(observed.ages.clone()));
        });
        observed
    }

    /// `ahead`: seconds that our clock is ahead.
    pub(super) fn succeeded(&self, issuer: &str, keys: usize, ahead: i64) {
        self.count(issuer, "success");
        let issuer = Issuer {
            issuer: issuer.to_owned(),
        };
        self.clock.get_or_create(&issuer).set(ahead);
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.keys.get_or_create(&issuer).set(keys);
        self.ages.all().insert(issuer, Instant::now());
    }

    pub(super) fn failed(&self, issuer: &str, outcome: &'static str) {
        self.count(issuer, outcome);
    }

    fn count(&self, issuer: &str, outcome: &'static str) {
        let fetch = Fetch {
            issuer: issuer.to_owned(),
            outcome,
        };
        self.fetches.get_or_create(&fetch).inc();
    }
}

/// When the keys of each issuer were fetched; their age is worked out when somebody looks.
#[derive(Clone, Debug, Default)]
struct Ages(Arc<Mutex<BTreeMap<Issuer, Instant>>>);

impl Ages {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<Issuer, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Ages {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let fetched = self.all();
        if fetched.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "statewise_jwks_age",
            "Time since the keys of an issuer that are in use were fetched",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (issuer, at) in &*fetched {
            let age = ConstGauge::new(at.elapsed().as_secs_f64());
            age.encode(family.encode_family(issuer)?)?;
        }
        Ok(())
    }
}
