//! One trace a request: W3C Trace Context in and out, spans over OTLP.
//!
//! Spans are made with the OpenTelemetry API and handed on explicitly, so none can be orphaned by a
//! spawned task, and a request that is not sampled builds no attributes at all (`docs/adr/0005`).

mod export;
mod exporter;
pub(super) mod headers;
mod parent;
mod redacted;
mod resource;
mod sampling;
mod span;
mod unasked;

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

pub use opentelemetry::trace::SpanKind;
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, SpanContext, TraceContextExt, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use self::export::Losses;
pub(super) use self::parent::is_propagated;
pub use self::{
    export::{Batches, Exporter},
    exporter::{ExporterError, Otlp},
    redacted::redacted,
    sampling::Sampling,
    span::{Span, TraceHandle},
    unasked::{Unasked, unsampled},
};
use super::{Identity, ResourceAttributes, metrics::Metrics};

/// Name of the header that carries the trace, W3C Trace Context §3.2.
pub const TRACEPARENT: &str = "traceparent";
/// Name of the header that carries vendors' state, W3C Trace Context §3.3.
pub const TRACESTATE: &str = "tracestate";

/// The longest that the end of a process waits for spans to be taken: the next process may be
/// waiting for the port.
pub const LAST_FLUSH: Duration = Duration::from_millis(500);

/// How spans are made.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Which requests are traced.
    pub sampling: Sampling,
    /// Who gets the spans.
    pub exporter: Exporter,
    /// How they are put together.
    pub batches: Batches,
    /// A trace goes on from service to service.
    pub propagated: bool,
    /// What is to be said of the process.
    pub attributes: ResourceAttributes,
}

/// Makes spans, or does nothing when tracing is off. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    parent_based: bool,
    propagated: bool,
    losses: Losses,
    /// When the flush began that the end of the process does not wait for.
    flush_began: OnceLock<Instant>,
    /// The receiver took all of that.
    flushed: AtomicBool,
}

impl Tracing {
    /// No spans; incoming trace headers are passed on as they are.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Spans over OTLP, sent in batches by a thread of its own; when the queue is full they are
    /// dropped, so an exporter that is down or slow costs no request anything.
    ///
    /// # Errors
    ///
    /// The exporter could not be built from the `OTEL_*` variables.
    pub fn start(
        settings: Option<&TraceSettings>,
        identity: &Identity,
    ) -> Result<Self, ExporterError> {
        let Some(settings) = settings else {
            return Ok(Self::off());
        };
        let losses = Losses::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampling.sampler())
            .with_resource(resource::of(identity, &settings.attributes))
            .with_span_processor(export::processor(settings, &losses)?)
            .build();
        Ok(Self(Some(Arc::new(Inner {
            tracer: provider.tracer("statewise"),
            provider,
            losses,
            parent_based: settings.sampling.parent_based,
            propagated: settings.propagated,
            flush_began: OnceLock::new(),
            flushed: AtomicBool::new(false),
        }))))
    }

    /// Adds how many spans were exported and lost to the metrics of the service.
    pub fn observe(&self, metrics: &Metrics) {
        if let Some(inner) = &self.0 {
            metrics.register(|registry| inner.losses.register(registry));
        }
    }

    /// Whether spans are made at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of a request that was received. `lines` gives the values of all lines of a request
    /// header; a `traceparent` that is invalid or there more than once starts a new trace (W3C Trace
    /// Context §4.3).
    pub fn server_span<'a, Lines>(
        &self,
        name: impl Into<Cow<'static, str>>,
        lines: impl Fn(&'static str) -> Lines,
    ) -> Span
    where
        Lines: Iterator<Item = &'a [u8]>,
    {
        self.server_span_since(name, None, lines)
    }

    /// The same for a request of which it turned out later that it is worth a span; `began`: when it
    /// was received.
    pub fn server_span_since<'a, Lines>(
        &self,
        name: impl Into<Cow<'static, str>>,
        began: Option<Instant>,
        lines: impl Fn(&'static str) -> Lines,
    ) -> Span
    where
        Lines: Iterator<Item = &'a [u8]>,
    {
        let Some(inner) = &self.0 else {
            return Span::silent();
        };
        let parent = if inner.propagated {
            parent::extract(lines)
        } else {
            SpanContext::NONE
        };
        if inner.parent_based && parent.is_valid() && !parent.is_sampled() {
            return Span::silent();
        }
        inner.start(name.into(), SpanKind::Server, parent, Vec::new(), began)
    }

    /// A call of ours that belongs to no request, and that is traced now that it has ended.
    pub fn call_since(&self, name: impl Into<Cow<'static, str>>, began: Instant) -> Span {
        let Some(inner) = &self.0 else {
            return Span::silent();
        };
        let (kind, parent) = (SpanKind::Client, SpanContext::NONE);
        inner.start(name.into(), kind, parent, Vec::new(), Some(began))
    }

    /// Begins to send what is queued, and returns at once: what is left for [`Tracing::finish`] is
    /// then little. Call it when a drain begins.
    pub fn begin_flush(&self) {
        let Some(inner) = self.0.clone() else { return };
        inner.flush_began.get_or_init(Instant::now);
        let flush = move || {
            let took = inner.provider.force_flush().is_ok();
            inner.flushed.store(took, Ordering::Relaxed);
        };
        // A thread that nobody joins: a receiver that is silent must not hold up the end of a
        // runtime. Without a thread all is left to the end.
        let thread = std::thread::Builder::new().name("flush".to_owned());
        drop(thread.spawn(flush));
    }

    /// Sends what is queued and stops. A receiver that is absent, silent or slow takes
    /// [`LAST_FLUSH`] of the end of a process at most, and nothing when it has not taken what there
    /// was at [`Tracing::begin_flush`]; the spans that it did not take are lost.
    pub async fn finish(self) {
        let Some(inner) = self.0 else { return };
        let patience = match inner.flush_began.get() {
            Some(began) if !inner.flushed.load(Ordering::Relaxed) => {
                LAST_FLUSH.saturating_sub(began.elapsed())
            }
            _ => LAST_FLUSH,
        };
        let shutdown = move || inner.provider.shutdown_with_timeout(patience);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(shutdown).await {
            tracing::warn!(%error, "some spans were not exported");
        }
    }
}

impl Inner {
    fn start(
        self: &Arc<Self>,
        name: Cow<'static, str>,
        kind: SpanKind,
        parent: SpanContext,
        attributes: Vec<KeyValue>,
        began: Option<Instant>,
    ) -> Span {
        let mut builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes(attributes);
        if let Some(began) = began {
            builder = builder.with_start_time(SystemTime::now() - began.elapsed());
        }
        let parent = if parent.is_valid() {
            Context::new().with_remote_span_context(parent)
        } else {
            Context::new()
        };
        let span = self.tracer.build_with_context(builder, &parent);
        Span::active(Arc::clone(self), span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_off_nothing_is_recorded_and_headers_pass_through() {
        let span = Tracing::off().server_span("GET /me", |_| std::iter::empty());
        assert!(!span.is_recording());
        assert!(span.headers().is_none());
        assert!(
            !span
                .child("x", SpanKind::Client, || panic!("built"))
                .is_recording()
        );
    }
}
