//! One trace a request: W3C Trace Context in and out, spans over OTLP.
//!
//! Spans are made with the OpenTelemetry API and handed on explicitly, so none can be orphaned by a
//! spawned task, and a request that is not sampled builds no attributes at all (`docs/adr/0005`).

mod exporter;
pub(super) mod headers;
mod parent;
mod redacted;
mod resource;
mod sampling;

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use opentelemetry::trace::SpanKind;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, TraceContextExt, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use self::{exporter::ExporterError, redacted::redacted, sampling::Sampling};
use super::Identity;
use crate::config::Secret;

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
    /// Where they go.
    pub endpoint: url::Url,
    /// How long one export may take.
    pub timeout: Duration,
    /// `service.name`, if not the one that is built in or in `OTEL_RESOURCE_ATTRIBUTES`.
    pub service_name: Option<String>,
    /// Headers of each export, as `name=value` pairs.
    pub headers: Option<Secret<String>>,
}

/// Makes spans, or does nothing when tracing is off. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    parent_based: bool,
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
        let provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampling.sampler())
            .with_resource(resource::of(identity, settings.service_name.clone()))
            .with_batch_exporter(exporter::exporter(settings)?)
            .build();
        Ok(Self(Some(Arc::new(Inner {
            tracer: provider.tracer("statewise"),
            provider,
            parent_based: settings.sampling.parent_based,
            flush_began: OnceLock::new(),
            flushed: AtomicBool::new(false),
        }))))
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
        let Some(inner) = &self.0 else {
            return Span::silent();
        };
        let parent = parent::extract(lines);
        if inner.parent_based && parent.is_valid() && !parent.is_sampled() {
            return Span::silent();
        }
        inner.start(name.into(), SpanKind::Server, parent, Vec::new())
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
    ) -> Span {
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes(attributes);
        let parent = if parent.is_valid() {
            Context::new().with_remote_span_context(parent)
        } else {
            Context::new()
        };
        let span = self.tracer.build_with_context(builder, &parent);
        Span(Some(Active {
            tracing: Arc::clone(self),
            span,
        }))
    }
}

/// A unit of work within a trace. It ends when dropped.
///
/// Three cases: recorded and exported; not sampled but with an identity to pass on, so that no
/// later service samples a part of the trace; silent, where incoming headers pass through.
#[derive(Debug)]
pub struct Span(Option<Active>);

#[derive(Debug)]
struct Active {
    tracing: Arc<Inner>,
    span: opentelemetry_sdk::trace::Span,
}

impl Span {
    /// A span that records nothing and passes incoming headers through.
    #[must_use]
    pub fn silent() -> Self {
        Self(None)
    }

    /// Whether anything set here will be exported. Build attributes only when it is.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|active| active.span.is_recording())
    }

    /// Renames the span, for a route that is known only after routing.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(active) = &mut self.0 {
            active.span.update_name(name);
        }
    }

    /// Sets one attribute by its semantic-convention name.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(active) = &mut self.0 {
            active.span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks the span as failed, with `error.type`.
    pub fn fail(&mut self, error_type: impl Into<Cow<'static, str>>) {
        if self.is_recording()
            && let Some(active) = &mut self.0
        {
            let error_type = error_type.into();
            active
                .span
                .set_attribute(KeyValue::new("error.type", error_type.to_string()));
            active
                .span
                .set_status(opentelemetry::trace::Status::error(error_type));
        }
    }

    /// Begins a span below this one. `attributes` is called only when the span is recorded.
    #[must_use]
    pub fn child(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        match &self.0 {
            Some(active) if active.span.is_recording() => active.tracing.start(
                name.into(),
                kind,
                active.span.span_context().clone(),
                attributes(),
            ),
            // Not sampled: the same identity serves the child, which records nothing either.
            _ => Span::silent(),
        }
    }

    /// A handle from which children can be begun after this span was moved elsewhere; `None` when
    /// nothing is recorded.
    #[must_use]
    pub fn handle(&self) -> Option<TraceHandle> {
        let active = self
            .0
            .as_ref()
            .filter(|active| active.span.is_recording())?;
        Some(TraceHandle {
            tracing: Arc::clone(&active.tracing),
            context: active.span.span_context().clone(),
        })
    }

    /// The trace id in hexadecimal, for logs; `None` when nothing is recorded.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.handle()
            .map(|handle| handle.context.trace_id().to_string())
    }

    /// The `traceparent` and, if any, `tracestate` to send on; `None` when incoming headers are to
    /// be passed on unchanged.
    #[must_use]
    pub fn headers(&self) -> Option<(String, Option<String>)> {
        let context = self.0.as_ref()?.span.span_context();
        let state = context.trace_state().header();
        Some((
            format!(
                "00-{}-{}-{:02x}",
                context.trace_id(),
                context.span_id(),
                context.trace_flags().to_u8()
            ),
            Some(state).filter(|state| !state.is_empty()),
        ))
    }
}

/// Where children of a recorded span are begun.
#[derive(Clone, Debug)]
pub struct TraceHandle {
    tracing: Arc<Inner>,
    context: SpanContext,
}

impl TraceHandle {
    /// Begins a span below the one this handle was taken from.
    #[must_use]
    pub fn child(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
    ) -> Span {
        self.tracing
            .start(name.into(), kind, self.context.clone(), attributes)
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
