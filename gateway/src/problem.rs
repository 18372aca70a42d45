//! What the gateway itself answers when it cannot pass an answer on. Fixed texts: what happened
//! inside goes to the log.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use shared::problem::{self, Problem};

/// Why a request has no answer of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The head is not one that can be passed on safely.
    BadRequest(&'static str),
    /// No prefix fits.
    NoRoute,
    /// `TRACE` that was to come as far as here.
    Untraced,
    /// `CONNECT`, which would make a tunnel of us.
    Tunnel,
    /// Another site had a browser send the session's cookie, to change something.
    CrossSite,
    /// The path is ours and takes `GET` only.
    ReadOnly,
    /// The client's body stood still.
    BodyTimeout,
    /// The client's body ended early.
    BodyLost,
    /// Memory is nearly used up.
    Overloaded,
    /// The pool has no members.
    NoUpstream,
    /// No upstream took the request: it may be sent again, whatever its method.
    Unreachable,
    /// The request was sent, and its answer was lost or is none.
    BadGateway,
    /// No answer in time.
    GatewayTimeout,
    /// What the session id is worth cannot be found out now.
    ExchangeUnavailable,
}

impl Refusal {
    /// `error.type` of the span.
    pub(crate) fn code(self) -> &'static str {
        self.problem().code
    }

    /// The status that the client sees.
    pub(crate) fn status(self) -> u16 {
        self.problem().status
    }

    fn problem(self) -> Problem {
        let (status, code, title) = match self {
            Self::BadRequest(detail) => return Problem::bad_request(detail),
            Self::NoRoute => return Problem::not_found(),
            Self::ReadOnly => return Problem::method_not_allowed("GET, HEAD"),
            Self::Untraced => {
                return Problem::method_not_allowed("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            }
            Self::CrossSite => (
                403,
                "cross-site",
                "A cookie changes nothing on behalf of another site",
            ),
            Self::Tunnel => (501, "not-implemented", "This gateway makes no tunnels"),
            Self::BodyTimeout => (408, "request-timeout", "The body did not come in time"),
            Self::BodyLost => (400, "request-incomplete", "The body ended early"),
            Self::Overloaded => (503, "overloaded", "The gateway is short of memory"),
            Self::NoUpstream => (503, "no-upstream", "No upstream is known"),
            Self::Unreachable => (503, "upstream-unreachable", "No upstream could be reached"),
            Self::BadGateway => (502, "upstream-failed", "The upstream gave no valid answer"),
            Self::GatewayTimeout => (
                504,
                "upstream-timeout",
                "The upstream did not answer in time",
            ),
            Self::ExchangeUnavailable => (
                503,
                "session-exchange-unavailable",
                "The session cannot be checked now",
            ),
        };
        if status == 503 {
            return Problem::unavailable(code, title);
        }
        Problem::new(status, code, title)
    }

    /// The answer. After some of them the connection ends: what follows on it cannot be trusted, or
    /// it takes room.
    pub(crate) fn response(self) -> Response<Bytes> {
        let mut response = respond(&self.problem());
        if matches!(
            self,
            Self::BadRequest(_)
                | Self::Tunnel
                | Self::BodyTimeout
                | Self::BodyLost
                | Self::Overloaded
        ) {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A problem as a response.
pub(crate) fn respond(problem: &Problem) -> Response<Bytes> {
    let mut response = document(problem::CONTENT_TYPE, problem.to_json());
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &problem.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

/// A response that says no more than that all is well: 204.
pub(crate) fn nothing() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A response that is at hand whole: 200 with this body.
pub(crate) fn document(content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
