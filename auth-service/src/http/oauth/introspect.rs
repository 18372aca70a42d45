//! `POST /oauth/introspect`: whether a token is active and what it says, RFC 7662.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::{server::trace_of, session::Session, telemetry::trace::TraceHandle};

use super::{
    client::Caller,
    form::{Form, Parameters},
    presented_token::{self, Active},
};
use crate::{
    clients::{CLIENT_ID, Right},
    http::{error::Error, state::State},
};

pub(crate) async fn introspect(
    request: HttpRequest,
    state: web::Data<State>,
    form: web::Form<Parameters>,
) -> Result<HttpResponse, Error> {
    let form = Form::read(&request, form.into_inner())?;
    Caller::of(&request, &form, &state.clients)?.with(Right::Introspect)?;
    let token = form.require("token", "token is missing")?;
    let trace = trace_of(&request);
    let active = find(&state, token, &form, trace.as_ref()).await?;
    state.metrics.introspected(active.is_some());
    let answer = match active {
        Some(active) => describe(&state, active),
        // RFC 7662 §2.2: nothing else, so that nobody learns why.
        None => json!({ "active": false }),
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(answer))
}

/// A refresh token is looked for only on demand (RFC 7662 §2.2 lets the answer depend on the
/// asker): a resource server that just looks at `active` must never take one for a credential.
async fn find(
    state: &State,
    token: &str,
    form: &Form,
    trace: Option<&TraceHandle>,
) -> Result<Option<Active>, Error> {
    if form.get("token_type_hint") == Some("refresh_token")
        && let Some(active) = presented_token::refresh(state, token, trace).await?
    {
        return Ok(Some(active));
    }
    presented_token::credential(state, token, trace).await
}

fn describe(state: &State, active: Active) -> Value {
    match active {
        Active::Session(Session { record, .. }) => json!({
            "active": true,
            "sub": record.subject,
            "username": record.username,
            "roles": record.roles,
            "sid": record.sid,
            "client_id": CLIENT_ID,
            "token_type": "Bearer",
            "iat": record.created_at,
            "exp": record.expires_at,
            "iss": state.issuer.name(),
            "aud": state.issuer.audience(),
        }),
        Active::Access(claims) => {
            let mut answer = json!({
                "active": true,
                "sub": claims.sub,
                "roles": claims.roles,
                "client_id": claims.client_id,
                "token_type": "Bearer",
                "iat": claims.iat,
                "exp": claims.exp,
                "iss": claims.iss,
                "aud": state.issuer.audience(),
                "jti": claims.jti,
            });
            let optional = [("sid", claims.sid), ("username", claims.preferred_username)];
            for (name, value) in optional {
                if let Some(value) = value {
                    answer[name] = value.into();
                }
            }
            answer
        }
        // For nobody but this service, and no type of access token.
        Active::Refresh(grant) => json!({
            "active": true,
            "sub": grant.user.id,
            "username": grant.user.username,
            "roles": grant.user.roles,
            "sid": grant.family,
            "client_id": grant.client_id,
            "iat": grant.issued_at.get(),
            "exp": grant.expires_at.get(),
            "iss": state.issuer.name(),
            "aud": state.issuer.name(),
        }),
    }
}
