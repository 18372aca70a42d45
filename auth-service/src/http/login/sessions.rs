//! `GET /sessions`, `DELETE /sessions` and `DELETE /sessions/{id}`: what a user sees and ends of
//! their own logins, those for tokens and those for sessions.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::{
    server::trace_of,
    session::{Session, SessionRecord},
};

use crate::{
    clients::CLIENT_ID,
    http::{cookie, ending, error::Error, signed_in::SignedIn, state::State},
    refresh::Listed,
    revocations::Push,
};

pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    let caller = SignedIn::of(&request, &state, trace.as_ref()).await?;
    let now = state.issuer.now();
    let user = &caller.user.id;
    let logins = state.refresh_tokens.list(user, now, trace.as_ref()).await?;
    let sessions = state.sessions.list(user, now.get(), trace.as_ref()).await?;
    let mut shown: Vec<Value> = logins
        .iter()
        .map(|login| token_login(login, &caller))
        .chain(
            sessions
                .iter()
                .map(|session| session_login(session, &caller)),
        )
        .collect();
    shown.sort_by_key(|login| std::cmp::Reverse(login["created_at"].as_u64()));
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "sessions": shown })))
}

/// Ends one login of the caller. Another's is as unknown as none.
pub(crate) async fn end(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    let trace = trace.as_ref();
    let caller = SignedIn::of(&request, &state, trace).await?;
    // No login has such an id, and PostgreSQL takes no NUL.
    if id.chars().any(char::is_control) {
        return Err(Error::NotFound);
    }
    let user = &caller.user.id;
    let now = state.issuer.now();
    let ended = state
        .revocations
        .end_login(&id, Some(user), now, trace)
        .await?;
    let mut response = if let Some(entry) = ended {
        let push = ending::push(&state, &entry, trace).await;
        ending::answer(push, json!({ "ended": "token" }))
    } else if ending::session_by_name(&state, user, &id, trace).await? {
        ending::answer(Push::Published, json!({ "ended": "session" }))
    } else {
        return Err(Error::NotFound);
    };
    if *id == caller.login && caller.by_cookie {
        // A name and value that were built from constants always fit into a header.
        let _ = response.add_cookie(&cookie::expire());
    }
    Ok(response)
}

/// Ends every login of the caller but the one that asks (ASVS 5.0, 7.4.3).
pub(crate) async fn end_others(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    let trace = trace.as_ref();
    let caller = SignedIn::of(&request, &state, trace).await?;
    let spared = Some(caller.login.as_str()).filter(|login| !login.is_empty());
    let now = state.issuer.now();
    let entry = state
        .revocations
        .end_others(&caller.user.id, spared, now, trace)
        .await?
        .ok_or(Error::TooSoon)?;
    let push = ending::push(&state, &entry, trace).await;
    Ok(ending::answer(push, json!({ "ended": "others" })))
}

fn token_login(login: &Listed, caller: &SignedIn) -> Value {
    json!({
        "id": login.family,
        "kind": "token",
        "client_id": login.client_id,
        "created_at": login.created_at.get(),
        "last_seen": login.renewed_at.get(),
        "expires_at": login.expires_at.get(),
        "current": login.family == caller.login,
    })
}

fn session_login(session: &Session, caller: &SignedIn) -> Value {
    let SessionRecord {
        sid,
        created_at,
        expires_at,
        ..
    } = &session.record;
    json!({
        "id": sid,
        "kind": "session",
        "client_id": CLIENT_ID,
        "created_at": created_at,
        "last_seen": session.last_seen,
        "expires_at": expires_at,
        "current": *sid == caller.login,
    })
}
