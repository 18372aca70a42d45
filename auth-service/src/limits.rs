//! Limits of guessing passwords, kept in the database, so that they hold over restarts and for all
//! replicas together.
//!
//! A failed login takes from three budgets: of the account at this address, of the address, and of
//! the account from wherever. Each fills up again evenly with time (the generic cell rate algorithm:
//! one number each, when it will be full). With one of them empty a login is refused before any
//! work is done for it.
//!
//! Of many guesses at once no more are answered than of as many one after the other. Passwords are
//! looked at only while the failures that are left are more than the logins under way in this process.
//! And an answer is given only if its budget is not empty by then: a failure takes from the database
//! what is there, or is refused, and a success asks once more. So a guess at another replica is
//! evaluated at worst, and not answered. No budget is ever more than empty.
//!
//! The account's budget is what an attacker elsewhere could empty to lock its owner out. So an
//! address that an account was logged in from is *known* for a while, and there its own budget is
//! the only one that is asked. A successful login takes nothing.
//!
//! Everything is the same for names that exist and names that do not.

mod budget;
mod rows;
mod under_way;

use std::time::Duration;

use shared::network::Network;

pub use self::budget::{Budget, Remaining};
use self::{
    rows::{Found, Rows},
    under_way::{Login, UnderWay},
};
use crate::storage::{At, Database, DatabaseError, UnixMillis, UnixSeconds};

/// The budgets, and how long an address is known.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// Of one account at one address.
    pub account_at_address: Budget,
    /// Of one address, whatever the account.
    pub address: Budget,
    /// Of one account, from all addresses that are not known.
    pub account: Budget,
    /// How long an address is known after a login.
    pub known_for: Duration,
}

/// A login was not allowed to be tried.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// A budget is empty.
    #[error("too many failed logins")]
    Empty(Remaining),
    /// The database gave no answer, so nothing is known of the budgets.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Limits of guessing passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoginLimits {
    rows: Rows,
    under_way: UnderWay,
    settings: LimitSettings,
}

/// One login that may be tried.
#[derive(Debug)]
pub struct Attempt {
    keys: Keys,
    /// Until when the account is known at the address, if it is.
    known_until: Option<UnixMillis>,
}

/// One login whose password may be looked at.
#[derive(Debug)]
pub struct Evaluation {
    attempt: Attempt,
    /// Counts for the logins that begin later, until it is dropped.
    _under_way: Login,
}

impl Attempt {
    /// Whether the account was logged in from there before.
    pub(crate) fn is_known(&self) -> bool {
        self.known_until.is_some()
    }
}

/// One login with the right password.
#[derive(Debug)]
pub struct Success {
    attempt: Attempt,
    /// Whether the account's budget at this address is not full.
    spent: bool,
}

/// The names of the rows of one login.
#[derive(Debug)]
struct Keys {
    account_at_address: String,
    address: String,
    account: String,
    known: String,
}

const ACCOUNT_AT_ADDRESS: &str = "account-at-address";
const ADDRESS: &str = "address";
const ACCOUNT: &str = "account";

impl LoginLimits {
    /// Limits in this database.
    #[must_use]
    pub fn new(database: Database, settings: LimitSettings) -> Self {
        Self {
            rows: Rows::new(database),
            under_way: UnderWay::default(),
            settings,
        }
    }

    /// Whether a login may be tried now, which takes nothing from any budget.
    ///
    /// # Errors
    ///
    /// A budget is empty, or the database did not answer.
    pub(crate) async fn admit(
        &self,
        account: &str,
        network: Network,
        at: At<'_>,
    ) -> Result<Attempt, LimitError> {
        let keys = Keys::of(account, network);
        let now = UnixMillis::from(at.now);
        let found = self.rows.read(keys.all(), at.trace).await?;
        let known_until = found.get(&keys.known).copied();
        let known_until = known_until.filter(|until| *until > now);
        let attempt = Attempt { keys, known_until };
        self.room(&attempt, &found, now)?;
        Ok(attempt)
    }

    /// Lets the password be looked at, when the logins under way leave a failure for it; waits for
    /// those if they may take the last.
    ///
    /// # Errors
    ///
    /// A budget is empty by now, or the database did not answer.
    pub(crate) async fn evaluate(
        &self,
        attempt: Attempt,
        at: At<'_>,
    ) -> Result<Evaluation, LimitError> {
        let now = UnixMillis::from(at.now);
        let keys = self.asked(&attempt).map(|(_, _, key)| key.to_owned());
        let under_way = self.under_way.begin(keys.collect());
        loop {
            let ended = self.under_way.ended();
            // Before the rows are read: a failure is in the rows before it is not under way any more.
            let before = under_way.before();
            let found = self.rows.read(attempt.keys.all(), at.trace).await?;
            let left = self.room(&attempt, &found, now)?;
            let mut left = left.iter().zip(before);
            if left.all(|(remaining, before)| before < remaining.failures) {
                return Ok(Evaluation {
                    attempt,
                    _under_way: under_way,
                });
            }
            ended.await;
        }
    }

