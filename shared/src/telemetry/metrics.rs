//! Metrics as Prometheus text, with the counters of the process itself.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        MetricType, TypedMetric, counter::ConstCounter, family::Family, gauge::ConstGauge,
        histogram::Histogram, info::Info,
    },
    registry::{Registry, Unit},
};

use super::{Identity, logs};

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds in seconds, about ×2 apart, from 25 µs to 10 s. The default advice of OpenTelemetry begins
/// at 5 ms, which would put a local signature check and a Redis round trip into the same bucket.
pub const DURATION_BUCKETS: [f64; 19] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003, 0.006, 0.012, 0.025,
    0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0, 10.0,
];

/// A histogram of seconds with [`DURATION_BUCKETS`].
#[must_use]
pub fn duration_histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

/// The metrics of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<HttpLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HttpLabels {
    http_request_method: &'static str,
    http_route: Cow<'static, str>,
    http_response_status_code: u16,
}

impl Metrics {
    /// The metrics every service has: requests, process, identity.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        let mut registry = Registry::default();
        registry.register(
            "target",
            "Who is speaking",
            Info::new(vec![
                ("service_name", identity.service.to_owned()),
                ("service_version", identity.version.to_owned()),
                ("service_instance_id", identity.instance.clone()),
            ]),
        );
        let requests = Family::new_with_constructor(duration_histogram as fn() -> Histogram);
        registry.register_with_unit(
            "http_server_request_duration",
            "Time from the request's head to the end of its answer's head",
            Unit::Seconds,
            requests.clone(),
        );
        registry.register_collector(Box::new(Process::started_now()));
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
        }
    }

    /// Registers a service's own metrics.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts one answered request.
    pub fn observe_request(
        &self,
        method: &'static str,
        route: Cow<'static, str>,
        status: u16,
        took: Duration,
    ) {
        self.request_histogram(method, route, status)
            .observe(took.as_secs_f64());
    }

    /// The histogram of one method, route and status, for a caller that keeps it.
    #[must_use]
    pub fn request_histogram(
        &self,
        method: &'static str,
        route: Cow<'static, str>,
        status: u16,
    ) -> Histogram {
        self.requests.get_or_create_owned(&HttpLabels {
            http_request_method: method,
            http_route: route,
            http_response_status_code: status,
        })
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a string fails only if a collector does, and then what is there is sent.
        if let Err(error) = encode(&mut text, &registry) {
            tracing::warn!(%error, "the metrics are incomplete");
        }
        text
    }
}

/// The method as a label: the standard ones, or `_OTHER` so that a caller cannot make new series
/// (OpenTelemetry semantic conventions, `http.request.method`).
#[must_use]
pub fn method_label(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

/// Counters of the process, under the names that Prometheus client libraries agree on.
#[derive(Debug)]
struct Process {
    started_unix_seconds: f64,
}

impl Process {
    fn started_now() -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started_unix_seconds: started.as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut one = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn Measured| {
            metric.write(encoder.encode_descriptor(name, help, unit, metric.kind())?)
        };
        one(
            "process_cpu",
            "User and system CPU time used",
            Some(&Unit::Seconds),
            &ConstCounter::new(cpu_time().as_secs_f64()),
        )?;
        one(
            "process_start_time",
            "When the process started, since the epoch",
            Some(&Unit::Seconds),
            &ConstGauge::new(self.started_unix_seconds),
        )?;
        one(
            "statewise_log_lines_lost",
            "Log lines that standard error did not take",
            None,
            &ConstCounter::new(logs::lost()),
        )?;
        if let Some(bytes) = resident_memory_bytes() {
            one(
                "process_resident_memory",
                "Resident memory",
                Some(&Unit::Bytes),
                &ConstGauge::new(bytes),
            )?;
        }
        Ok(())
    }
}

trait Measured {
    fn kind(&self) -> MetricType;
    fn write(&self, encoder: prometheus_client::encoding::MetricEncoder) -> std::fmt::Result;
}

impl<M: EncodeMetric + TypedMetric> Measured for M {
    fn kind(&self) -> MetricType {
        self.metric_type()
    }
    fn write(&self, encoder: prometheus_client::encoding::MetricEncoder) -> std::fmt::Result {
        self.encode(encoder)
    }
}

/// CPU time of this process to the nanosecond; `/proc/self/stat` counts in ticks of 10 ms.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Resident memory, on systems with a `/proc`.
fn resident_memory_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * i64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            service: "test",
            version: "0",
            instance: "a".to_owned(),
        }
    }

    #[test]
    fn fifty_and_five_hundred_microseconds_fall_into_different_buckets() {
        let bucket = |seconds: f64| DURATION_BUCKETS.iter().position(|bound| seconds <= *bound);
        assert!(bucket(0.000_5) > bucket(0.000_05).map(|index| index + 2));
    }

    #[test]
    fn the_text_has_requests_and_the_process_counters() {
        let metrics = Metrics::new(&identity());
        metrics.observe_request("GET", "/me".into(), 200, Duration::from_micros(70));
        let text = metrics.render();
        for line in [
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/me\",http_response_status_code=\"200\"} 1",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "statewise_log_lines_lost_total ",
            "target_info{service_name=\"test\"",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn an_invented_method_makes_no_new_series() {
        assert_eq!(method_label("BREW"), "_OTHER");
    }
}
