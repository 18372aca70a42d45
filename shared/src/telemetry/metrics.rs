//! Metrics as OpenMetrics text, with the counters of the process itself.

pub mod calls;
mod process;
mod readiness;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        exemplar::HistogramWithExemplars, family::Family, gauge::Gauge, histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

use self::{process::Process, readiness::LastReadiness};
use super::Identity;

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
    requests: Family<HttpLabels, Traced, fn() -> Traced>,
    readiness: LastReadiness,
}

/// A histogram of which each bucket names a request that fell into it, by its trace.
type Traced = HistogramWithExemplars<[(&'static str, String); 1]>;

fn traced_histogram() -> Traced {
    Traced::new(DURATION_BUCKETS.into_iter())
}

/// The histogram of the requests of one method, route and status. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestHistogram(Traced);

impl RequestHistogram {
    /// Counts one answered request. One that is recorded gives its trace id, which becomes the
    /// exemplar of its bucket (OpenMetrics 1.0, "Exemplars").
    pub fn observe(&self, took: Duration, trace_id: Option<String>) {
        let at = trace_id.is_some().then(SystemTime::now);
        let exemplar = trace_id.map(|id| [("trace_id", id)]);
        self.0.observe(took.as_secs_f64(), exemplar, at);
    }
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
                ("service_name", identity.service.to_string()),
                ("service_version", identity.version.to_owned()),
                ("service_instance_id", identity.instance.clone()),
            ]),
        );
        let requests = Family::new_with_constructor(traced_histogram as fn() -> Traced);
        registry.register_with_unit(
            "http_server_request_duration",
            "Time from the request's head to the end of its answer's head",
            Unit::Seconds,
            requests.clone(),
        );
        calls::register(&mut registry);
        let readiness = LastReadiness::default();
        registry.register_collector(Box::new(readiness.clone()));
        registry.register_collector(Box::new(Process::started_now()));
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            readiness,
        }
    }

    /// Registers a service's own metrics.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says how many threads answer requests: the share of them that is busy tells how near the
    /// service is to its end. To be called once.
    pub fn worker_threads(&self, count: usize) {
        let threads: Gauge = Gauge::default();
        threads.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.register(|registry| {
            registry.register(
                "statewise_worker_threads",
                "Threads that answer requests, each of which can use one processor",
                threads,
            );
        });
    }

    /// Notes what `/readyz` says now, and the names of what it misses.
    pub fn note_readiness(&self, ready: bool, missing: impl IntoIterator<Item = &'static str>) {
        self.readiness.note(ready, missing);
    }

    /// The histogram of one method, route and status.
    #[must_use]
    pub fn request_histogram(
        &self,
        method: &'static str,
        route: Cow<'static, str>,
        status: u16,
    ) -> RequestHistogram {
        RequestHistogram(self.requests.get_or_create_owned(&HttpLabels {
            http_request_method: method,
            http_route: route,
            http_response_status_code: status,
        }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            service: "test".into(),
            version: "0",
            instance: "a".to_owned(),
        }
    }

    #[test]
    fn fifty_and_five_hundred_microseconds_fall_into_different_buckets() {
        let bucket = |seconds: f64| DURATION_BUCKETS.iter().position(|bound| seconds <= *bound);
        assert!(bucket(0.000_5) > bucket(0.000_05).map(|index| index + 2));
    }

    fn observe(metrics: &Metrics, trace_id: Option<&str>) {
        let histogram = metrics.request_histogram("GET", "/me".into(), 200);
        histogram.observe(Duration::from_micros(70), trace_id.map(str::to_owned));
    }

    #[test]
    fn the_text_has_requests_and_the_process_counters() {
        let metrics = Metrics::new(&identity());
        observe(&metrics, None);
        metrics.worker_threads(2);
        let text = metrics.render();
        for line in [
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/me\",http_response_status_code=\"200\"} 1",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_max_fds ",
            "statewise_log_lines_lost_total ",
            "statewise_worker_threads 2",
            "target_info{service_name=\"test\"",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(!text.contains("trace_id"), "nothing was recorded:\n{text}");
    }

    #[test]
    fn a_request_that_is_recorded_is_named_at_its_bucket() {
        let metrics = Metrics::new(&identity());
        observe(&metrics, Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        observe(&metrics, None);
        let text = metrics.render();
        let named: Vec<&str> = text.lines().filter(|line| line.contains(" # {")).collect();
        let [line] = named[..] else {
            panic!("one bucket names a request:\n{text}")
        };
        let named = "2 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} ";
        assert!(line.contains("le=\"0.0001\""), "{line}");
        assert!(line.contains(named), "{line}");
    }

    #[test]
    fn what_is_missing_is_told_as_it_was_when_somebody_asked_last() {
        let metrics = Metrics::new(&identity());
        assert!(!metrics.render().contains("statewise_ready"));
        metrics.note_readiness(true, ["redis", "redis"]);
        let text = metrics.render();
        assert!(text.contains("statewise_ready 1"), "{text}");
        let series = text.matches("statewise_missing{dependency=\"redis\"} 1");
        assert_eq!(series.count(), 1, "{text}");
        metrics.note_readiness(false, ["server"]);
        let text = metrics.render();
        assert!(text.contains("statewise_ready 0"), "{text}");
        assert!(!text.contains("dependency=\"redis\""), "{text}");
    }

    #[test]
    fn calls_are_told_by_system_operation_and_how_they_failed() {
        let took = Duration::from_micros(70);
        calls::observe("redis", "TEST", None, took);
        calls::observe("redis", "TEST", Some("timeout"), took);
        let text = Metrics::new(&identity()).render();
        let name = "db_client_operation_duration_seconds_count";
        let labels = "db_system_name=\"redis\",db_operation_name=\"TEST\"";
        for line in [
            format!("{name}{{{labels}}} 1"),
            format!("{name}{{{labels},error_type=\"timeout\"}} 1"),
        ] {
            assert!(text.contains(&line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn an_invented_method_makes_no_new_series() {
        assert_eq!(method_label("BREW"), "_OTHER");
    }
}