    /// Takes a failure from the budgets, and gives what is left.
    ///
    /// # Errors
    ///
    /// A budget was empty already, or the database did not confirm it. Then the caller must not learn
    /// that the password was wrong: a guess that is not counted costs nothing.
    pub(crate) async fn failed(
        &self,
        evaluation: Evaluation,
        at: At<'_>,
    ) -> Result<Remaining, LimitError> {
        let now = UnixMillis::from(at.now);
        let attempt = &evaluation.attempt;
        let rows = self.budgets(attempt).map(|(name, budget, key)| {
            let spared = name == ACCOUNT && attempt.is_known();
            (if spared { "" } else { key }, budget)
        });
        let full_at = self.rows.take(rows, now, at.trace).await?;
        for (name, budget, key) in self.asked(attempt) {
            if !full_at.contains_key(key) {
                let remaining = budget.remaining(name, now + budget.window, now);
                return Err(LimitError::Empty(remaining));
            }
        }
        let full_at = full_at.get(&attempt.keys.account_at_address).copied();
        let budget = self.settings.account_at_address;
        Ok(budget.remaining(ACCOUNT_AT_ADDRESS, full_at.unwrap_or(now), now))
    }

    /// Whether a login with the right password is one: not when failures at another replica have
    /// emptied a budget meanwhile. Gives what is to be remembered of it.
    ///
    /// # Errors
    ///
    /// A budget is empty by now, or the database did not answer.
    pub(crate) async fn confirm(
        &self,
        evaluation: Evaluation,
        at: At<'_>,
    ) -> Result<Success, LimitError> {
        let now = UnixMillis::from(at.now);
        let attempt = evaluation.attempt;
        let found = self.rows.read(attempt.keys.all(), at.trace).await?;
        self.room(&attempt, &found, now)?;
        let full_at = found.get(&attempt.keys.account_at_address).copied();
        Ok(Success {
            spent: full_at.is_some_and(|full_at| full_at > now),
            attempt,
        })
    }

    /// Remembers the address, and gives the account its whole budget there. Writes only when there
    /// is something new: once a day for each account and address.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub(crate) async fn remember(
        &self,
        success: &Success,
        at: At<'_>,
    ) -> Result<Remaining, DatabaseError> {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let now = UnixMillis::from(at.now);
        let Success { attempt, spent } = success;
        let known_until = now + self.settings.known_for;
        if attempt
            .known_until
            .is_none_or(|until| until + DAY < known_until)
        {
            let known = &attempt.keys.known;
            self.rows.remember(known, known_until, at.trace).await?;
        }
        if *spent {
            let here = &attempt.keys.account_at_address;
            self.rows.remove(here, at.trace).await?;
        }
        let budget = self.settings.account_at_address;
        Ok(budget.remaining(ACCOUNT_AT_ADDRESS, now, now))
    }

    /// What is left of the budgets that must not be empty; an error when one is.
    fn room(
        &self,
        attempt: &Attempt,
        found: &Found,
        now: UnixMillis,
    ) -> Result<Vec<Remaining>, LimitError> {
        let mut all = Vec::new();
        for (name, budget, key) in self.asked(attempt) {
            let full_at = found.get(key).copied().unwrap_or_default();
            let remaining = budget.remaining(name, full_at, now);
            if remaining.failures == 0 {
                return Err(LimitError::Empty(remaining));
            }
            all.push(remaining);
        }
        Ok(all)
    }

    /// The budgets with the rows of a login, in the order in which rows are always changed.
    fn budgets<'a>(&self, attempt: &'a Attempt) -> [(&'static str, Budget, &'a str); 3] {
        let keys = &attempt.keys;
        let [first, second, third] = self.policies();
        [
            (first.0, first.1, keys.account_at_address.as_str()),
            (second.0, second.1, keys.address.as_str()),
            (third.0, third.1, keys.account.as_str()),
        ]
    }

    /// Those that must not be empty.
    fn asked<'a>(
        &self,
        attempt: &'a Attempt,
    ) -> impl Iterator<Item = (&'static str, Budget, &'a str)> {
        let count = if attempt.is_known() { 1 } else { 3 };
        self.budgets(attempt).into_iter().take(count)
    }

    /// Removes rows that say nothing any more. How many.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub(crate) async fn remove_expired(&self, now: UnixSeconds) -> Result<u64, DatabaseError> {
        self.rows.remove_expired(now.into()).await
    }

    /// The budgets by their names.
    pub(crate) fn policies(&self) -> [(&'static str, Budget); 3] {
        [
            (ACCOUNT_AT_ADDRESS, self.settings.account_at_address),
            (ADDRESS, self.settings.address),
            (ACCOUNT, self.settings.account),
        ]
    }
}

impl Keys {
    fn of(account: &str, network: Network) -> Self {
        let network = network.to_string();
        Self {
            account_at_address: rows::key(ACCOUNT_AT_ADDRESS, [account, &network]),
            address: rows::key(ADDRESS, ["", &network]),
            account: rows::key(ACCOUNT, [account, ""]),
            known: rows::key("known", [account, &network]),
        }
    }

    fn all(&self) -> [&str; 4] {
        [
            &self.account_at_address,
            &self.address,
            &self.account,
            &self.known,
        ]
    }
}
