//! Calls to the authorization server, counted, and those that were spared.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use shared::telemetry::metrics::Metrics;

use super::{client::CallError, reply::Reply};

/// The counters; clones count together.
#[derive(Clone)]
pub(super) struct Calls {
    outcomes: Family<Call, Counter>,
    /// Found among the answers that are kept.
    pub(super) hits: Counter,
    /// Not found there.
    pub(super) misses: Counter,
    /// Served by the call of another request.
    pub(super) shared: Counter,
    /// Not made, because the server failed just before.
    pub(super) broken: Counter,
    /// How often that began.
    pub(super) opened: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Event {
    event: &'static str,
}

impl Calls {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let outcomes = Family::<Call, Counter>::default();
        let events = Family::<Event, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "statewise_introspection_calls",
                "Calls to the introspection endpoint by outcome",
                outcomes.clone(),
            );
            registry.register(
                "statewise_introspection_events",
                "Look-ups of answers that are kept (hit, miss), calls shared, and the breaker",
                events.clone(),
            );
        });
        let counter = |event| events.get_or_create_owned(&Event { event });
        Self {
            outcomes,
            hits: counter("hit"),
            misses: counter("miss"),
            shared: counter("shared"),
            broken: counter("broken"),
            opened: counter("breaker_opened"),
        }
    }

    pub(super) fn count(&self, outcome: &Result<Reply, CallError>) {
        let outcome = match outcome {
            Ok(reply) if reply.active => "active",
            Ok(_) => "inactive",
            Err(error) => error.outcome(),
        };
        self.outcomes.get_or_create(&Call { outcome }).inc();
    }
}
