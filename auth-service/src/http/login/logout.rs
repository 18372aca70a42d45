//! `POST /logout`: ends what the presented credential stands for, and says what it could not end.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::header, web};
use serde_json::json;
use shared::{server::trace_of, session::SessionId, telemetry::trace::TraceHandle};

use crate::http::{
    cookie, ending,
    error::Error,
    signed_in::{Presented, presented},
    state::State,
};

pub(crate) async fn logout(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    match presented(&request)? {
        Presented::Session(id) => end_session(&state, &id, trace.as_ref()).await,
        Presented::Token(token) => end_login(&state, &token, trace.as_ref()).await,
    }
}

async fn end_session(
    state: &State,
    id: &SessionId,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    // An error leaves the cookie: the session may go on, and the browser must be able to retry.
    let existed = ending::session(state, id, trace).await?.is_some();
    let mut response = if existed {
        HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "ended": "session" }))
    } else {
        Error::InvalidCredential.error_response()
    };
    // A name and value that were built from constants always fit into a header.
    let _ = response.add_cookie(&cookie::expire());
    Ok(response)
}

async fn end_login(
    state: &State,
    token: &str,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let claims = state.issuer.verify(token)?;
    if state.revocations.refuses(&claims, trace).await? {
        return Err(Error::InvalidCredential);
    }
    let login = claims.sid.ok_or(Error::InvalidCredential)?;
    let push = ending::login(state, &login, trace).await?;
    let valid_until = UNIX_EPOCH + Duration::from_secs(claims.exp);
    Ok(ending::answer(
        push,
        json!({
            "ended": "login",
            // Where nobody follows revocations.
            "access_token_valid_until": humantime::format_rfc3339_seconds(valid_until).to_string(),
        }),
    ))
}
