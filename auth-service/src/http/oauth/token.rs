//! `POST /oauth/token`: a grant for a token, RFC 6749 §3.2. One file for each grant.

mod authorization_code;
mod client_credentials;
mod exchange;
mod refresh;

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::{HttpResponse, http::StatusCode, web};
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
            issued_token_type: None,
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
    if form.get("scope").is_some() {
        return Err(OAuthError::InvalidScope.into());
    }
    let answer = match grant {
        GrantType::AuthorizationCode => authorization_code::answer(&call, &caller, &form).await,
        GrantType::Refresh => refresh::answer(&call, &caller, &form).await,
        GrantType::ClientCredentials => client_credentials::answer(&call, caller),
        GrantType::Exchange => exchange::answer(&call, caller, &form).await,
    }?;
    call.metrics.token_issued(grant.name());
    Ok(answer::json(StatusCode::OK, &answer))
}
