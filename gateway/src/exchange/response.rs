//! What a token endpoint's answer says, RFC 8693 §2.2.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use shared::credential::is_b64token;

/// The longest token that is passed on, in bytes; the API takes no longer head either.
const TOKEN_LIMIT_BYTES: usize = 16 * 1024;

/// How an exchange ended.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// The value of `Authorization` and for how long it is good.
    Token(HeaderValue, Duration),
    /// The session is unknown or has ended.
    Unknown,
    /// The gateway itself may not ask, or asks wrongly: a fault of the configuration.
    Refused,
    /// The endpoint cannot tell now, or says nothing that can be understood.
    Failed,
    /// It did not answer, or not in time.
    Unreachable,
}

impl Reply {
    /// All values of [`Reply::label`].
    pub(super) const LABELS: [&'static str; 5] =
        ["token", "unknown", "refused", "failed", "unreachable"];

    /// The value of the metric's label.
    pub(super) fn label(&self) -> &'static str {
        Self::LABELS[match self {
            Self::Token(..) => 0,
            Self::Unknown => 1,
            Self::Refused => 2,
            Self::Failed => 3,
            Self::Unreachable => 4,
        }]
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

/// Reads an answer.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Reply {
    if status == StatusCode::OK {
        return serde_json::from_slice(body)
            .ok()
            .and_then(granted)
            .unwrap_or(Reply::Failed);
    }
    if !status.is_client_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Reply::Failed;
    }
    // RFC 8693 §2.2.2: `invalid_request` is what a subject token is answered with that is not
    // accepted. Every other error is about us.
    match serde_json::from_slice::<Denied>(body) {
        Ok(denied) if status == StatusCode::BAD_REQUEST && denied.error == "invalid_request" => {
            Reply::Unknown
        }
        _ => {
            // The status only: what an endpoint writes may repeat what it was sent.
            tracing::warn!(
                status = status.as_u16(),
                "the token endpoint refuses the gateway; see GATEWAY_CLIENT_ID and AUTH_CLIENTS"
            );
            Reply::Refused
        }
    }
}

fn granted(granted: Granted) -> Option<Reply> {
    let Granted {
        access_token,
        token_type,
        expires_in,
    } = granted;
    let fits = token_type.eq_ignore_ascii_case("bearer")
        && access_token.len() <= TOKEN_LIMIT_BYTES
        && is_b64token(&access_token);
    if !fits {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {access_token}")).ok()?;
    value.set_sensitive(true);
    Some(Reply::Token(value, Duration::from_secs(expires_in)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Reply {
        super::read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_token_becomes_a_header_that_does_not_show_in_debug_output() {
        let body = r#"{"access_token":"a.b-_c","issued_token_type":"x","token_type":"bearer","expires_in":10}"#;
        let Reply::Token(value, lives) = read(200, body) else {
            panic!("a token was given");
        };
        assert_eq!(value, "Bearer a.b-_c");
        assert_eq!(lives, Duration::from_secs(10));
        assert!(!format!("{value:?}").contains("a.b"));
    }

    #[test]
    fn only_a_plain_invalid_request_says_that_the_session_is_unknown() {
        assert_eq!(
            read(
                400,
                r#"{"error":"invalid_request","error_description":"x"}"#
            ),
            Reply::Unknown
        );
        for (status, body) in [
            (400, r#"{"error":"invalid_client"}"#),
            (400, r#"{"error":"unauthorized_client"}"#),
            (400, "invalid_request"),
            (401, r#"{"error":"invalid_client"}"#),
            (401, r#"{"error":"invalid_request"}"#),
            (403, ""),
            (404, ""),
        ] {
            assert_eq!(read(status, body), Reply::Refused, "{status} {body}");
        }
        for status in [204, 302, 429, 500, 502, 503] {
            let body = r#"{"error":"invalid_request"}"#;
            assert_eq!(read(status, body), Reply::Failed, "{status}");
        }
    }

    #[test]
    fn a_grant_that_is_not_a_bearer_token_is_none() {
        for body in [
            r#"{"access_token":"a","token_type":"DPoP","expires_in":10}"#,
            r#"{"access_token":"","token_type":"Bearer","expires_in":10}"#,
            r#"{"access_token":"a b","token_type":"Bearer","expires_in":10}"#,
            r#"{"access_token":"a=b","token_type":"Bearer","expires_in":10}"#,
            r#"{"access_token":"a\r\nx: y","token_type":"Bearer","expires_in":10}"#,
            r#"{"access_token":"a","token_type":"Bearer"}"#,
            r#"{"access_token":"a","token_type":"Bearer","expires_in":-1}"#,
            "",
        ] {
            assert_eq!(read(200, body), Reply::Failed, "{body}");
        }
    }
}
