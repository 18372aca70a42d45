//! Ending what stands behind a credential, and telling how far it has come.

use actix_web::{HttpResponse, HttpResponseBuilder, http::header};
use serde_json::Value;
use shared::{
    revocation::{Entry, Feed, Revoked},
    session::{SessionId, SessionRecord},
    telemetry::trace::TraceHandle,
    token::AccessClaims,
};

use super::{error::Error, state::State};
use crate::revocations::Push;

/// Ends a session. What it was, or `None` when there was none.
pub(crate) async fn session(
    state: &State,
    id: &SessionId,
    trace: Option<&TraceHandle>,
) -> Result<Option<SessionRecord>, Error> {
    let record = state.sessions.end(id, trace).await?;
    if let Some(record) = &record {
        tell_exchangers(state, record, trace).await;
    }
    Ok(record)
}

/// Ends a session of a user by its public id. Whether there was one.
pub(crate) async fn session_by_name(
    state: &State,
    user: &str,
    sid: &str,
    trace: Option<&TraceHandle>,
) -> Result<bool, Error> {
    let record = state.sessions.end_sid(user, sid, trace).await?;
    if let Some(record) = &record {
        tell_exchangers(state, record, trace).await;
    }
    Ok(record.is_some())
}

/// Ends a login for tokens: 200 when replicas are told, 202 when they will be.
pub(crate) async fn login(
    state: &State,
    login: &str,
    trace: Option<&TraceHandle>,
) -> Result<Push, Error> {
    let now = state.issuer.now();
    let entry = state.revocations.end_login(login, None, now, trace).await?;
    match entry {
        Some(entry) => Ok(push(state, &entry, trace).await),
        None => Ok(Push::Published),
    }
}

/// Ends one access token; its login goes on.
pub(crate) async fn token(
    state: &State,
    claims: &AccessClaims,
    trace: Option<&TraceHandle>,
) -> Result<Push, Error> {
    let now = state.issuer.now();
    let entry = state.revocations.end_token(&claims.jti, now, trace).await?;
    Ok(push(state, &entry, trace).await)
}

/// Carries out what the database knows.
pub(crate) async fn push(state: &State, entry: &Entry, trace: Option<&TraceHandle>) -> Push {
    let now = state.issuer.now();
    state
        .revocations
        .push(entry, &state.sessions, now, trace)
        .await
}

/// The answer to an end: with what else there is to say, and how far it has come.
pub(super) fn answer(push: Push, mut body: Value) -> HttpResponse {
    let mut response: HttpResponseBuilder = match push {
        Push::Published => HttpResponse::Ok(),
        Push::Pending => HttpResponse::Accepted(),
    };
    body["revocation"] = match push {
        Push::Published => "published",
        Push::Pending => "pending",
    }
    .into();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}

/// Tokens of a few seconds may have been given for the session. They are taken back where the feed
/// is followed; elsewhere, and when Redis does not take it, they end by themselves soon. Nothing of
/// it is worth a write to the database at each logout.
async fn tell_exchangers(state: &State, record: &SessionRecord, trace: Option<&TraceHandle>) {
    if record.sid.is_empty() {
        return;
    }
    let now = state.issuer.now();
    let entry = Entry {
        revoked: Revoked::Session {
            id: record.sid.clone(),
        },
        until: now
            + state
                .revocations
                .until_forgotten(state.issuer.exchanged_life()),
    };
    let feed = Feed::beside(&state.sessions);
    if let Err(error) = feed.publish(&[entry], now, trace).await.map(drop) {
        tracing::debug!(%error, "exchanged tokens of a session live on for their seconds");
    }
}
