//! What the span of a request says of it.

use actix_web::{HttpRequest, http::header};

use crate::telemetry::trace::{Span, redacted};

/// The values of all lines of a request header.
pub(super) fn lines<'a>(
    request: &'a HttpRequest,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.headers().get_all(name);
    lines.map(header::HeaderValue::as_bytes)
}

/// What the semantic conventions for HTTP say of a request that a server received.
pub(super) fn describe_request(span: &mut Span, method: &'static str, request: &HttpRequest) {
    span.set("http.request.method", method);
    span.set("url.path", redacted(request.path()).into_owned());
    // Not of `Forwarded`, where a caller may write anything.
    span.set("url.scheme", "http");
    span.set(
        "network.protocol.version",
        protocol_version(request.version()),
    );
    let local = request.app_config().local_addr();
    span.set("server.address", local.ip().to_string());
    span.set("server.port", i64::from(local.port()));
    if let Some(peer) = request.peer_addr() {
        span.set("network.peer.address", peer.ip().to_string());
    }
    if let Some(agent) = request.headers().get(header::USER_AGENT)
        && let Ok(agent) = agent.to_str()
    {
        span.set("user_agent.original", redacted(agent).into_owned());
    }
}

fn protocol_version(version: actix_web::http::Version) -> &'static str {
    if version == actix_web::http::Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    }
}
