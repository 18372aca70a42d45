//! `POST /oauth/introspect`: whether a token is active and what it says, RFC 7662.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Serialize;
use shared::session::Session;
use utoipa::ToSchema;

use super::{
    client::Caller,
    form::{Form, FormRefusals, Parameters, PresentedToken},
    presented_token::{self, Active},
};
use crate::{
    clients::{CLIENT_ID, Right},
    http::{answer, call::Call, error::Error},
};

/// RFC 7662 §2.2; an inactive token has `active` alone.
#[derive(Default, Serialize, ToSchema)]
struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    /// The login's public id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jti: Option<String>,
}

/// Whether a token is active, RFC 7662.
#[utoipa::path(
    post,
    path = "/oauth/introspect",
    security(("client" = [])),
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        FormRefusals,
        (status = 200, description = "Whether it is, and what it says", body = Introspection),
    )
)]
pub(crate) async fn introspect(
    call: Call,
    form: web::Form<Parameters>,
) -> Result<HttpResponse, Error> {
    let form = Form::read(&call.request, form.into_inner())?;
    Caller::of(&call.request, &form, &call.clients)?.with(Right::Introspect)?;
    let token = form.require("token", "token is missing")?;
    let active = find(&call, token, &form).await?;
    call.metrics.introspected(active.is_some());
    // RFC 7662 §2.2: of an inactive token nothing else, so that nobody learns why.
    let answer = active.map_or_else(Introspection::default, |active| describe(&call, active));
    Ok(answer::json(StatusCode::OK, &answer))
}

/// A refresh token is looked for only on demand (RFC 7662 §2.2 lets the answer depend on the
/// asker): a resource server that just looks at `active` must never take one for a credential.
async fn find(call: &Call, token: &str, form: &Form) -> Result<Option<Active>, Error> {
    if form.get("token_type_hint") == Some("refresh_token")
        && let Some(active) = presented_token::refresh(call, token).await?
    {
        return Ok(Some(active));
    }
    presented_token::credential(call, token).await
}

fn describe(call: &Call, active: Active) -> Introspection {
    let issuer = call.issuer.name().to_owned();
    let audience = call.issuer.audience().to_owned();
    match active {
        Active::Session(Session { record, .. }) => Introspection {
            active: true,
            sub: Some(record.subject),
            username: Some(record.username),
            roles: Some(record.roles),
            scope: None,
            sid: Some(record.sid),
            client_id: Some(CLIENT_ID.to_owned()),
            token_type: Some("Bearer"),
            iat: Some(record.created_at),
            exp: Some(record.expires_at),
            iss: Some(issuer),
            aud: Some(audience),
            jti: None,
        },
        Active::Access(claims) => Introspection {
            active: true,
            sub: Some(claims.sub),
            username: claims.preferred_username,
            roles: Some(claims.roles),
            scope: claims.scope,
            sid: claims.sid,
            client_id: Some(claims.client_id),
            token_type: Some("Bearer"),
            iat: Some(claims.iat),
            exp: Some(claims.exp),
            iss: Some(claims.iss),
            aud: Some(audience),
            jti: Some(claims.jti),
        },
        // Its audience is this service alone, and it is no access token, so it has no type.
        Active::Refresh(grant) => Introspection {
            active: true,
            sub: Some(grant.user.id),
            username: Some(grant.user.username),
            roles: Some(grant.user.roles),
            scope: grant.scope.map(|scope| scope.text().to_owned()),
            sid: Some(grant.family),
            client_id: Some(grant.client_id),
            iat: Some(grant.issued_at.get()),
            exp: Some(grant.expires_at.get()),
            iss: Some(issuer.clone()),
            aud: Some(issuer),
            ..Introspection::default()
        },
    }
}
