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
mod network;
mod store;

use shared::telemetry::trace::TraceHandle;

pub use self::budget::Budget;
use self::store::Store;
use crate::storage::{Database, DatabaseError};

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
    pub known_for: std::time::Duration,
}

/// A login was not allowed to be tried.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// A budget is empty.
    #[error("too many failed logins")]
    Empty(Standing),
    /// The database gave no answer, so nothing is known of the budgets.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// How a budget stands, for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which budget.
    pub name: &'static str,
    /// Failures that are left.
    pub remaining: u64,
    /// Seconds until there is one more; zero when it is full.
    pub next_in: u64,
}

/// Limits of guessing passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoginLimits {
    store: Store,
    settings: LimitSettings,
}

/// One login that may be tried.
#[derive(Debug)]
pub struct Attempt {
    keys: Keys,
    known_until: Option<u64>,
    /// When the account's budget at this address is full.
    full_at: u64,
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
            store: Store::new(database),
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
        address: std::net::IpAddr,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Attempt, LimitError> {
        let keys = Keys::of(account, address);
        let now = millis(now);
        let found = self.store.read(keys.all(), trace).await?;
        let until = |key: &str| found.get(key).copied().unwrap_or_default();
        let known_until = Some(until(&keys.known)).filter(|until| *until > now);
        let settings = &self.settings;
        let here = (
            ACCOUNT_AT_ADDRESS,
            settings.account_at_address,
            &keys.account_at_address,
        );
        let elsewhere = [
            (ADDRESS, settings.address, &keys.address),
            (ACCOUNT, settings.account, &keys.account),
        ];
        let asked =
            std::iter::once(here).chain(elsewhere.into_iter().filter(|_| known_until.is_none()));
        for (name, budget, key) in asked {
            let standing = budget.standing(name, until(key), now);
            if standing.remaining == 0 {
                return Err(LimitError::Empty(standing));
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
    /// a guess that is not counted is a free one.
    pub(crate) async fn failed(
        &self,
        attempt: &Attempt,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Standing, DatabaseError> {
        let now = millis(now);
        let settings = &self.settings;
        let Keys {
            account_at_address,
            address,
            account,
            ..
        } = &attempt.keys;
        let here = [
            (account_at_address.as_str(), settings.account_at_address),
            (address.as_str(), settings.address),
        ];
        let everywhere = [here[0], here[1], (account.as_str(), settings.account)];
        let full_at = match attempt.known_until {
            Some(_) => self.store.take_two(here, now, trace).await?,
            None => self.store.take_three(everywhere, now, trace).await?,
        };
        let full_at = full_at.get(account_at_address).copied().unwrap_or(now);
        Ok(settings
            .account_at_address
            .standing(ACCOUNT_AT_ADDRESS, full_at, now))
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
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Standing, DatabaseError> {
        const DAY: u64 = 24 * 3_600 * 1_000;
        let now = millis(now);
        let known_until = now.saturating_add(budget::as_millis(self.settings.known_for));
        if attempt
            .known_until
            .is_none_or(|until| until.saturating_add(DAY) < known_until)
        {
            let known = &attempt.keys.known;
            self.store.remember(known, known_until, trace).await?;
        }
        if attempt.full_at > now {
            let here = &attempt.keys.account_at_address;
            self.store.forget(here, trace).await?;
        }
        let budget = self.settings.account_at_address;
        Ok(budget.standing(ACCOUNT_AT_ADDRESS, now, now))
    }

    /// Removes rows that say nothing any more. How many.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub(crate) async fn forget_expired(&self, now: u64) -> Result<u64, DatabaseError> {
        self.store.forget_expired(millis(now)).await
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
    fn of(account: &str, address: std::net::IpAddr) -> Self {
        let network = network::of(address);
        let key = |kind: &str, parts: [&str; 2]| store::key(kind, parts);
        Self {
            account_at_address: key(ACCOUNT_AT_ADDRESS, [account, &network]),
            address: key(ADDRESS, ["", &network]),
            account: key(ACCOUNT, [account, ""]),
            known: key("known", [account, &network]),
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

fn millis(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000)
}
