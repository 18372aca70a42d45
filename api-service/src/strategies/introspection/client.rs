//! One call: bounded in time and size, authenticated, and never sent elsewhere.

use std::time::Duration;

use opentelemetry::KeyValue;
use reqwest::{RequestBuilder, StatusCode, header, redirect};
use serde::Deserialize;
use shared::{
    config::Secret,
    telemetry::trace::{SpanKind, TRACEPARENT, TraceHandle},
};

use super::Introspection;
use crate::auth::Principal;

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
    id: String,
    secret: Secret<String>,
}

/// What an active answer says that we need; RFC 7662 §2.2.
#[derive(Debug, Deserialize)]
pub(super) struct Active {
    sub: String,
    username: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    sid: Option<String>,
    jti: Option<String>,
    iat: u64,
    exp: u64,
}

/// Why a call gave no answer. None says anything about the credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the authorization server did not answer in time")]
    Timeout,
    #[error("the authorization server was not reached")]
    Unreachable,
    #[error("the connection to the authorization server broke")]
    Broken,
    #[error("the authorization server refused our own credentials (API_CLIENT_ID)")]
    Unauthorized,
    #[error("the authorization server answered {0}")]
    Status(StatusCode),
    #[error("the answer is not one of RFC 7662")]
    Document,
}

impl CallError {
    /// `outcome` in the metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
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
            Self::Unreachable
        } else {
            Self::Broken
        }
    }
}

impl Client {
    pub(super) fn new(settings: &Introspection) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            timeout: settings.timeout,
            url: settings.url.clone(),
            id: settings.client_id.clone(),
            secret: settings.client_secret.clone(),
        })
    }

    /// Asks about a credential of the characters of base64url; `None` when it is not active.
    pub(super) async fn introspect(
        &self,
        credential: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Active>, CallError> {
        let mut span = trace.map(|trace| {
            let attributes = vec![
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new(
                    "server.address",
                    self.url.host_str().unwrap_or("").to_owned(),
                ),
            ];
            trace.child("POST introspect", SpanKind::Client, attributes)
        });
        let mut request = self
            .http
            .post(self.url.clone())
            // RFC 6749 §2.3.1. Ids and secrets of the form that the server takes need no
            // form-encoding before.
            .basic_auth(&self.id, Some(self.secret.expose()))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("token={credential}"));
        if let Some((parent, state)) = span.as_ref().and_then(|span| span.headers()) {
            request = request.header(TRACEPARENT, parent);
            if let Some(state) = state {
                request = request.header("tracestate", state);
            }
        }
        let outcome = tokio::time::timeout(self.timeout, answer_or_again(request))
            .await
            .unwrap_or(Err(CallError::Timeout));
        if let (Some(span), Err(error)) = (&mut span, &outcome) {
            span.fail(error.outcome());
        }
        outcome
    }
}

/// Asking changes nothing, so it may be done again when a connection breaks that stood: the server
/// may have closed it just then, as one does that is about to end.
async fn answer_or_again(request: RequestBuilder) -> Result<Option<Active>, CallError> {
    let again = request.try_clone();
    match (answer(request).await, again) {
        (Err(CallError::Broken), Some(again)) => answer(again).await,
        (outcome, _) => outcome,
    }
}

async fn answer(request: RequestBuilder) -> Result<Option<Active>, CallError> {
    let mut response = request.send().await?;
    match response.status() {
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
    read(&document)
}

/// `active` decides; only when it is true is anything else read.
fn read(document: &[u8]) -> Result<Option<Active>, CallError> {
    #[derive(Deserialize)]
    struct Verdict {
        active: bool,
    }
    let verdict: Verdict = serde_json::from_slice(document).map_err(|_| CallError::Document)?;
    if !verdict.active {
        return Ok(None);
    }
    let active: Active = serde_json::from_slice(document).map_err(|_| CallError::Document)?;
    if active.sub.is_empty() {
        return Err(CallError::Document);
    }
    Ok(Some(active))
}

impl From<Active> for Principal {
    fn from(active: Active) -> Self {
        Self {
            username: active.username.unwrap_or_else(|| active.sub.clone()),
            subject: active.sub,
            roles: active.roles,
            sid: active.sid.filter(|sid| !sid.is_empty()),
            issued_at: active.iat,
            generation: None,
            expires_at: active.exp,
            token_id: active.jti,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_says_so_is_active_and_only_one_that_says_so_is_inactive() {
        let active = br#"{"active":true,"sub":"u","iat":1,"exp":2,"unknown":[1]}"#;
        assert!(matches!(read(active), Ok(Some(_))));
        assert!(matches!(read(br#"{"active":false}"#), Ok(None)));
        for unusable in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"active":"true"}"#,
            r#"{"active":null}"#,
            r#"{"active":true}"#,
            r#"{"active":true,"sub":"","iat":1,"exp":2}"#,
            r#"{"active":true,"sub":"u","iat":1}"#,
            r#"{"active":true,"sub":"u","iat":1,"exp":2,"roles":"admin"}"#,
            r#"{"active":false,"active":true,"sub":"u","iat":1,"exp":2}"#,
        ] {
            assert!(
                matches!(read(unusable.as_bytes()), Err(CallError::Document)),
                "{unusable}"
            );
        }
    }
}
