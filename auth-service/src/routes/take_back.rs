//! Ends a login or a token before its time. What is written first is the revocation: when a later step
//! fails the caller tries again, and nothing that was taken back is forgotten.

use shared::{
    revocation::{Entry, Revoked},
    telemetry::trace::TraceHandle,
    token::AccessClaims,
};

use super::State;
use crate::error::Error;

/// The most that a verifier's clock may be behind: the "few minutes" of RFC 7519 §4.1.4, and the
/// most that the api-service lets be configured.
const LEEWAY_SECONDS: u64 = 300;

/// Ends a login: its access tokens, which name it as `sid`, and its refresh tokens.
pub(super) async fn login(
    state: &State,
    id: &str,
    trace: Option<&TraceHandle>,
) -> Result<(), Error> {
    let entry = Entry {
        revoked: Revoked::Session { id: id.to_owned() },
        until: state.issuer.latest_end() + LEEWAY_SECONDS,
    };
    state.revocations.put(&entry, trace).await?;
    let now = state.issuer.now();
    Ok(state.refresh_tokens.revoke(id, now, trace).await?)
}

/// Ends one access token; its login goes on.
pub(super) async fn token(
    state: &State,
    claims: &AccessClaims,
    trace: Option<&TraceHandle>,
) -> Result<(), Error> {
    let entry = Entry {
        revoked: Revoked::Token {
            id: claims.jti.clone(),
        },
        until: claims.exp + LEEWAY_SECONDS,
    };
    Ok(state.revocations.put(&entry, trace).await?)
}
