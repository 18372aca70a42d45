//! What is counted of the exchange.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{MetricType, counter::Counter, family::Family, histogram::Histogram},
    registry::Unit,
};
use shared::telemetry::metrics::{Metrics, duration_histogram};

use super::{cache::Cache, response::Reply};

/// A family with one label.
type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// Counters of the exchange; all there from the start, so that a rate has a zero to begin from.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeMetrics {
    /// Requests whose token was at hand.
    pub(crate) hits: Counter,
    /// Requests that began an exchange.
    pub(crate) misses: Counter,
    /// Requests that waited for an exchange that another one had begun.
    pub(crate) joins: Counter,
    exchanges: Labelled,
    duration: Histogram,
}

impl ExchangeMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let (lookups, exchanges) = (Labelled::default(), Labelled::default());
        let duration = duration_histogram();
        metrics.register(|registry| {
            registry.register(
                "gateway_exchange_lookups",
                "Requests with a session id, by what was at hand for it",
                lookups.clone(),
            );
            registry.register(
                "gateway_exchanges",
                "Session ids exchanged at the token endpoint, by how it ended",
                exchanges.clone(),
            );
            registry.register_with_unit(
                "gateway_exchange_duration",
                "Time that an exchange took",
                Unit::Seconds,
                duration.clone(),
            );
        });
        for outcome in Reply::LABELS {
            exchanges.get_or_create_owned(&[("outcome", outcome)]);
        }
        let lookup = |result| lookups.get_or_create_owned(&[("result", result)]);
        Self {
            hits: lookup("hit"),
            misses: lookup("miss"),
            joins: lookup("joined"),
            exchanges,
            duration,
        }
    }

    /// An exchange ended.
    pub(super) fn ended(&self, outcome: &'static str, took: Duration) {
        self.exchanges.get_or_create(&[("outcome", outcome)]).inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// Says how many tokens are kept, when asked.
pub(super) struct KeptTokens(pub(super) Arc<Cache>);

impl fmt::Debug for KeptTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeptTokens").field(&self.0.len()).finish()
    }
}

impl Collector for KeptTokens {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        encoder
            .encode_descriptor(
                "gateway_exchange_tokens",
                "Tokens kept now",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&self.0.len())
    }
}
