//! The one error body: Problem Details for HTTP APIs, RFC 9457.

use serde::Serialize;

/// Media type of the body, RFC 9457 §3.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What the `type` URI of every problem begins with; the rest is its code.
pub const TYPE_PREFIX: &str = "urn:problem-type:statewise:";

/// The code of `/readyz` while a process that was told to end still answers as before.
pub const ENDING: &str = "ending";

/// An error as a caller sees it.
///
/// The text says what to do and nothing about our insides: details of a 5xx go to the log.
/// The fields are plain numbers and text because the gateway and the services use different
/// versions of the `http` crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status, repeated in the body.
    pub status: u16,
    /// Stable, machine-readable, in kebab case; the last part of the `type` URI.
    pub code: &'static str,
    /// The same for every occurrence of the code.
    pub title: &'static str,
    /// What is particular to this occurrence and safe to show.
    pub detail: Option<String>,
    /// Response headers that belong to the error, such as `Retry-After`.
    pub headers: Vec<(&'static str, String)>,
}

/// The members of the body.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Stable and machine-readable: `urn:problem-type:statewise:` and a code.
    r#type: String,
    /// The same for every occurrence of the type.
    title: &'a str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is particular to this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Problem {
    /// A problem without detail or headers.
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
            detail: None,
            headers: Vec::new(),
        }
    }

    /// Adds what is particular to this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a response header. Header values must be visible ASCII; others are dropped when sent.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 400: the request is not understood.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "bad-request", "The request is not understood").detail(detail)
    }

    /// 404: no such route.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(404, "not-found", "There is nothing at this path")
    }

    /// 405: the route exists and takes other methods, which `allow` lists (RFC 9110 §15.5.6).
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(405, "method-not-allowed", "This path takes other methods").header("allow", allow)
    }

    /// 408: the body took too long to come.
    #[must_use]
    pub fn request_timeout() -> Self {
        Self::new(408, "request-timeout", "The body did not come in time")
    }

    /// 413: the body is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "content-too-large", "The body is too large")
            .detail(format!("At most {limit} bytes are read."))
    }

    /// 415: the body is of another media type than the one `wanted`.
    #[must_use]
    pub fn unsupported_media_type(wanted: &str) -> Self {
        Self::new(
            415,
            "unsupported-media-type",
            "The body is of the wrong media type",
        )
        .detail(format!("Send it as {wanted}."))
    }

    /// 503: something that this answer needs did not answer. Never the caller's fault, so the
    /// caller's credential stays as it is and may be presented again.
    #[must_use]
    pub fn unavailable(code: &'static str, title: &'static str) -> Self {
        Self::new(503, code, title).header("retry-after", "1")
    }

    /// 503 of `/readyz`: what is `missing` to answer, each as `name: reason`.
    #[must_use]
    pub fn not_ready(missing: &[String]) -> Self {
        Self::unavailable("not-ready", "Something needed to answer is missing")
            .detail(missing.join("; "))
    }

    /// 503 of `/readyz`: the process was told to end, and nothing that it needs is missing. It
    /// answers until the grace of its drain is over, to whoever has not heard of it yet; `told`
    /// says so, and of what there is less.
    #[must_use]
    pub fn ending(told: &[String]) -> Self {
        Self::unavailable(ENDING, "It was told to end, and answers until then")
            .detail(told.join("; "))
    }

    /// 500: a fault of ours.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "internal", "The service failed to answer")
    }

    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&ProblemBody {
            r#type: format!("{TYPE_PREFIX}{}", self.code),
            title: self.title,
            status: self.status,
            detail: self.detail.as_deref(),
        })
        .unwrap_or_default()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.title)
    }
}

impl std::error::Error for Problem {}

#[cfg(feature = "web")]
impl actix_web::ResponseError for Problem {
    fn status_code(&self) -> actix_web::http::StatusCode {
        actix_web::http::StatusCode::from_u16(self.status)
            .unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> actix_web::HttpResponse {
        let mut response = actix_web::HttpResponse::build(self.status_code());
        response.content_type(CONTENT_TYPE);
        for (name, value) in &self.headers {
            response.append_header((*name, value.as_str()));
        }
        response.body(self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_repeats_the_status_and_names_a_stable_type() {
        let problem = Problem::unavailable("session-store-unavailable", "Sessions cannot be read");
        let body: serde_json::Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(body["status"], 503);
        assert_eq!(
            body["type"],
            "urn:problem-type:statewise:session-store-unavailable"
        );
        assert!(body.get("detail").is_none());
        assert_eq!(problem.headers, [("retry-after", "1".to_owned())]);
    }
}
