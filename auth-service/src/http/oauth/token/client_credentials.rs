//! `client_credentials`: a client asks for itself, RFC 6749 §4.4.

use super::TokenAnswer;
use crate::{
    clients::Right,
    http::{call::Call, error::Error, oauth::client::Caller},
    scope::Scope,
};

/// Without a refresh token (RFC 6749 §4.4.3): the client can ask again at any time.
pub(super) fn answer(
    call: &Call,
    caller: Caller,
    asked: Option<Scope>,
) -> Result<TokenAnswer, Error> {
    let client = caller.with(Right::Token)?;
    let scope = asked.map(|_| Scope::LEAST);
    let token = call.issuer.client_token(&client.id, scope)?;
    Ok(TokenAnswer::new(&token).granting(Some(Scope::LEAST)))
}
