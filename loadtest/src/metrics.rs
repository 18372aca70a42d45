//! What can be measured of a window: one entry a metric. Results, statistics, thresholds, the
//! terminal and the page read this table.

mod observation;

use crate::{
    results::{Better, MetricInfo},
    stats::interval,
};
pub use observation::Observation;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Id, as in `results.json`.
    pub id: &'static str,
    /// Shorter id, as `--fail-if` takes it too.
    pub alias: &'static str,
    /// As in a table: short, and without the unit.
    pub label: &'static str,
    /// As in a sentence.
    pub title: &'static str,
    /// `µs`, `1/s`, `bytes`, `share` (0 to 1) or nothing.
    pub unit: &'static str,
    /// Which direction is better.
    pub better: Better,
    /// Whether a run is unclear when a comparison in it is.
    pub headline: bool,
    /// Share of requests that lie above it, when it is a quantile: with fewer than 100 of them it
    /// says more of the machine than of the system.
    pub above: Option<f64>,
    /// How it follows from a window, or from many together. `None` where it cannot be told.
    pub value: fn(&Observation) -> Option<f64>,
}

/// Every metric, in the order of tables.
pub const METRICS: &[Metric] = &[
    quantile(
        "response_time_p50",
        "p50",
        "response time p50",
        "median of the response time",
        0.5,
        |of| of.response_time_us(0.5),
    )
    .headline(),
    quantile(
        "response_time_p90",
        "p90",
        "response time p90",
        "90th percentile of the response time",
        0.1,
        |of| of.response_time_us(0.9),
    ),
    quantile(
        "response_time_p99",
        "p99",
        "response time p99",
        "99th percentile of the response time",
        0.01,
        |of| of.response_time_us(0.99),
    )
    .headline(),
    quantile(
        "response_time_p99_9",
        "p99_9",
        "response time p99.9",
        "99.9th percentile of the response time",
        0.001,
        |of| of.response_time_us(0.999),
    ),
    quantile(
        "service_time_p50",
        "service_p50",
        "service time p50",
        "median of the service time",
        0.5,
        |of| of.service_time_us(0.5),
    ),
    quantile(
        "service_time_p99",
        "service_p99",
        "service time p99",
        "99th percentile of the service time",
        0.01,
        |of| of.service_time_us(0.99),
    ),
    cpu(
        "cpu_us_per_request",
        "cpu",
        "CPU system",
        "CPU time of the whole system per request",
        |of| of.system_cpu_us(),
    )
    .headline(),
    cpu(
        "cpu_us_per_request_gateway",
        "cpu_gateway",
        "CPU gateway",
        "CPU time of the gateway per request",
        |of| of.cpu_us("gateway"),
    ),
    cpu(
        "cpu_us_per_request_api",
        "cpu_api",
        "CPU api",
        "CPU time of the API per request",
        |of| of.cpu_us("api"),
    ),
    cpu(
        "cpu_us_per_request_redis",
        "cpu_redis",
        "CPU redis",
        "CPU time of Redis per request",
        |of| of.cpu_us("redis"),
    ),
    cpu(
        "cpu_us_per_request_auth",
        "cpu_auth",
        "CPU auth",
        "CPU time of the auth service per request",
        |of| of.cpu_us("auth"),
    ),
    cpu(
        "cpu_us_per_request_generator",
        "cpu_generator",
        "CPU generator",
        "CPU time of the load generator per request",
        |of| of.generator_cpu_us(),
    ),
    other(
        "redis_commands_per_request",
        "redis_commands",
        "Redis commands",
        "Redis commands per request",
        "",
        Better::Lower,
        |of| of.redis_commands(),
    ),
    other(
        "redis_bytes_per_request",
        "redis_bytes",
        "Redis bytes",
        "bytes to and from Redis per request",
        "bytes",
        Better::Lower,
        |of| of.redis_bytes(),
    ),
    other(
        "memory_hits",
        "memory_hits",
        "memory hits",
        "share of look-ups in memory (sessions, verified tokens, answers, exchanged tokens) that hit",
        "share",
        Better::Higher,
        |of| of.hit_ratio(),
    ),
    other(
        "achieved_per_second",
        "achieved",
        "achieved",
        "rate of good answers",
        "1/s",
        Better::Higher,
        |of| Some(of.achieved_per_second()),
    ),
    other(
        "good",
        "good",
        "good",
        "share of requests answered well",
        "share",
        Better::Higher,
        |of| Some(of.good_share()),
    ),
    other(
        "request_bytes",
        "request_bytes",
        "request",
        "size of a request",
        "bytes",
        Better::Lower,
        |of| of.request_bytes(),
    ),
    other(
        "response_bytes",
        "response_bytes",
        "answer",
        "size of an answer",
        "bytes",
        Better::Lower,
        |of| of.response_bytes(),
    ),
    quantile(
        "connection_wait_p99",
        "wait_p99",
        "wait p99",
        "99th percentile of the wait for a free connection",
        0.01,
        |of| of.connection_wait_us(0.99),
    ),
    quantile(
        "send_lag_p99",
        "send_lag_p99",
        "send lag p99",
        "99th percentile of the generator's send lag",
        0.01,
        |of| of.send_lag_us(0.99),
    ),
];

/// The metric of an id or an alias.
#[must_use]
pub fn named(name: &str) -> Option<&'static Metric> {
    METRICS
        .iter()
        .find(|metric| metric.id == name || metric.alias == name)
}

/// The table as data.
#[must_use]
pub fn infos() -> Vec<MetricInfo> {
    METRICS.iter().map(Metric::info).collect()
}

const fn other(
    id: &'static str,
    alias: &'static str,
    label: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
    value: fn(&Observation) -> Option<f64>,
) -> Metric {
    Metric {
        id,
        alias,
        label,
        title,
        unit,
        better,
        headline: false,
        above: None,
        value,
    }
}

const fn cpu(
    id: &'static str,
    alias: &'static str,
    label: &'static str,
    title: &'static str,
    value: fn(&Observation) -> Option<f64>,
) -> Metric {
    other(id, alias, label, title, "µs", Better::Lower, value)
}

const fn quantile(
    id: &'static str,
    alias: &'static str,
    label: &'static str,
    title: &'static str,
    above: f64,
    value: fn(&Observation) -> Option<f64>,
) -> Metric {
    let mut metric = other(id, alias, label, title, "µs", Better::Lower, value);
    metric.above = Some(above);
    metric
}

impl Metric {
    const fn headline(mut self) -> Self {
        self.headline = true;
        self
    }

    /// The entry as data.
    #[must_use]
    pub fn info(&self) -> MetricInfo {
        MetricInfo {
            id: self.id.to_owned(),
            alias: self.alias.to_owned(),
            label: self.label.to_owned(),
            title: self.title.to_owned(),
            unit: self.unit.to_owned(),
            better: self.better,
            headline: self.headline,
        }
    }

    /// Whether `requests` are enough for it.
    #[must_use]
    pub fn is_supported(&self, requests: u64) -> bool {
        self.above
            .is_none_or(|above| interval::supported(requests, above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_an_alias_name_one_metric_only() {
        for metric in METRICS {
            for name in [metric.id, metric.alias] {
                let of_that_name = METRICS
                    .iter()
                    .filter(|other| other.id == name || other.alias == name);
                assert_eq!(of_that_name.count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn a_quantile_needs_a_hundred_requests_above_it() {
        let p99 = named("p99").unwrap();
        assert!(p99.is_supported(10_000) && !p99.is_supported(9_999));
        assert!(named("cpu").unwrap().is_supported(1));
    }
}
