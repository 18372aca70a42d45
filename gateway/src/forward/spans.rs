//! One SERVER span a request and one CLIENT span an attempt, by the HTTP semantic conventions.
//! Nothing is built for a request that is not recorded.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, HeaderValue, Request, StatusCode, Version, header};
use shared::telemetry::{
    metrics::method_label,
    trace::{Span, SpanKind, TRACEPARENT, TRACESTATE, TraceHandle, Tracing, redacted},
};

use crate::problem::Refusal;

/// Begins the spans of requests.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    pub(crate) tracing: Tracing,
    /// A client's trace is continued.
    pub(crate) trusted: bool,
    /// Where clients come in.
    pub(crate) listen: SocketAddr,
}

impl Tracer {
    /// Begins the span of a request to the route with this label.
    pub(crate) fn server<B>(
        &self,
        label: &str,
        method: &'static str,
        client: IpAddr,
        request: &Request<B>,
    ) -> Trace {
        if !self.tracing.is_on() {
            return Trace::default();
        }
        let text = |name: &str| request.headers().get(name)?.to_str().ok();
        let mut span = self.tracing.server_span(method, |name| {
            let lines = request.headers().get_all(name).iter();
            let lines = lines.map(HeaderValue::as_bytes);
            lines.filter(|_| self.trusted)
        });
        if let Some(handle) = span.handle() {
            span.rename(format!("{method} {label}"));
            span.set("http.request.method", method);
            span.set("http.route", label.to_owned());
            span.set("url.scheme", "http");
            span.set("url.path", redacted(request.uri().path()).into_owned());
            span.set("server.address", self.listen.ip().to_string());
            span.set("server.port", i64::from(self.listen.port()));
            span.set("client.address", client.to_string());
            let is_old = request.version() == Version::HTTP_10;
            let version = if is_old { "1.0" } else { "1.1" };
            span.set("network.protocol.version", version);
            if let Some(agent) = text(header::USER_AGENT.as_str()) {
                span.set("user_agent.original", redacted(agent).into_owned());
            }
            return Trace::new(Some(span), Parent::Recorded(handle));
        }
        match span.headers() {
            Some((traceparent, tracestate)) => Trace::new(
                None,
                Parent::Unsampled {
                    traceparent,
                    tracestate,
                },
            ),
            None => Trace::default(),
        }
    }
}

/// What the spans of attempts are begun below.
#[derive(Clone, Debug)]
pub(crate) enum Parent {
    /// A span that is exported.
    Recorded(TraceHandle),
    /// An identity to send on, so that the services behind do not sample a part of the trace.
    Unsampled {
        /// The header of that name.
        traceparent: String,
        /// The header of that name.
        tracestate: Option<String>,
    },
}

/// The spans of one request, which end with it. Without any, trace headers are sent on unchanged.
#[derive(Debug, Default)]
pub(crate) struct Trace(
    /// Boxed: a request that is not traced would carry the room for it from hand to hand.
    Option<Box<Spans>>,
);

/// The inner span ends first, so it is the first field.
#[derive(Debug)]
struct Spans {
    attempt: Option<Span>,
    server: Option<Span>,
    parent: Parent,
}

impl Trace {
    fn new(server: Option<Span>, parent: Parent) -> Self {
        Self(Some(Box::new(Spans {
            attempt: None,
            server,
            parent,
        })))
    }

    /// For attempts that may outlive the request that they belong to.
    pub(crate) fn below(parent: Option<Parent>) -> Self {
        parent.map_or_else(Self::default, |parent| Self::new(None, parent))
    }

    /// The id of the trace, where the request is recorded.
    pub(crate) fn id(&self) -> Option<String> {
        self.0.as_ref()?.server.as_ref()?.trace_id()
    }

    /// What else belongs to the trace is begun below this.
    pub(crate) fn parent(&self) -> Option<Parent> {
        self.0.as_ref().map(|spans| spans.parent.clone())
    }

