//! What the gateway counts beyond requests.

use std::{borrow::Cow, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};
use shared::telemetry::metrics::Metrics;

use crate::{
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

/// Counters of all pools, as registered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families {
    attempts: Family<OutcomeLabels, Counter>,
    retries: Family<ReasonLabels, Counter>,
    exhausted: Family<PoolLabel, Counter>,
    ejections: Family<PoolLabel, Counter>,
    changes: Family<PoolLabel, Counter>,
    pub(crate) connections: Gauge,
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
        let families = Self::default();
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
