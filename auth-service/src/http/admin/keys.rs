//! `GET /keys` and `POST /keys/rotate`: what an administrator sees and asks of the signing keys.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::server::trace_of;

use crate::{
    http::{error::Error, signed_in::SignedIn, state::State},
    keys::KeyStatus,
};

pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Error> {
    SignedIn::admin(&request, &state, trace_of(&request).as_ref()).await?;
    let keys = state.issuer.keys().statuses(state.issuer.now());
    let keys: Vec<Value> = keys.iter().map(shown).collect();
    Ok(answer(HttpResponse::Ok(), &json!({ "keys": keys })))
}

/// 202: the key is announced now and signs later; the answer says when.
pub(crate) async fn rotate(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Error> {
    let admin = SignedIn::admin(&request, &state, trace_of(&request).as_ref()).await?;
    let next = state.issuer.keys().rotate(state.issuer.now()).await?;
    tracing::info!(
        subject = %admin.user.id,
        kid = %next.kid,
        signs_from = next.signs_from.get(),
        "an administrator asked for the next signing key"
    );
    Ok(answer(HttpResponse::Accepted(), &shown(&next)))
}

fn shown(key: &KeyStatus) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.algorithm,
        "stage": key.stage.name(),
        "created_at": key.created_at.get(),
        "signs_from": key.signs_from.get(),
    })
}

fn answer(mut response: actix_web::HttpResponseBuilder, body: &Value) -> HttpResponse {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}
