//! What happens to the sessions in memory, counted.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::telemetry::metrics::Metrics;

/// The counters; clones count together.
#[derive(Clone, Debug)]
pub struct CacheCounters {
    pub(super) hits: Counter,
    pub(super) stale: Counter,
    pub(super) misses: Counter,
    pub(super) invalidations: Counter,
    pub(super) flushes: Counter,
    pub(super) evicted: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Event {
    event: &'static str,
}

impl CacheCounters {
    /// Registers the counters, once for a process.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let family = Family::<Event, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "statewise_session_cache_events",
                "Look-ups of sessions in memory (hit, stale, miss), and what made them leave it",
                family.clone(),
            );
        });
        let counter = |event| family.get_or_create_owned(&Event { event });
        Self {
            hits: counter("hit"),
            stale: counter("stale"),
            misses: counter("miss"),
            invalidations: counter("invalidation"),
            flushes: counter("flush"),
            evicted: counter("evicted"),
        }
    }
}
