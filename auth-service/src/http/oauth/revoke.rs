//! `POST /oauth/revoke`: a client gives a token back, RFC 7009.

use actix_web::{HttpResponse, http::header, web};
use shared::{config::Secret, session::SessionId};

use super::{
    client::Caller,
    form::{Form, FormRefusals, Parameters, PresentedToken},
};
use crate::{
    clients::CLIENT_ID,
    http::{
        call::Call,
        ending,
        error::{Error, OAuthError},
    },
    issuer::VerifyError,
    revocations::Push,
};

/// Gives a token back, RFC 7009.
#[utoipa::path(
    post,
    path = "/oauth/revoke",
    security((), ("client" = [])),
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        FormRefusals,
        (status = 200, description = "It is good for nothing, whatever it was"),
        (status = 202, description = "It is in the database, and published when Redis can be reached"),
    )
)]
pub(crate) async fn revoke(call: Call, form: web::Form<Parameters>) -> Result<HttpResponse, Error> {
    let form = Form::read(&call.request, form.into_inner())?;
    let caller = Caller::of(&call.request, &form, &call.clients)?;
    let token = form.require("token", "token is missing")?;
    // The hint is not needed: the form of a token tells what it can be, and all are tried.
    let push = match SessionId::parse(token) {
        Some(id) => revoke_opaque(&call, &caller, &id).await?,
        None => revoke_signed(&call, &caller, token).await?,
    };
    // 200 of any token, whatever it was (RFC 7009 §2.2), but not of one that replicas have not heard of
    // yet. When nothing is sure the answer is 503: the client must assume that the token lives (§2.2.1).
    Ok(HttpResponse::build(ending::status(push))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// A refresh token, spent or not, ends its login (RFC 7009 §2.1); a session id ends its session.
async fn revoke_opaque(call: &Call, caller: &Caller, id: &SessionId) -> Result<Push, Error> {
    let refresh_token = Secret::new(id.expose().to_owned());
    if let Some((login, client_id)) = call
        .refresh_tokens
        .family_of(&refresh_token, call.at())
        .await?
    {
        own(caller, &client_id)?;
        // RFC 7009 §2.1: the access tokens of the same grant go with it.
        return ending::login(call, &login).await;
    }
    if caller.id() == CLIENT_ID {
        ending::session(call, id).await?;
        return Ok(Push::Published);
    }
    // Sessions belong to the client of `POST /login`, so another one ends none and gets a refusal.
    let session = call
        .sessions
        .read(id, call.now().get(), call.trace())
        .await?;
    match session {
        Some(_) => Err(OAuthError::InvalidGrant.into()),
        None => Ok(Push::Published),
    }
}

async fn revoke_signed(call: &Call, caller: &Caller, token: &str) -> Result<Push, Error> {
    let claims = match call.issuer.verify(token) {
        Ok(claims) => claims,
        Err(VerifyError::Refused(_)) => return Ok(Push::Published),
        Err(error) => return Err(error.into()),
    };
    own(caller, &claims.client_id)?;
    ending::token(call, &claims).await
}

/// RFC 7009 §2.1: a client revokes tokens that were issued to it.
fn own(caller: &Caller, client_id: &str) -> Result<(), OAuthError> {
    if caller.id() == client_id {
        Ok(())
    } else {
        Err(OAuthError::InvalidGrant)
    }
}
