//! What a token is that somebody presents to OAuth: a session, an access token of this service or a
//! refresh token. An answer that cannot be had is an error, never "inactive".

use shared::{
    config::Secret,
    session::{Session, SessionId},
    token::AccessClaims,
};

use crate::{
    http::{call::Call, error::Error},
    issuer::{Subject, VerifyError},
    refresh::Grant,
    scope::Scope,
};

/// A token that is good now.
pub(super) enum Active {
    /// An opaque session id.
    Session(Session),
    /// A signed access token.
    Access(AccessClaims),
    /// A refresh token that is not spent.
    Refresh(Grant),
}

/// A credential that resource servers take: a session id or an access token. `None` when it is
/// neither, or not any more.
pub(crate) async fn credential(call: &Call, token: &str) -> Result<Option<Active>, Error> {
    // They cannot be confused: a signed token has dots.
    if let Some(id) = SessionId::parse(token) {
        let session = call
            .sessions
            .read(&id, call.now().get(), call.trace())
            .await?;
        return Ok(session.map(Active::Session));
    }
    let claims = match call.issuer.verify(token) {
        Ok(claims) => claims,
        Err(VerifyError::Refused(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(lives(call, &claims)
        .await?
        .then_some(Active::Access(claims)))
}

/// A refresh token that would be taken now.
pub(crate) async fn refresh(call: &Call, token: &str) -> Result<Option<Active>, Error> {
    let token = Secret::new(token.to_owned());
    let grant = call.refresh_tokens.find(&token, call.at()).await?;
    Ok(grant
        .filter(|grant| grant.spent_at.is_none())
        .map(Active::Refresh))
}

/// Whether an access token that was signed here was not revoked since, and its login goes on.
async fn lives(call: &Call, claims: &AccessClaims) -> Result<bool, Error> {
    if call.revocations.refuses(claims, call.at()).await? {
        return Ok(false);
    }
    let Some(login) = &claims.sid else {
        return Ok(true);
    };
    if let Some(ended) = call.refresh_tokens.ended(login, call.at()).await? {
        return Ok(!ended);
    }
    // No login for tokens, so a session that was exchanged.
    let has_session = call.sessions.has_sid(&claims.sub, login, call.trace());
    Ok(has_session.await?)
}

impl Active {
    /// Whom a token speaks for that is issued for this one; a refresh token speaks for nobody
    /// before a resource server.
    pub(super) fn subject(self) -> Option<Subject> {
        match self {
            Self::Session(Session { record, .. }) => Some(Subject {
                id: record.subject,
                username: Some(record.username),
                roles: record.roles,
                sid: Some(record.sid).filter(|sid| !sid.is_empty()),
                ends_at: Some(record.expires_at.into()),
                scope: None,
                issued_at: None,
                generation: record.generation,
            }),
            Self::Access(claims) => Some(Subject {
                id: claims.sub,
                username: claims.preferred_username,
                roles: claims.roles,
                sid: claims.sid,
                ends_at: Some(claims.exp.into()),
                scope: Scope::stored(claims.scope.as_deref()),
                issued_at: None,
                generation: claims.generation,
            }),
            Self::Refresh(_) => None,
        }
    }
}
