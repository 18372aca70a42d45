//! Sessions that are kept in memory.

use std::{num::NonZeroUsize, time::Duration};

use shared::{
    session::{CacheCounters, CacheSettings, CachedSessions, StoreSettings},
    telemetry::{Identity, metrics::Metrics},
};

/// A memory for so many, which never answers when it is stale, and the metrics that count its events.
pub(crate) fn cached(settings: StoreSettings, entries: usize) -> (CachedSessions, Metrics) {
    let metrics = Metrics::new(&Identity {
        service: "test".into(),
        version: "0",
        instance: "1".to_owned(),
    });
    let cache = CacheSettings {
        entries: NonZeroUsize::new(entries).unwrap(),
        serve_stale: Duration::ZERO,
    };
    let counters = CacheCounters::register(&metrics);
    (CachedSessions::open(settings, cache, counters), metrics)
}
