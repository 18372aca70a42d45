//! The histograms of a route, looked up once for each thread, method and status.

use std::{borrow::Cow, cell::RefCell, time::Instant};

use shared::telemetry::metrics::{Metrics, RequestHistogram};

/// How long requests took, by the histograms of one route that this thread has used.
pub(super) struct Durations {
    metrics: Metrics,
    /// The route's label in metrics and spans.
    pub(super) label: Cow<'static, str>,
    used: RefCell<Vec<(&'static str, u16, RequestHistogram)>>,
}

impl Durations {
    pub(super) fn new(metrics: &Metrics, label: Cow<'static, str>) -> Self {
        Self {
            metrics: metrics.clone(),
            label,
            used: RefCell::default(),
        }
    }

    /// Counts an answered request; `trace_id` where it is recorded.
    pub(super) fn observe(
        &self,
        method: &'static str,
        status: u16,
        started: Instant,
        trace_id: Option<String>,
    ) {
        let took = started.elapsed();
        let mut used = self.used.borrow_mut();
        let seen = used
            .iter()
            .find(|(other, code, _)| *code == status && *other == method);
        if let Some((.., histogram)) = seen {
            histogram.observe(took, trace_id);
            return;
        }
        let label = self.label.clone();
        let histogram = self.metrics.request_histogram(method, label, status);
        histogram.observe(took, trace_id);
        used.push((method, status, histogram));
    }
}
