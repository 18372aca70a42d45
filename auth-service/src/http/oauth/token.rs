//! `POST /oauth/token`: a grant for a token, RFC 6749 §3.2. One file for each grant.

mod authorization_code;
mod client_credentials;
mod exchange;
mod refresh;

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Serialize;
use shared::config::Secret;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    client::Caller,
    form::{Form, FormRefusals, Parameters},
};
use crate::{
    http::{
        answer,
        call::Call,
        error::{Error, OAuthError},
    },
    issuer::AccessToken,
    scope::Scope,
};

/// Parameters of a grant; which are needed depends on it. A client may send `client_id` and
/// `client_secret` here in place of HTTP Basic, and not beside it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, and read as a form")]
struct TokenRequest {
    grant_type: GrantType,
    /// For `authorization_code`.
    #[schema(nullable = false)]
    code: Option<String>,
    /// For `authorization_code`: as the authorization endpoint got it.
    #[schema(nullable = false)]
    redirect_uri: Option<String>,
    /// For `authorization_code`: 43 to 128 characters of RFC 7636 §4.1.
    #[schema(nullable = false)]
    code_verifier: Option<String>,
    /// For `refresh_token`.
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    /// For the exchange: a session id or an access token.
    #[schema(nullable = false)]
    subject_token: Option<String>,
    /// For the exchange: `urn:ietf:params:oauth:token-type:access_token`.
    #[schema(nullable = false)]
    subject_token_type: Option<String>,
    /// For the exchange.
    #[schema(nullable = false)]
    audience: Option<String>,
    /// What to give the token of the user: api, profile, roles; others are ignored. Not for
    /// `authorization_code`, whose scope was asked for before.
    #[schema(nullable = false)]
    scope: Option<String>,
    /// RFC 8707: the audience of the tokens, or for the exchange one that it gives tokens for.
    #[schema(nullable = false)]
    resource: Option<String>,
    /// Unknown ones are ignored; none may be repeated.
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

/// What a token is given for. There is no grant for a password (RFC 9700 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrantType {
    AuthorizationCode,
    Refresh,
    ClientCredentials,
    Exchange,
}

impl GrantType {
    /// Every grant that works, for the metadata.
    pub(super) const ALL: [Self; 4] = [
        Self::AuthorizationCode,
        Self::Refresh,
        Self::ClientCredentials,
        Self::Exchange,
    ];

    /// The registered name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::Refresh => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Exchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.name() == name)
    }
}

impl ToSchema for GrantType {
    fn name() -> Cow<'static, str> {
        "Grant".into()
    }
}

impl PartialSchema for GrantType {
    fn schema() -> RefOr<Schema> {
        let grant = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.map(Self::name)));
        grant.into()
    }
}

/// RFC 6749 §5.1, RFC 8693 §2.2.1.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    /// RFC 9068.
    access_token: String,
    token_type: TokenType,
    /// Seconds.
    #[schema(minimum = 0)]
    expires_in: u64,
    /// Only for a login and its renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    /// What was granted, RFC 6749 §5.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<&'static str>,
    /// Only for an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    issued_token_type: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
enum TokenType {
    Bearer,
}

impl TokenAnswer {
    /// The answer with this access token.
    fn new(token: &AccessToken) -> Self {
        Self {
            access_token: token.text.expose().clone(),
            token_type: TokenType::Bearer,
            expires_in: token.expires_in,
            refresh_token: None,
            scope: None,
            issued_token_type: None,
        }
    }

    /// The answer that tells what was granted.
    fn granting(self, scope: Option<Scope>) -> Self {
        Self {
            scope: Some(scope.unwrap_or(Scope::ALL).text()),
            ..self
        }
    }

    /// The answer to a login or a renewal.
    pub(crate) fn renewable(token: &AccessToken, refresh_token: &Secret<String>) -> Self {
        Self {
            refresh_token: Some(refresh_token.expose().clone()),
            ..Self::new(token)
        }
    }
}

/// A grant for a token, RFC 6749 §3.2.
#[utoipa::path(
    post,
    path = "/oauth/token",
    security((), ("client" = [])),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(FormRefusals, (status = 200, description = "The token", body = TokenAnswer))
)]
pub(crate) async fn token(call: Call, form: web::Form<Parameters>) -> Result<HttpResponse, Error> {
    let form = Form::read(&call.request, form.into_inner())?;
    let name = form.require("grant_type", "grant_type is missing")?;
    let grant = GrantType::parse(name).ok_or(OAuthError::UnsupportedGrantType)?;
    let caller = Caller::of(&call.request, &form, &call.clients)?;
    refuse_proofs(&call.request)?;
    let scope = form.get("scope").map(Scope::granted).transpose();
    let scope = scope.map_err(|_| OAuthError::InvalidScope)?;
    if grant != GrantType::Exchange {
        refuse_other_resources(&form, call.issuer.audience())?;
    }
    let answer = match grant {
        GrantType::AuthorizationCode => authorization_code::answer(&call, &caller, &form).await,
        GrantType::Refresh => refresh::answer(&call, &caller, &form, scope).await,
        GrantType::ClientCredentials => client_credentials::answer(&call, caller, scope),
        GrantType::Exchange => exchange::answer(&call, caller, &form, scope).await,
    }?;
    call.metrics.token_issued(grant.name());
    Ok(answer::json(StatusCode::OK, &answer))
}

/// Tokens are not bound to keys here. A client that proves one would get a token which anybody can
/// use who sees it, and must learn so (RFC 9449 §5).
fn refuse_proofs(request: &HttpRequest) -> Result<(), OAuthError> {
    if request.headers().contains_key("dpop") {
        return Err(OAuthError::InvalidRequest(
            "tokens are not bound to a key here: leave the DPoP proof out",
        ));
    }
    Ok(())
}

/// RFC 8707 §2: a token for another resource than the one that is asked for is no answer.
fn refuse_other_resources(form: &Form, audience: &str) -> Result<(), OAuthError> {
    if form.all("resource").all(|resource| resource == audience) {
        Ok(())
    } else {
        Err(OAuthError::InvalidTarget)
    }
}
