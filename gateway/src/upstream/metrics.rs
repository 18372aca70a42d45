//! The metrics of all pools, read when they are asked for, so that requests keep no gauge up to
//! date.

use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{counters::Cause, health::State, pool::Pool};

/// One metric of every pool.
struct PoolMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    /// The name of its label next to `pool`; empty when it has none.
    label: &'static str,
    /// The values of the label, and the number for each.
    read: fn(&Pool) -> Vec<(&'static str, u64)>,
}

const METRICS: [PoolMetric; 7] = [
    PoolMetric {
        name: "gateway_upstream_attempts",
        help: "Requests sent to upstreams, by how they ended",
        kind: MetricType::Counter,
        label: "outcome",
        read: |pool| {
            let counters = &pool.counters;
            let mut read = vec![
                ("answered", counters.answered.get()),
                ("timeout", counters.timed_out.get()),
            ];
            read.extend(Cause::ALL.map(|cause| (cause.label(), counters.failed(cause).get())));
            read
        },
    },
    PoolMetric {
        name: "gateway_retries",
        help: "Requests sent again, by what had happened to the attempt before",
        kind: MetricType::Counter,
        label: "reason",
        read: |pool| {
            let read = |cause: Cause| (cause.label(), pool.counters.retries(cause).get());
            Cause::ALL.map(read).into()
        },
    },
    PoolMetric {
        name: "gateway_retry_budget_exhausted",
        help: "Requests that were not sent again because too many had been",
        kind: MetricType::Counter,
        label: "",
        read: |pool| vec![("", pool.counters.exhausted.get())],
    },
    PoolMetric {
        name: "gateway_ejections",
        help: "Times an upstream got no requests for a while because some had failed",
        kind: MetricType::Counter,
        label: "",
        read: |pool| vec![("", pool.counters.ejections.get())],
    },
    PoolMetric {
        name: "gateway_pool_changes",
        help: "Upstreams that joined or left",
        kind: MetricType::Counter,
        label: "",
        read: |pool| vec![("", pool.counters.changes.get())],
    },
    PoolMetric {
        name: "gateway_pool_members",
        help: "Upstreams of a pool, by state",
        kind: MetricType::Gauge,
        label: "state",
        read: |pool| {
            let states: Vec<State> = pool
                .members()
                .iter()
                .map(|member| member.health.state(&pool.clock))
                .collect();
            let count = |state| states.iter().filter(|other| **other == state).count() as u64;
            let all = [
                State::Healthy,
                State::Ending,
                State::Unready,
                State::Ejected,
            ];
            all.map(|state| (state.label(), count(state))).into()
        },
    },
    PoolMetric {
        name: "gateway_upstream_in_flight",
        help: "Requests at upstreams now",
        kind: MetricType::Gauge,
        label: "",
        read: |pool| {
            let members = pool.members();
            let in_flight = members.iter().map(|member| u64::from(member.in_flight()));
            vec![("", in_flight.sum())]
        },
    },
];

/// Reads all pools.
#[derive(Debug)]
pub(crate) struct PoolCollector(pub(crate) Vec<Arc<Pool>>);

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for metric in METRICS {
            let mut family =
                encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            for pool in &self.0 {
                for (value, number) in (metric.read)(pool) {
                    let mut labels = vec![("pool", pool.name.as_str())];
                    if !metric.label.is_empty() {
                        labels.push((metric.label, value));
                    }
                    let mut series = family.encode_family(&labels)?;
                    match metric.kind {
                        MetricType::Counter => {
                            series.encode_counter::<NoLabelSet, _, u64>(&number, None)?;
                        }
                        _ => series.encode_gauge(&number)?,
                    }
                }
            }
        }
        Ok(())
    }
}
