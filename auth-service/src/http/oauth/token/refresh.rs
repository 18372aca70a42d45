//! `refresh_token`: a new access token and the next refresh token, RFC 6749 §6.

use shared::config::Secret;

use super::TokenAnswer;
use crate::{
    http::{
        call::Call,
        ending,
        error::{Error, OAuthError},
        oauth::{client::Caller, form::Form},
    },
    refresh::{Grant, RefreshToken, Rotation},
    scope::Scope,
};

pub(super) async fn answer(
    call: &Call,
    caller: &Caller,
    form: &Form,
    asked: Option<Scope>,
) -> Result<TokenAnswer, Error> {
    let token = form.require("refresh_token", "refresh_token is missing")?;
    let token = Secret::new(token.to_owned());
    let (grant, successor) = renew(call, caller, &token, asked).await?;
    let scope = Scope::narrowed(grant.scope, asked);
    let access_token = call.issuer.access_token(
        &grant.user,
        &grant.client_id,
        &grant.family,
        grant.expires_at,
        scope,
    )?;
    Ok(TokenAnswer::renewable(&access_token, &successor).granting(scope))
}

/// Spends the token. The user is read first, so that roles are those of now and nothing is spent
/// when the database fails half-way.
async fn renew(
    call: &Call,
    caller: &Caller,
    token: &RefreshToken,
    asked: Option<Scope>,
) -> Result<(Grant, RefreshToken), Error> {
    let tokens = &call.refresh_tokens;
    let Some(grant) = tokens.find(token, call.at()).await? else {
        call.metrics.refreshed("unknown");
        return Err(OAuthError::InvalidGrant.into());
    };
    // RFC 6749 §6: a refresh token is bound to its client. Another's attempt spends nothing.
    if caller.id() != grant.client_id {
        return Err(OAuthError::InvalidGrant.into());
    }
    // RFC 6749 §6: not more than was granted to the login, which keeps what it has.
    if asked.is_some_and(|asked| !grant.scope.unwrap_or(Scope::ALL).covers(asked)) {
        return Err(OAuthError::InvalidScope.into());
    }
    let rotation = tokens.rotate(token, call.at()).await?;
    call.metrics.refreshed(outcome(&grant, &rotation));
    match rotation {
        Rotation::Successor(successor) => Ok((grant, successor)),
        Rotation::Superseded | Rotation::Over => Err(OAuthError::InvalidGrant.into()),
        Rotation::Reused => {
            ending::login(call, &grant.family).await?;
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
