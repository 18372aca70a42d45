//! What the gateway counts beyond requests.

use std::{borrow::Cow, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Unit,
};
use shared::telemetry::metrics::{Metrics, duration_histogram};

use crate::{
    exchange::Exchange,
    retry::Cause,
    upstream::{Pool, health::Standing},
};

/// How an attempt at an upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The head of an answer came, whatever it said.
    Answered,
    /// It failed in this way.
    Failed(Cause),
    /// No answer came in time.
    TimedOut,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    pool: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    pool: String,
    reason: &'static str,
}

/// What a request with a session id found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// A token.
    Hit,
    /// Nothing; it began an exchange.
    Miss,
    /// An exchange that another request had begun.
    Joined,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchanged {
    /// With a token.
    Token,
    /// The session is unknown or has ended.
    Unknown,
    /// The gateway may not ask.
    Refused,
    /// The token endpoint could not tell.
    Failed,
    /// It did not answer, or not in time.
    Unreachable,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LookLabels {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExchangeLabels {
    outcome: &'static str,
}

/// Counters of the exchange; all there from the start, so that a rate has a zero to begin from.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeMetrics {
    looks: [Counter; 3],
    exchanges: [Counter; 5],
    duration: Histogram,
}

impl ExchangeMetrics {
    fn register(metrics: &Metrics) -> Self {
        let looks = Family::<LookLabels, Counter>::default();
        let exchanges = Family::<ExchangeLabels, Counter>::default();
        let duration = duration_histogram();
        metrics.register(|registry| {
            registry.register(
                "gateway_exchange_lookups",
                "Requests with a session id, by what was at hand for it",
                looks.clone(),
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
        Self {
            looks: ["hit", "miss", "joined"]
                .map(|result| looks.get_or_create_owned(&LookLabels { result })),
            exchanges: ["token", "unknown", "refused", "failed", "unreachable"]
                .map(|outcome| exchanges.get_or_create_owned(&ExchangeLabels { outcome })),
            duration,
        }
    }

    pub(crate) fn looked(&self, looked: Looked) {
        self.looks[looked as usize].inc();
    }

    pub(crate) fn exchanged(&self, outcome: Exchanged, took: Duration) {
        self.exchanges[outcome as usize].inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// Says how many tokens are kept, when asked.
pub(crate) struct Kept(pub(crate) Arc<Exchange>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.0.kept()).finish()
    }
}

impl Collector for Kept {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let encoder = encoder.encode_descriptor(
            "gateway_exchange_tokens",
            "Tokens kept now",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::try_from(self.0.kept()).unwrap_or(i64::MAX)).encode(encoder)
    }
}

/// Counters of all pools, as registered.
#[derive(Clone, Debug)]
pub(crate) struct Families {
    attempts: Family<OutcomeLabels, Counter>,
    retries: Family<ReasonLabels, Counter>,
    exhausted: Family<PoolLabel, Counter>,
    ejections: Family<PoolLabel, Counter>,
    changes: Family<PoolLabel, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) exchange: ExchangeMetrics,
}

/// Counters of one pool, looked up once so that a request only increments.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    answered: Counter,
    timed_out: Counter,
    failed: [Counter; 3],
    retries: [Counter; 3],
    /// Retries that the budget refused.
    pub(crate) exhausted: Counter,
    /// Members taken out by failed requests.
    pub(crate) ejections: Counter,
    /// Members that joined or left.
    pub(crate) changes: Counter,
}

impl Families {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let families = Self {
            attempts: Family::default(),
            retries: Family::default(),
            exhausted: Family::default(),
            ejections: Family::default(),
            changes: Family::default(),
            connections: Gauge::default(),
            exchange: ExchangeMetrics::register(metrics),
        };
        metrics.register(|registry| {
            registry.register(
                "gateway_upstream_attempts",
                "Requests sent to upstreams, by how they ended",
                families.attempts.clone(),
            );
            registry.register(
                "gateway_retries",
                "Requests sent again, by what had happened to the attempt before",
                families.retries.clone(),
            );
            registry.register(
                "gateway_retry_budget_exhausted",
                "Requests that were not sent again because too many had been",
                families.exhausted.clone(),
            );
            registry.register(
                "gateway_ejections",
                "Times an upstream got no requests for a while because some had failed",
                families.ejections.clone(),
            );
            registry.register(
                "gateway_pool_changes",
                "Upstreams that joined or left",
                families.changes.clone(),
            );
            registry.register(
                "gateway_client_connections",
                "Open connections of clients",
                families.connections.clone(),
            );
        });
        families
    }

    pub(crate) fn pool(&self, name: &str) -> PoolMetrics {
        let attempts = |outcome| {
            self.attempts.get_or_create_owned(&OutcomeLabels {
                pool: name.to_owned(),
                outcome,
            })
        };
        let causes = [Cause::Connect, Cause::Unsent, Cause::Lost];
        let pool = || PoolLabel {
            pool: name.to_owned(),
        };
        PoolMetrics {
            answered: attempts("answered"),
            timed_out: attempts("timeout"),
            failed: causes.map(|cause| attempts(cause.label())),
            retries: causes.map(|cause| {
                self.retries.get_or_create_owned(&ReasonLabels {
                    pool: name.to_owned(),
                    reason: cause.label(),
                })
            }),
            exhausted: self.exhausted.get_or_create_owned(&pool()),
            ejections: self.ejections.get_or_create_owned(&pool()),
            changes: self.changes.get_or_create_owned(&pool()),
        }
    }
}

impl PoolMetrics {
    pub(crate) fn attempt(&self, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.answered.inc(),
            Outcome::TimedOut => self.timed_out.inc(),
            Outcome::Failed(cause) => self.failed[cause as usize].inc(),
        };
    }

    pub(crate) fn retry(&self, cause: Cause) {
        self.retries[cause as usize].inc();
    }
}

/// Reads the pools when they are asked for, so that requests keep no gauge up to date.
#[derive(Debug)]
pub(crate) struct PoolCollector {
    pub(crate) pools: Vec<Arc<Pool>>,
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut members = encoder.encode_descriptor(
            "gateway_pool_members",
            "Upstreams of a pool, by standing",
            None,
            MetricType::Gauge,
        )?;
        for pool in &self.pools {
            for standing in [Standing::Good, Standing::Unready, Standing::Ejected] {
                let count = pool
                    .members()
                    .iter()
                    .filter(|member| member.health.standing(&pool.clock) == standing)
                    .count();
                let labels = [
                    ("pool", Cow::Borrowed(pool.name.as_str())),
                    ("state", Cow::Borrowed(standing.label())),
                ];
                ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
                    .encode(members.encode_family(&labels)?)?;
            }
        }
        let mut in_flight = encoder.encode_descriptor(
            "gateway_upstream_in_flight",
            "Requests at upstreams now",
            None,
            MetricType::Gauge,
        )?;
        for pool in &self.pools {
            let count: u32 = pool.members().iter().map(|member| member.in_flight()).sum();
            let labels = [("pool", pool.name.as_str())];
            ConstGauge::new(i64::from(count)).encode(in_flight.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
