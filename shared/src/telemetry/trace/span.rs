//! A unit of work within a trace, as a value that is handed on.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use opentelemetry::{
    KeyValue, Value,
    trace::{Span as _, SpanContext, SpanKind},
};

use super::Inner;

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
    /// What was noted of it below it; made with the first handle.
    notes: OnceLock<Notes>,
}

type Notes = Arc<Mutex<Vec<Note>>>;

/// What somebody who has a handle on a span says of it.
#[derive(Debug)]
enum Note {
    Attribute(KeyValue),
    Link(SpanContext),
}

impl Drop for Active {
    fn drop(&mut self) {
        let Some(notes) = self.notes.get() else {
            return;
        };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        for note in notes.drain(..) {
            match note {
                Note::Attribute(attribute) => self.span.set_attribute(attribute),
                Note::Link(context) => self.span.add_link(context, Vec::new()),
            }
        }
    }
}

impl Span {
    pub(super) fn active(tracing: Arc<Inner>, span: opentelemetry_sdk::trace::Span) -> Self {
        Self(Some(Active {
            tracing,
            span,
            notes: OnceLock::new(),
        }))
    }

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

    /// Notes that something happened within it, with texts about it.
    pub fn event(&mut self, name: &'static str, about: &[(&'static str, &str)]) {
        if self.is_recording()
            && let Some(active) = &mut self.0
        {
            let about = about.iter();
            let about = about.map(|(key, value)| KeyValue::new(*key, (*value).to_owned()));
            active.span.add_event(name, about.collect());
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
                None,
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
            notes: Arc::clone(active.notes.get_or_init(Notes::default)),
        })
    }

    /// The trace id in hexadecimal, for logs; `None` when nothing is recorded.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let active = self.0.as_ref();
        let active = active.filter(|active| active.span.is_recording())?;
        Some(active.span.span_context().trace_id().to_string())
    }

    /// The `traceparent` and, if any, `tracestate` to send on; `None` when incoming headers are to
    /// be passed on unchanged.
    #[must_use]
    pub fn headers(&self) -> Option<(String, Option<String>)> {
        let active = self.0.as_ref().filter(|active| active.tracing.propagated)?;
        let context = active.span.span_context();
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

/// Where children of a recorded span are begun, and where what is done for it says more of it.
#[derive(Clone, Debug)]
pub struct TraceHandle {
    tracing: Arc<Inner>,
    context: SpanContext,
    notes: Notes,
}

impl TraceHandle {
    /// Sets an attribute of the span that this handle was taken from, which must not have ended yet.
    pub fn note(&self, key: &'static str, value: impl Into<Value>) {
        self.add(Note::Attribute(KeyValue::new(key, value)));
    }

    /// Links that span with one of another request, whose work served it too.
    pub fn link(&self, other: &Self) {
        self.add(Note::Link(other.context.clone()));
    }

    fn add(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note);
    }

    /// Begins a span below the one this handle was taken from.
    #[must_use]
    pub fn child(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let parent = self.context.clone();
        self.tracing
            .start(name.into(), kind, parent, attributes, None)
    }
}
