//! The endpoints of OAuth against the standards: each test names the section it holds us to.

mod clients;
pub(crate) mod code;
mod exchange;
mod introspect;
mod revoke;
mod scope;
mod token;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::service::{Backend, Builder, Service, answered, header};

/// Secret of every client here.
pub(crate) const SECRET: &str = "a-secret-of-a-test-with-43-characters-______";
/// May ask about tokens.
pub(crate) const API: &str = "api";
/// May exchange.
pub(crate) const EDGE: &str = "edge";
/// May get a token for itself and ask about tokens.
pub(crate) const WORKER: &str = "worker";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// A service with three clients.
pub(crate) fn with_clients(backend: Backend) -> Builder {
    Builder::new(backend).option(&format!(
        "--clients={API}:{SECRET}:introspect,{EDGE}:{SECRET}:exchange,\
         {WORKER}:{SECRET}:token+introspect"
    ))
}

impl Service {
    /// A form to an endpoint of OAuth, without authentication.
    pub(crate) fn oauth(&self, endpoint: &str, pairs: &[(&str, &str)]) -> RequestBuilder {
        let path = format!("/oauth/{endpoint}");
        with_form(self.request("POST", &path), pairs)
    }

    /// A form to an endpoint of OAuth from a client.
    pub(crate) async fn oauth_as(
        &self,
        client: &str,
        endpoint: &str,
        pairs: &[(&str, &str)],
    ) -> Response {
        let request = self.oauth(endpoint, pairs);
        answered(request.basic_auth(client, Some(SECRET))).await
    }

    /// What a resource server learns about a token.
    pub(crate) async fn introspected(&self, token: &str) -> Value {
        let response = self.oauth_as(API, "introspect", &[("token", token)]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "cache-control"), "no-store");
        response.json().await.unwrap()
    }

    /// Exchanges a credential.
    pub(crate) async fn exchange(&self, token: &str) -> Response {
        let pairs = [
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", ACCESS_TOKEN),
            ("audience", "statewise-api"),
        ];
        self.oauth_as(EDGE, "token", &pairs).await
    }
}

/// Gives a request a form as its body.
pub(crate) fn with_form(request: RequestBuilder, pairs: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

/// Checks a refusal: status, registered error code, JSON, never kept by a cache.
pub(crate) async fn refused(response: Response, status: u16, code: &str) {
    assert_eq!(response.status(), status, "{code}");
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "cache-control"), "no-store");
    // RFC 6749 §5.2, RFC 9110 §15.5.2.
    let challenge = header(&response, "www-authenticate").to_owned();
    assert_eq!(challenge.starts_with("Basic"), status == 401, "{challenge}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"], code);
}

/// A text member of an answer.
pub(crate) fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is missing"))
}
