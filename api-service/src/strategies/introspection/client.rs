//! One call: bounded in time and size, authenticated, and never sent elsewhere.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, header};
use shared::{
    config::Secret,
    credential::form_encoded,
    telemetry::trace::{Span, SpanKind, TRACEPARENT, TRACESTATE, TraceHandle, unsampled},
};
use tokio::time::Instant;

use super::{Introspection, reply::Reply};
use crate::strategies::http_client::{ClientError, causes, describe_call};

/// Shorter than servers keep a connection that nobody uses, so that it is not closed while we write.
const IDLE: Duration = Duration::from_secs(3);
/// Many times what an answer has.
const LIMIT_BYTES: usize = 64 * 1024;

/// Where the server is and how we authenticate there. Connections are kept for the next call.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    timeout: Duration,
    url: url::Url,
    /// Both form-encoded.
    id: String,
    secret: Secret<String>,
}

/// Why a call gave no answer. None says anything about the credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the authorization server did not answer in time")]
    Timeout,
    #[error("the authorization server was not reached: {0}")]
    Unreachable(String),
    #[error("the connection to the authorization server broke")]
    Broken,
    #[error(
        "the authorization server refused our own credentials (API_CLIENT_ID, API_CLIENT_SECRET)"
    )]
    Unauthorized,
    #[error("the authorization server answered {0}")]
    Status(StatusCode),
    #[error("the answer is not one of RFC 7662")]
    Document,
}

impl CallError {
    /// Whether the server is in trouble, so that it is better left alone. Whoever answers is not, and
    /// what it answers may depend on the credential, which a stranger chooses: no stranger may keep
    /// others from being answered.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable(_) | Self::Broken => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unauthorized | Self::Document => false,
        }
    }

    /// `outcome` in the metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Broken => "broken",
            Self::Unauthorized => "unauthorized",
            Self::Status(_) => "refused",
            Self::Document => "unusable",
        }
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Unreachable(causes(error))
        } else {
            Self::Broken
        }
    }
}

impl Client {
    pub(super) fn new(settings: &Introspection) -> Result<Self, ClientError> {
        let http = settings.authorities.client(&settings.url, |client| {
            client.timeout(settings.timeout).pool_idle_timeout(IDLE)
        })?;
        Ok(Self {
            http,
            timeout: settings.timeout,
            url: settings.url.clone(),
            id: form_encoded(&settings.client_id),
            secret: Secret::new(form_encoded(settings.client_secret.expose())),
        })
    }

    /// Asks about a credential. Asking changes nothing, so it is done again when a connection breaks
    /// that stood: the server may have closed it just then, as one does that is about to end.
    pub(super) async fn introspect(
        &self,
        credential: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Reply, CallError> {
        let deadline = Instant::now() + self.timeout;
        match self.call(credential, deadline, trace, 0).await {
            Err(CallError::Broken) => self.call(credential, deadline, trace, 1).await,
            outcome => outcome,
        }
    }

    async fn call(
        &self,
        credential: &str,
        deadline: Instant,
        trace: Option<&TraceHandle>,
        resends: i64,
    ) -> Result<Reply, CallError> {
        let mut span = self.span(trace, resends);
        // What is not traced here leaves no trace at the server either.
        let (parent, state) = span.headers().unwrap_or_else(|| (unsampled(), None));
        let mut request = self
            .http
            .post(self.url.clone())
            // RFC 6749 §2.3.1.
            .basic_auth(&self.id, Some(self.secret.expose()))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(TRACEPARENT, parent)
            .body(form(credential));
        if let Some(state) = state {
            request = request.header(TRACESTATE, state);
        }
        let outcome = tokio::time::timeout_at(deadline, answer(request, &mut span))
            .await
            .unwrap_or(Err(CallError::Timeout));
        match &outcome {
            // The status says it.
            Ok(_) | Err(CallError::Unauthorized | CallError::Status(_)) => {}
            Err(error) => span.fail(error.outcome()),
        }
        outcome
    }

    fn span(&self, trace: Option<&TraceHandle>, resends: i64) -> Span {
        let Some(trace) = trace else {
            return Span::silent();
        };
        let name = format!("POST {}", self.url.path());
        let mut span = trace.child(name, SpanKind::Client, Vec::new());
        describe_call(&mut span, "POST", &self.url);
        if resends > 0 {
            span.set("http.request.resend_count", resends);
        }
        span
    }
}

/// RFC 7662 §2.1. The hint is no guarantee: a server may look elsewhere too.
fn form(credential: &str) -> String {
    format!(
        "token={}&token_type_hint=access_token",
        form_encoded(credential)
    )
}

async fn answer(request: RequestBuilder, span: &mut Span) -> Result<Reply, CallError> {
    let mut response = request.send().await?;
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status != StatusCode::OK {
        span.fail(status.as_str().to_owned());
    }
    match status {
        StatusCode::OK => {}
        // Of this service and not of its caller.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(CallError::Unauthorized),
        status => return Err(CallError::Status(status)),
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if document.len() + chunk.len() > LIMIT_BYTES {
            return Err(CallError::Document);
        }
        document.extend_from_slice(&chunk);
    }
    Reply::read(&document).ok_or(CallError::Document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_in_trouble_is_left_alone() {
        let status = |code| CallError::Status(StatusCode::from_u16(code).unwrap());
        for outage in [
            CallError::Timeout,
            CallError::Broken,
            status(500),
            status(503),
            status(429),
        ] {
            assert!(outage.is_outage(), "{outage}");
        }
        for answered in [
            CallError::Unauthorized,
            CallError::Document,
            status(400),
            status(302),
        ] {
            assert!(!answered.is_outage(), "{answered}");
        }
    }

    #[test]
    fn a_token_with_characters_of_base64_arrives_as_it_was() {
        assert_eq!(
            form("a.b~c+d/e=="),
            "token=a.b%7Ec%2Bd%2Fe%3D%3D&token_type_hint=access_token"
        );
    }
}
