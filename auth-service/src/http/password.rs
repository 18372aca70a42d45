//! A name and a password, checked within the limits of guessing. Every login begins so.

use shared::config::Secret;

use super::{call::Call, error::Error};
use crate::{
    credentials::Username,
    limits::{Evaluation, Remaining, Success},
    passwords::{Asker, Kind, Turn, Verified},
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
    match checked(call, presented).await {
        Ok((user, success)) => (Ok(user), remember(call, &success).await),
        Err((error, remaining)) => (Err(error), remaining),
    }
}

/// Who logged in, or why not, and what is left of the budget that decided about that.
async fn checked(
    call: &Call,
    presented: Presented,
) -> Result<(User, Success), (Error, Option<Remaining>)> {
    let admitted = admit(call, &presented).await.map_err(refused)?;
    let evaluation = admitted.evaluation;
    match authenticate(call, presented, admitted.turn, admitted.found).await {
        Ok(user) => {
            let confirmed = call.limits.confirm(evaluation, call.at()).await;
            let success = confirmed.map_err(Error::from).map_err(refused)?;
            Ok((user, success))
        }
        Err(Error::WrongCredentials) => {
            let failed = call.limits.failed(evaluation, call.at()).await;
            let remaining = failed.map_err(Error::from).map_err(refused)?;
            Err((Error::WrongCredentials, Some(remaining)))
        }
        Err(error) => Err((error, None)),
    }
}

fn refused(error: Error) -> (Error, Option<Remaining>) {
    let remaining = match error {
        Error::TooManyFailures(remaining) => Some(remaining),
        _ => None,
    };
    (error, remaining)
}

/// A login whose password may be looked at.
struct Admitted {
    found: Option<Account>,
    turn: Turn,
    evaluation: Evaluation,
}

/// A lookup of the user and a turn to hash, whether or not the user exists.
async fn admit(call: &Call, presented: &Presented) -> Result<Admitted, Error> {
    let (at, network) = (call.at(), call.client());
    let attempt = call.limits.admit(&presented.account, network, at).await?;
    let found = match &presented.username {
        Some(username) => call.users.by_name(username, at).await?,
        None => None,
    };
    let kind = match attempt.is_known() {
        true => Kind::LoginAtKnownAddress,
        false => Kind::Login,
    };
    let turn = call.passwords.turn(Asker { kind, network }).await?;
    // Not before: those who wait for a turn would keep others from trying.
    let evaluation = call.limits.evaluate(attempt, call.at()).await?;
    Ok(Admitted {
        found,
        turn,
        evaluation,
    })
}

/// The password was right, so the login goes on even if that is not remembered.
async fn remember(call: &Call, success: &Success) -> Option<Remaining> {
    let outcome = call.limits.remember(success, call.at()).await;
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

/// One Argon2id run, whether or not the user exists.
async fn authenticate(
    call: &Call,
    presented: Presented,
    turn: Turn,
    found: Option<Account>,
) -> Result<User, Error> {
    let hash = found.as_ref().map(|account| account.password_hash.clone());
    let verified = turn.verify(presented.password, hash, call.trace()).await?;
    let account = found.filter(|_| verified != Verified::Wrong);
    let account = account.ok_or(Error::WrongCredentials)?;
    if let Verified::RightAsTyped { renewed } = verified {
        renew(call, &account, &renewed).await;
    }
    // Only after the right password: others must not learn that the account is disabled.
    enabled(account)
}

/// The password was right, so the login goes on even if the next one has to renew the hash.
async fn renew(call: &Call, account: &Account, hash: &str) {
    let renewed = call.users.renew_hash(account, hash, call.at()).await;
    if let Err(error) = renewed {
        tracing::warn!(%error, "a hash of a password as it was typed is not renewed");
    }
}

/// The user of an account that may log in.
pub(super) fn enabled(account: Account) -> Result<User, Error> {
    if account.disabled {
        Err(Error::Disabled)
    } else {
        Ok(account.user)
    }
}
