//! `POST /oauth/token`: a grant for a token, RFC 6749 §3.2. One file for each grant.

mod authorization_code;
mod client_credentials;
mod exchange;
mod refresh;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::{config::Secret, server::trace_of};

use super::{
    client::Caller,
    form::{Form, Parameters},
};
use crate::{
    http::{
        error::{Error, OAuthError},
        state::State,
    },
    issuer::AccessToken,
};

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

pub(crate) async fn token(
    request: HttpRequest,
    state: web::Data<State>,
    form: web::Form<Parameters>,
) -> Result<HttpResponse, Error> {
    let form = Form::read(&request, form.into_inner())?;
    let name = form.require("grant_type", "grant_type is missing")?;
    let grant = GrantType::parse(name).ok_or(OAuthError::UnsupportedGrantType)?;
    let caller = Caller::of(&request, &form, &state.clients)?;
    if form.get("scope").is_some() {
        return Err(OAuthError::InvalidScope.into());
    }
    let trace = trace_of(&request);
    let answer = match grant {
        GrantType::AuthorizationCode => {
            authorization_code::answer(&state, &caller, &form, trace.as_ref()).await
        }
        GrantType::Refresh => refresh::answer(&state, &caller, &form, trace.as_ref()).await,
        GrantType::ClientCredentials => client_credentials::answer(&state, caller),
        GrantType::Exchange => exchange::answer(&state, caller, &form, trace.as_ref()).await,
    }?;
    state.metrics.token_issued(grant.name());
    Ok(answer)
}

/// The successful answer of RFC 6749 §5.1 to a login or a renewal.
pub(crate) fn login_response(token: &AccessToken, refresh_token: &Secret<String>) -> HttpResponse {
    respond(token, &[("refresh_token", refresh_token.expose())])
}

fn respond(token: &AccessToken, more: &[(&str, &str)]) -> HttpResponse {
    let mut body = json!({
        "access_token": token.text.expose(),
        "token_type": "Bearer",
        "expires_in": token.expires_in,
    });
    for (name, value) in more {
        body[*name] = Value::from(*value);
    }
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}
