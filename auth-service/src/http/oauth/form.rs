//! Parameters of the endpoints of OAuth: a form in the body (RFC 6749 appendix B), never a query.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    error::{InternalError, UrlencodedError},
    web,
};
use shared::{
    problem::Problem,
    server::{JSON_LIMIT_BYTES, is_late},
};
use utoipa::{IntoResponses, ToSchema};

use crate::http::error::{Error, OAuthError, OAuthRefusal};

/// What RFC 8693 §2.1 allows more than once.
const REPEATABLE: [&str; 2] = ["audience", "resource"];
/// Parameters that are credentials, or come with one: in a query they would be in logs.
const CREDENTIALS: [&str; 8] = [
    "client_secret",
    "client_assertion",
    "refresh_token",
    "access_token",
    "subject_token",
    "actor_token",
    "token",
    "code",
];

/// What an endpoint that reads a form may answer besides its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described and never made")]
pub(crate) enum FormRefusals {
    /// RFC 6749 §5.2
    #[response(status = 400)]
    Refused(OAuthRefusal),
    /// The client did not authenticate
    #[response(status = 401)]
    InvalidClient(OAuthRefusal),
    /// The body is too large
    #[response(status = 413)]
    TooLarge,
    /// Something needed to answer did not answer
    #[response(status = 503)]
    Unavailable,
}

/// A token that is asked about or given back. A client may send `client_id` and `client_secret` here
/// in place of HTTP Basic, and not beside it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, and read as a form")]
pub(crate) struct PresentedToken {
    #[schema(min_length = 1)]
    token: String,
    #[schema(nullable = false)]
    token_type_hint: Option<String>,
    /// Unknown ones are ignored; none may be repeated.
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

/// The body as it was sent.
pub(super) type Parameters = Vec<(String, String)>;

/// Parameters that were checked as a whole. It holds credentials, so there is no `Debug`.
pub(super) struct Form(Parameters);

impl Form {
    /// RFC 6749 §3.1 and §3.2: parameters without a value count as absent, no parameter may be
    /// repeated. Unknown ones are ignored.
    pub(super) fn read(request: &HttpRequest, parameters: Parameters) -> Result<Self, OAuthError> {
        refuse_credentials_in_query(request.query_string())?;
        Self::check(parameters)
    }

    fn check(mut parameters: Parameters) -> Result<Self, OAuthError> {
        parameters.retain(|(_, value)| !value.is_empty());
        let mut names: Vec<&str> = parameters
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !REPEATABLE.contains(name))
            .collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(OAuthError::InvalidRequest("a parameter is repeated"));
        }
        Ok(Self(parameters))
    }

    /// A parameter that may be absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A parameter that must be there; `missing` says that it is not.
    pub(super) fn require(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::InvalidRequest(missing))
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// RFC 6749 §2.3.1: credentials must not be in the request's URI.
fn refuse_credentials_in_query(query: &str) -> Result<(), OAuthError> {
    let named = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| CREDENTIALS.contains(&name.as_ref()));
    if named {
        return Err(OAuthError::InvalidRequest(
            "send parameters in the body: a query ends in logs",
        ));
    }
    Ok(())
}

/// Bodies that cannot be read are answered in the form of the token endpoint.
pub(crate) fn form_config() -> web::FormConfig {
    web::FormConfig::default()
        .limit(JSON_LIMIT_BYTES)
        .error_handler(|error, _| {
            let response = match &error {
                UrlencodedError::Overflow { .. } => {
                    Problem::too_large(JSON_LIMIT_BYTES).error_response()
                }
                UrlencodedError::Payload(error) if is_late(error) => {
                    Problem::request_timeout().error_response()
                }
                UrlencodedError::ContentType => {
                    invalid("send parameters as application/x-www-form-urlencoded")
                }
                _ => invalid("the body could not be read"),
            };
            InternalError::from_response(error, response).into()
        })
}

fn invalid(reason: &'static str) -> HttpResponse {
    Error::from(OAuthError::InvalidRequest(reason)).error_response()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::http::oauth) fn form(pairs: &[(&str, &str)]) -> Result<Form, OAuthError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Form::check(pairs.iter().map(own).collect())
    }

    /// RFC 6749 §3.2.
    #[test]
    fn a_parameter_without_a_value_counts_as_absent_and_a_repeated_one_is_refused() {
        let read = form(&[("token", ""), ("token", "a"), ("other", "")]).ok();
        let read = read.expect("one value of each");
        assert_eq!(read.get("token"), Some("a"));
        assert_eq!(read.get("other"), None);
        for name in ["token", "unknown"] {
            assert!(form(&[(name, "a"), (name, "a")]).is_err(), "{name}");
        }
    }

    /// RFC 8693 §2.1.
    #[test]
    fn audience_and_resource_may_be_given_more_than_once() {
        let read = form(&[("audience", "a"), ("audience", "b"), ("resource", "c")]).ok();
        let read = read.expect("both may be repeated");
        assert_eq!(read.all("audience").collect::<Vec<_>>(), ["a", "b"]);
    }

    /// RFC 6749 §2.3.1.
    #[test]
    fn a_query_with_a_credential_is_refused_and_another_is_ignored() {
        for name in CREDENTIALS {
            assert!(refuse_credentials_in_query(&format!("a=b&{name}=c")).is_err());
        }
        assert!(refuse_credentials_in_query("tenant=1").is_ok());
    }
}
