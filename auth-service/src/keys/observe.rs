//! The signing keys as metrics, read when they are asked for.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Unit,
};
use shared::{clock::Clock, telemetry::metrics::Metrics};

use super::{life::Stage, ring::KeyRing};
use crate::storage::UnixSeconds;

/// Reads the keys of a replica.
#[derive(Debug)]
struct Keys {
    ring: KeyRing,
    clock: Clock,
}

impl KeyRing {
    /// Adds what the keys do, and whether they are rotated, to the metrics.
    pub fn register(&self, clock: &Clock, metrics: &Metrics) {
        let keys = Box::new(Keys {
            ring: self.clone(),
            clock: clock.clone(),
        });
        metrics.register(|registry| registry.register_collector(keys));
    }
}

impl Collector for Keys {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let now = UnixSeconds::now(&self.clock);
        let statuses = self.ring.statuses(now);
        let mut family = encoder.encode_descriptor(
            "auth_signing_keys",
            "Signing keys by what they do",
            None,
            MetricType::Gauge,
        )?;
        for stage in [Stage::Announced, Stage::Signing, Stage::Retired] {
            let count = statuses.iter().filter(|key| key.stage == stage).count();
            let count = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            count.encode(family.encode_family(&[("stage", stage.name())])?)?;
        }
        for (name, help, value) in [
            (
                "auth_signing_keys_age",
                "Time since the signing keys were read from the user store; 0 for keys that were given as files",
                self.ring.age(),
            ),
            (
                "auth_key_rotation_overdue",
                "For how long the next signing key should have been announced; 0 where none is due",
                self.ring.overdue(now),
            ),
        ] {
            ConstGauge::new(value.as_secs_f64()).encode(encoder.encode_descriptor(
                name,
                help,
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?)?;
        }
        Ok(())
    }
}
