//! `client_credentials`: a client asks for itself, RFC 6749 §4.4.

use super::TokenAnswer;
use crate::{
    clients::Right,
    http::{error::Error, oauth::client::Caller, state::State},
};

/// Without a refresh token (RFC 6749 §4.4.3): the client can ask again at any time.
pub(super) fn answer(state: &State, caller: Caller) -> Result<TokenAnswer, Error> {
    let client = caller.with(Right::Token)?;
    let token = state.issuer.client_token(&client.id)?;
    Ok(TokenAnswer::new(&token))
}
