//! One SERVER span a request and one CLIENT span an attempt, by the HTTP semantic conventions.
//! Nothing is built for a request that is not recorded.

use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use shared::telemetry::trace::{Span, SpanKind, TRACEPARENT, TRACESTATE, TraceHandle};

use super::body::{RequestBody, Spans};
use crate::{
    problems::Refusal,
    server::client::Client,
    upstream::{InFlight, Pool},
};

/// Begins the span of a routed request; `None` when trace headers are to be passed on unchanged.
/// Boxed, because a request that is not traced would carry the room for it from hand to hand.
pub(super) fn server(
    client: &Client,
    route: usize,
    method: &'static str,
    request: &Request<Incoming>,
) -> Option<Box<Span>> {
    let shared = &client.worker.shared;
    if !shared.tracing.is_on() {
        return None;
    }
    let headers = request.headers();
    let mut span = shared.tracing.server_span(method, |name| {
        if shared.trust_trace {
            headers.get(name)?.to_str().ok()
        } else {
            None
        }
    });
    if span.is_recording() {
        let label = &shared.route_labels[route];
        span.rename(format!("{method} {label}"));
        span.set("http.request.method", method);
        span.set("http.route", label.clone());
        span.set("url.scheme", "http");
        span.set("url.path", request.uri().path().to_owned());
        span.set("server.address", shared.listen.ip().to_string());
        span.set("server.port", i64::from(shared.listen.port()));
        span.set("client.address", client.ip.to_string());
        let version = if request.version() == http::Version::HTTP_10 {
            "1.0"
        } else {
            "1.1"
        };
        span.set("network.protocol.version", version);
        if let Some(Ok(agent)) = headers.get(header::USER_AGENT).map(HeaderValue::to_str) {
            span.set("user_agent.original", agent.to_owned());
        }
    } else {
        span.headers()?;
    }
    Some(Box::new(span))
}

/// What the span of an attempt is begun below.
pub(crate) trait Parent {
    /// Whether anything below it is exported.
    fn is_recording(&self) -> bool;
    /// Begins a CLIENT span.
    fn client(&self, name: String) -> Span;
    /// `traceparent` and `tracestate` to send on when nothing is recorded.
    fn headers(&self) -> Option<(String, Option<String>)>;
    /// Where children are begun once this is elsewhere.
    fn handle(&self) -> Option<TraceHandle>;
}

impl Parent for Span {
    fn is_recording(&self) -> bool {
        Span::is_recording(self)
    }

    fn client(&self, name: String) -> Span {
        self.child(name, SpanKind::Client, Vec::new)
    }

    fn headers(&self) -> Option<(String, Option<String>)> {
        Span::headers(self)
    }

    fn handle(&self) -> Option<TraceHandle> {
        Span::handle(self)
    }
}

/// The place in a trace of a span that may end before what is begun below it.
#[derive(Clone, Debug)]
pub(crate) struct Detached {
    handle: Option<TraceHandle>,
    headers: Option<(String, Option<String>)>,
}

impl Detached {
    /// The place of this one.
    pub(crate) fn of(parent: &dyn Parent) -> Self {
        Self {
            handle: parent.handle(),
            headers: parent.headers(),
        }
    }
}

impl Parent for Detached {
    fn is_recording(&self) -> bool {
        self.handle.is_some()
    }

    fn client(&self, name: String) -> Span {
        let handle = self.handle.as_ref();
        handle.map_or_else(Span::silent, |handle| {
            handle.child(name, SpanKind::Client, Vec::new())
        })
    }

    fn headers(&self) -> Option<(String, Option<String>)> {
        self.headers.clone()
    }

    fn handle(&self) -> Option<TraceHandle> {
        self.handle.clone()
    }
}

/// Begins the span of an attempt and puts its identity into the request.
pub(super) fn attempt(
    server: &dyn Parent,
    pool: &Pool,
    in_flight: &InFlight,
    request: &mut Request<RequestBody>,
    resends: usize,
) -> Box<Span> {
    let span = if server.is_recording() {
        let mut span = server.client(format!("{} {}", request.method(), pool.name));
        let address = in_flight.endpoint().address;
        span.set("http.request.method", request.method().to_string());
        span.set("server.address", address.ip().to_string());
        span.set("server.port", i64::from(address.port()));
        // Without the query: it is the client's and may hold anything.
        span.set(
            "url.full",
            format!("http://{address}{}", request.uri().path()),
        );
        if resends > 0 {
            let count = i64::try_from(resends).unwrap_or(i64::MAX);
            span.set("http.request.resend_count", count);
        }
        span
    } else {
        Span::silent()
    };
    // Not recorded but with an identity: the services behind must not sample a part of the trace.
    if let Some((parent, state)) = span.headers().or_else(|| server.headers()) {
        let headers = request.headers_mut();
        if let Ok(parent) = HeaderValue::try_from(parent) {
            headers.insert(HeaderName::from_static(TRACEPARENT), parent);
        }
        match state.map(HeaderValue::try_from) {
            Some(Ok(state)) => {
                headers.insert(HeaderName::from_static(TRACESTATE), state);
            }
            _ => {
                headers.remove(HeaderName::from_static(TRACESTATE));
            }
        }
    }
    Box::new(span)
}

/// Notes that an attempt brought no answer.
pub(super) fn failed(span: &mut Option<Box<Span>>, error_type: &'static str) {
    if let Some(span) = span {
        span.fail(error_type);
    }
}

/// Notes the answer; the spans end with its body.
pub(super) fn answered(
    mut server: Box<Span>,
    mut attempt: Box<Span>,
    status: StatusCode,
) -> Option<Box<Spans>> {
    if !server.is_recording() {
        return None;
    }
    let code = i64::from(status.as_u16());
    note_status(&mut attempt, status);
    server.set("http.response.status_code", code);
    if status.is_server_error() {
        server.fail(status.as_str().to_owned());
    }
    tracing::debug!(
        trace_id = server.trace_id(),
        status = status.as_u16(),
        "answered"
    );
    Some(Box::new(Spans { attempt, server }))
}

/// Notes an answer that goes no further.
pub(crate) fn received(attempt: &mut Option<Box<Span>>, status: StatusCode) {
    if let Some(attempt) = attempt {
        note_status(attempt, status);
    }
}

fn note_status(attempt: &mut Span, status: StatusCode) {
    attempt.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_client_error() || status.is_server_error() {
        attempt.fail(status.as_str().to_owned());
    }
}

/// Notes an answer of ours.
pub(super) fn refused(server: &mut Span, refusal: Refusal) {
    if server.is_recording() {
        let status = refusal.status();
        server.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            server.fail(refusal.code());
        }
    }
}
