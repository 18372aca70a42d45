//! Ending what a credential belongs to, and saying how far that has come.

use actix_web::{HttpResponse, HttpResponseBuilder, http::header};
use serde_json::Value;
use shared::{
    revocation::{Entry, Feed, Revoked},
    session::{SessionId, SessionRecord},
    telemetry::trace::TraceHandle,
    token::AccessClaims,
};

use super::{error::Error, state::State};
use crate::revocations::{Push, remembered_for};

/// Ends a session. What it was, or `None` when there was none.
pub(crate) async fn session(
    state: &State,
    id: &SessionId,
    trace: Option<&TraceHandle>,
) -> Result<Option<SessionRecord>, Error> {
    let record = state.sessions.end(id, trace).await?;
    if let Some(record) = &record {
        revoke_exchanged(state, record, trace).await;
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
        revoke_exchanged(state, record, trace).await;
    }
    Ok(record.is_some())
}

/// Ends a login for tokens.
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
    let entry = state
        .revocations
        .revoke_token(&claims.jti, now, trace)
        .await?;
    Ok(push(state, &entry, trace).await)
}

/// Publishes what is in the database.
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

/// Tokens of a few seconds may have been issued for the session. They are revoked where the feed is
/// followed; elsewhere, and when Redis does not answer, they end by themselves soon. That is not
/// worth a write to the database at each logout.
async fn revoke_exchanged(state: &State, record: &SessionRecord, trace: Option<&TraceHandle>) {
    if record.sid.is_empty() {
        return;
    }
    let now = state.issuer.now();
    let entry = Entry {
        revoked: Revoked::Session {
            id: record.sid.clone(),
        },
        until: (now + remembered_for(state.issuer.exchanged_life())).get(),
    };
    let feed = Feed::beside(&state.sessions);
    if let Err(error) = feed.publish(&[entry], now.get(), trace).await.map(drop) {
        tracing::debug!(%error, "exchanged tokens of a session live on for their seconds");
    }
}
