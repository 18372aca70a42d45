//! A name and a password, checked within the limits of guessing. Every login begins so.

use shared::config::Secret;

use super::{call::Call, error::Error};
use crate::{
    credentials::Username,
    limits::{Attempt, LimitError, Remaining},
    passwords::{Asker, Kind},
    users::{Account, User},
};

/// The name and the password of a login.
pub(super) struct Presented {
    /// Whose password is guessed, as far as limits are concerned: any text, in lower case.
    account: String,
    /// `None` when no user can have the name: such a login must cost the same and fail the same.
    username: Option<Username>,
    password: Secret<String>,
}

impl Presented {
    /// Any text is taken as a name.
    pub(super) fn new(username: &str, password: Secret<String>) -> Self {
        Self {
            account: username.to_lowercase(),
            username: Username::parse(username).ok(),
            password,
        }
    }
}

/// Lets a login be tried within the limits of guessing, and counts it when it failed. Gives the
/// user, and what is left of the budget that decided.
pub(crate) async fn check(
    call: &Call,
    presented: Presented,
) -> (Result<User, Error>, Option<Remaining>) {
    let at = call.at();
    let network = call.client();
    let admitted = call.limits.admit(&presented.account, network, at);
    let attempt = match admitted.await {
        Ok(attempt) => attempt,
        Err(LimitError::Empty(remaining)) => {
            return (Err(Error::TooManyFailures(remaining)), Some(remaining));
        }
        Err(LimitError::Database(error)) => return (Err(error.into()), None),
    };
    let kind = match attempt.is_known() {
        true => Kind::LoginAtKnownAddress,
        false => Kind::Login,
    };
    match authenticate(call, presented, Asker { kind, network }).await {
        Ok(user) => (Ok(user), remember(call, &attempt).await),
        Err(Error::WrongCredentials) => match call.limits.failed(&attempt, at).await {
            Ok(remaining) => (Err(Error::WrongCredentials), Some(remaining)),
            // A guess that is not counted must not be answered.
            Err(error) => (Err(error.into()), None),
        },
        Err(error) => (Err(error), None),
    }
}

/// The password was right, so the login goes on even if that is not remembered.
async fn remember(call: &Call, attempt: &Attempt) -> Option<Remaining> {
    let outcome = call.limits.succeeded(attempt, call.at()).await;
    outcome
        .inspect_err(|error| tracing::warn!(%error, "the address of a login is not remembered"))
        .ok()
}

/// How a login ended, for the metrics.
pub(super) fn outcome_name<T>(outcome: &Result<T, Error>) -> &'static str {
    match outcome {
        Ok(_) => "success",
        Err(Error::WrongCredentials) => "wrong_credentials",
        Err(Error::TooManyFailures(_)) => "limited",
        Err(Error::Disabled) => "disabled",
        Err(_) => "error",
    }
}

/// One lookup and one Argon2id run, whether or not the user exists.
async fn authenticate(call: &Call, presented: Presented, asker: Asker) -> Result<User, Error> {
    let found = match &presented.username {
        Some(username) => call.users.by_name(username, call.at()).await?,
        None => None,
    };
    let hash = found.as_ref().map(|account| account.password_hash.clone());
    let turn = call.passwords.turn(asker).await?;
    let verified = turn.verify(presented.password, hash, call.trace());
    let matches = verified.await?;
    // Only after the right password: others must not learn that the account is disabled.
    enabled(found.filter(|_| matches).ok_or(Error::WrongCredentials)?)
}

/// The user of an account that may log in.
pub(super) fn enabled(account: Account) -> Result<User, Error> {
    if account.disabled {
        Err(Error::Disabled)
    } else {
        Ok(account.user)
    }
}