    /// Begins the span of an attempt and puts its identity into the request.
    pub(crate) fn attempt<B>(
        &mut self,
        pool: &str,
        upstream: SocketAddr,
        request: &mut Request<B>,
        resends: usize,
    ) {
        let Some(spans) = &mut self.0 else { return };
        let (parent, state) = match &spans.parent {
            Parent::Unsampled {
                traceparent,
                tracestate,
            } => (traceparent.clone(), tracestate.clone()),
            Parent::Recorded(handle) => {
                // A caller may invent a method that says anything.
                let method = method_label(request.method().as_str());
                let name = format!("{method} {pool}");
                let mut span = handle.child(name, SpanKind::Client, Vec::new());
                span.set("http.request.method", method);
                span.set("server.address", upstream.ip().to_string());
                span.set("server.port", i64::from(upstream.port()));
                // Without the query: it is the client's and may hold anything.
                let url = format!("http://{upstream}{}", redacted(request.uri().path()));
                span.set("url.full", url);
                if resends > 0 {
                    let count = i64::try_from(resends).unwrap_or(i64::MAX);
                    span.set("http.request.resend_count", count);
                }
                let identity = span.headers();
                spans.attempt = Some(span);
                let Some(identity) = identity else { return };
                identity
            }
        };
        let headers = request.headers_mut();
        headers.remove(HeaderName::from_static(TRACESTATE));
        for (name, value) in [(TRACEPARENT, Some(parent)), (TRACESTATE, state)] {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    /// Ends the span of an attempt that brought no answer.
    pub(crate) fn attempt_failed(&mut self, error_type: &'static str) {
        if let Some(mut attempt) = self.0.as_mut().and_then(|spans| spans.attempt.take()) {
            attempt.fail(error_type);
        }
    }

    /// Whether there is somebody to be told what happened.
    pub(crate) fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|spans| spans.server.is_some())
    }

    /// Notes that something happened to the request, with texts about it.
    pub(crate) fn event(&mut self, name: &'static str, about: &[(&'static str, &str)]) {
        if let Some(server) = self.0.as_mut().and_then(|spans| spans.server.as_mut()) {
            server.event(name, about);
        }
    }

    /// Says where the token came from that took the place of a session id, and links the request to
    /// the one whose exchange it waits for.
    pub(crate) fn exchanged(&mut self, source: &'static str, leader: Option<&TraceHandle>) {
        let Some(Parent::Recorded(handle)) = self.0.as_ref().map(|spans| &spans.parent) else {
            return;
        };
        handle.note("statewise.exchange.source", source);
        if let Some(leader) = leader {
            handle.link(leader);
        }
    }

    /// The span of the request, as far as it is recorded.
    pub(crate) fn handle(&self) -> Option<TraceHandle> {
        match &self.0.as_ref()?.parent {
            Parent::Recorded(handle) => Some(handle.clone()),
            Parent::Unsampled { .. } => None,
        }
    }

    /// Notes the head of the answer; the spans end with its body.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        let Some(Spans {
            attempt: Some(attempt),
            server,
            ..
        }) = self.0.as_deref_mut()
        else {
            // Nothing is recorded.
            self.0 = None;
            return;
        };
        note_status(attempt, status.as_u16());
        // A refusal is an answer, and not for us (`docs/adr/0042`).
        if status.is_server_error() {
            attempt.fail(status.as_str().to_owned());
        }
        if let Some(server) = server {
            note_status(server, status.as_u16());
            if status.is_server_error() {
                server.fail(status.as_str().to_owned());
            }
            tracing::debug!(
                trace_id = server.trace_id(),
                status = status.as_u16(),
                "answered"
            );
        }
    }

    /// Notes that the answer broke off.
    pub(crate) fn answer_lost(&mut self) {
        if let Some(spans) = &mut self.0 {
            for span in [&mut spans.attempt, &mut spans.server]
                .into_iter()
                .flatten()
            {
                span.fail("upstream-lost");
            }
        }
    }

    /// Notes an answer of ours.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        if let Some(server) = self.0.as_mut().and_then(|spans| spans.server.as_mut()) {
            note_status(server, refusal.status());
            if refusal.status() >= 500 {
                server.fail(refusal.code());
            }
        }
    }
}

fn note_status(span: &mut Span, status: u16) {
    span.set("http.response.status_code", i64::from(status));
}
