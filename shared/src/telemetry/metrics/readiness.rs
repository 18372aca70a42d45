//! What `/readyz` said last, as metrics. To ask at each scrape would have whoever watches wait for
//! what is missing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// What was missing when somebody asked last; `None`: nobody has.
#[derive(Clone, Debug, Default)]
pub(super) struct LastReadiness(Arc<Mutex<Option<Said>>>);

#[derive(Debug)]
struct Said {
    ready: bool,
    missing: Vec<&'static str>,
}

impl LastReadiness {
    fn last(&self) -> MutexGuard<'_, Option<Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, ready: bool, missing: impl IntoIterator<Item = &'static str>) {
        let mut missing: Vec<&str> = missing.into_iter().collect();
        // Each name is one series.
        missing.sort_unstable();
        missing.dedup();
        *self.last() = Some(Said { ready, missing });
    }
}

impl Collector for LastReadiness {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let last = self.last();
        let Some(said) = &*last else { return Ok(()) };
        ConstGauge::new(i64::from(said.ready)).encode(encoder.encode_descriptor(
            "statewise_ready",
            "Whether /readyz said ready when it was asked last: 1 or 0",
            None,
            MetricType::Gauge,
        )?)?;
        if said.missing.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "statewise_missing",
            "What /readyz named as missing when it was asked last, also where the service was ready",
            None,
            MetricType::Gauge,
        )?;
        for name in &said.missing {
            let one = ConstGauge::new(1_i64);
            one.encode(family.encode_family(&[("dependency", *name)])?)?;
        }
        Ok(())
    }
}
