//! `refresh_token`: a new access token and the next refresh token, RFC 6749 §6.

use shared::{config::Secret, telemetry::trace::TraceHandle};

use super::TokenAnswer;
use crate::{
    http::{
        ending,
        error::{Error, OAuthError},
        oauth::{client::Caller, form::Form},
        state::State,
    },
    refresh::{Grant, RefreshToken, Rotation},
};

pub(super) async fn answer(
    state: &State,
    caller: &Caller,
    form: &Form,
    trace: Option<&TraceHandle>,
) -> Result<TokenAnswer, Error> {
    let token = form.require("refresh_token", "refresh_token is missing")?;
    let token = Secret::new(token.to_owned());
    let (grant, successor) = renew(state, caller, &token, trace).await?;
    let access_token = state.issuer.access_token(
        &grant.user,
        &grant.client_id,
        &grant.family,
        grant.expires_at,
    )?;
    Ok(TokenAnswer::renewable(&access_token, &successor))
}

/// Spends the token. The user is read first, so that roles are those of now and nothing is spent
/// when the database fails half-way.
async fn renew(
    state: &State,
    caller: &Caller,
    token: &RefreshToken,
    trace: Option<&TraceHandle>,
) -> Result<(Grant, RefreshToken), Error> {
    let now = state.issuer.now();
    let tokens = &state.refresh_tokens;
    let Some(grant) = tokens.find(token, now, trace).await? else {
        state.metrics.refreshed("unknown");
        return Err(OAuthError::InvalidGrant.into());
    };
    // RFC 6749 §6: a refresh token is bound to its client. Another's attempt spends nothing.
    if caller.id() != grant.client_id {
        return Err(OAuthError::InvalidGrant.into());
    }
    let rotation = tokens.rotate(token, now, trace).await?;
    state.metrics.refreshed(outcome(&grant, &rotation));
    match rotation {
        Rotation::Successor(successor) => Ok((grant, successor)),
        Rotation::Superseded | Rotation::Over => Err(OAuthError::InvalidGrant.into()),
        Rotation::Reused => {
            ending::login(state, &grant.family, trace).await?;
            tracing::warn!(
                subject = %grant.user.id,
                "a spent refresh token was presented: its login was ended"
            );
            Err(OAuthError::InvalidGrant.into())
        }
    }
}

fn outcome(grant: &Grant, rotation: &Rotation) -> &'static str {
    match rotation {
        Rotation::Successor(_) if grant.spent_at.is_none() => "renewed",
        Rotation::Successor(_) => "repeated",
        Rotation::Superseded => "superseded",
        Rotation::Reused => "reused",
        Rotation::Over => "over",
    }
}
