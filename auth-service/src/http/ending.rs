//! Ending what a credential belongs to, and saying how far that has come.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use shared::{
    revocation::{Entry, Feed, Revoked},
    session::{SessionId, SessionRecord},
    token::AccessClaims,
};
use utoipa::{IntoResponses, ToSchema};

use super::{answer, call::Call, error::Error};
use crate::revocations::{Push, Recorded, remembered_for};

/// What a route that ends logins answers.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described and never made")]
pub(super) enum EndAnswers {
    /// It is over and published to replicas that follow revocations
    #[response(status = 200)]
    Published(EndedLogins),
    /// It is in the database, and published when Redis can be reached
    #[response(status = 202)]
    Pending(EndedLogins),
}

#[derive(Serialize, ToSchema)]
pub(super) struct EndedLogins {
    pub(super) ended: EndedKind,
    pub(super) revocation: Push,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EndedKind {
    Token,
    Session,
    Others,
    User,
    All,
}

/// Ends a session. What it was, or `None` when there was none.
pub(super) async fn session(call: &Call, id: &SessionId) -> Result<Option<SessionRecord>, Error> {
    let record = call.sessions.end(id, call.trace()).await?;
    revoke_exchanged(call, record.as_ref()).await;
    Ok(record)
}

/// Ends a session of a user by its public id. Whether there was one.
pub(super) async fn session_by_name(call: &Call, user: &str, sid: &str) -> Result<bool, Error> {
    let record = call.sessions.end_sid(user, sid, call.trace()).await?;
    revoke_exchanged(call, record.as_ref()).await;
    Ok(record.is_some())
}

/// Ends a login for tokens.
pub(super) async fn login(call: &Call, login: &str) -> Result<Push, Error> {
    let entry = call.revocations.end_login(login, None, call.at()).await?;
    match entry {
        Some(entry) => Ok(push(call, &entry).await),
        None => Ok(Push::Published),
    }
}

/// Ends the oldest logins for tokens that a user has beyond the limit, now that one has begun.
pub(super) async fn excess(call: &Call, user: &str, begun: &str) {
    let most = call.issuer.most_logins();
    let ended = async {
        let tokens = &call.refresh_tokens;
        for oldest in tokens.excess(user, begun, most, call.at()).await? {
            login(call, &oldest).await?;
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = ended.await {
        // The new login is good, and the next one tries again.
        tracing::warn!(%error, "logins beyond the limit were not ended");
    }
}

/// Ends one access token; its login goes on, as a rule.
pub(super) async fn token(call: &Call, claims: &AccessClaims) -> Result<Push, Error> {
    let revoked = call.revocations.revoke_token(claims, call.at()).await?;
    let revoked = revoked.ok_or(Error::TooManyRevoked)?;
    Ok(push(call, &revoked).await)
}

/// Publishes what is in the database.
pub(super) async fn push(call: &Call, end: &Recorded) -> Push {
    call.revocations.push(end, &call.sessions, call.at()).await
}

/// The status of an end that has come so far: 200 when it is published, 202 when it will be.
pub(super) fn status(push: Push) -> StatusCode {
    match push {
        Push::Published => StatusCode::OK,
        Push::Pending => StatusCode::ACCEPTED,
    }
}

/// The answer to an end that has come so far.
pub(super) fn answer(push: Push, body: &impl Serialize) -> HttpResponse {
    answer::json(status(push), body)
}

/// The same, of logins.
pub(super) fn ended(ended: EndedKind, revocation: Push) -> HttpResponse {
    answer(revocation, &EndedLogins { ended, revocation })
}

/// Tokens of a few seconds may have been issued for the session. They are revoked where the feed is
/// followed; elsewhere, and when Redis does not answer, they end by themselves soon. That is not
/// worth a write to the database at each logout.
async fn revoke_exchanged(call: &Call, record: Option<&SessionRecord>) {
    let Some(record) = record.filter(|record| !record.sid.is_empty()) else {
        return;
    };
    let now = call.now();
    let entry = Entry {
        revoked: Revoked::Session {
            id: record.sid.clone(),
        },
        until: (now + remembered_for(call.issuer.exchanged_life())).get(),
    };
    let feed = Feed::beside(&call.sessions);
    if let Err(error) = feed
        .publish(&[entry], now.get(), call.trace())
        .await
        .map(drop)
    {
        tracing::debug!(%error, "exchanged tokens of a session live on for their seconds");
    }
}
