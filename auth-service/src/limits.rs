//! Limits of guessing passwords, kept in the database, so that they hold over restarts and for all
//! replicas together.
//!
//! A failed login takes from three budgets: of the account at this address, of the address, and of
//! the account from wherever. Each fills up again evenly with time (the generic cell rate algorithm:
//! one number each, when it will be full). With one of them empty a login is refused before any
//! work is done for it.
//!
//! The account's budget is what an attacker elsewhere could empty to lock its owner out. So an
//! address that an account was logged in from is *known* for a while, and there its own budget is
//! the only one that is asked. A successful login takes nothing.
//!
//! Everything is the same for names that exist and names that do not.

mod budget;
mod rows;

use std::time::Duration;

use shared::network::Network;

pub use self::budget::{Budget, Remaining};
use self::rows::Rows;
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
    settings: LimitSettings,
}

/// One login that may be tried.
#[derive(Debug)]
pub struct Attempt {
    keys: Keys,
    /// Until when the account is known at the address, if it is.
    known_until: Option<UnixMillis>,
    /// When the account's budget at this address is full.
    full_at: UnixMillis,
}

impl Attempt {
    /// Whether the account was logged in from there before.
    pub(crate) fn is_known(&self) -> bool {
        self.known_until.is_some()
    }
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
        let until = |key: &str| found.get(key).copied().unwrap_or_default();
        let known_until = Some(until(&keys.known)).filter(|until| *until > now);
        let settings = &self.settings;
        let asked = [
            (
                ACCOUNT_AT_ADDRESS,
                settings.account_at_address,
                &keys.account_at_address,
            ),
            (ADDRESS, settings.address, &keys.address),
            (ACCOUNT, settings.account, &keys.account),
        ];
        let count = if known_until.is_some() {
            1
        } else {
            asked.len()
        };
        for (name, budget, key) in asked.into_iter().take(count) {
            let remaining = budget.remaining(name, until(key), now);
            if remaining.failures == 0 {
                return Err(LimitError::Empty(remaining));
            }
        }
        Ok(Attempt {
            full_at: until(&keys.account_at_address),
            known_until,
            keys,
        })
    }

    /// Takes a failure from the budgets.
    ///
    /// # Errors
    ///
    /// The database did not confirm it. Then the caller must not learn that the password was wrong:
    /// a guess that is not counted costs nothing.
    pub(crate) async fn failed(
        &self,
        attempt: &Attempt,
        at: At<'_>,
    ) -> Result<Remaining, DatabaseError> {
        let now = UnixMillis::from(at.now);
        let (settings, keys) = (&self.settings, &attempt.keys);
        let account = match attempt.known_until {
            Some(_) => "",
            None => keys.account.as_str(),
        };
        let budgets = [
            (
                keys.account_at_address.as_str(),
                settings.account_at_address,
            ),
            (keys.address.as_str(), settings.address),
            (account, settings.account),
        ];
        let full_at = self.rows.take(budgets, now, at.trace).await?;
        let full_at = full_at.get(&keys.account_at_address).copied();
        let budget = settings.account_at_address;
        Ok(budget.remaining(ACCOUNT_AT_ADDRESS, full_at.unwrap_or(now), now))
    }

    /// Remembers the address, and gives the account its whole budget there. Writes only when there
    /// is something new: once a day for each account and address.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub(crate) async fn succeeded(
        &self,
        attempt: &Attempt,
        at: At<'_>,
    ) -> Result<Remaining, DatabaseError> {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let now = UnixMillis::from(at.now);
        let known_until = now + self.settings.known_for;
        if attempt
            .known_until
            .is_none_or(|until| until + DAY < known_until)
        {
            let known = &attempt.keys.known;
            self.rows.remember(known, known_until, at.trace).await?;
        }
        if attempt.full_at > now {
            let here = &attempt.keys.account_at_address;
            self.rows.remove(here, at.trace).await?;
        }
        let budget = self.settings.account_at_address;
        Ok(budget.remaining(ACCOUNT_AT_ADDRESS, now, now))
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
