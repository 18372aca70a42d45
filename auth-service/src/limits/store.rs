//! The rows of the limits.

use std::{collections::HashMap, fmt::Write as _};

use sha2::{Digest, Sha256};
use shared::telemetry::trace::TraceHandle;

use super::budget::Budget;
use crate::storage::{Database, DatabaseError, Operation, on_database};

const READ: &str = "SELECT bucket, until FROM login_limits WHERE bucket IN ($1, $2, $3, $4)";
/// From now or from when it would have been full, whichever is later: one statement, so two
/// failures at the same time both count. `excluded` has what one failure takes, counted from now.
const TAKE_TWO: &str = "INSERT INTO login_limits (bucket, until) VALUES ($2, $3), ($4, $5) \
     ON CONFLICT (bucket) DO UPDATE SET until = excluded.until - $1 + \
     CASE WHEN login_limits.until > $1 THEN login_limits.until ELSE $1 END \
     RETURNING bucket, until";
const TAKE_THREE: &str = "INSERT INTO login_limits (bucket, until) VALUES ($2, $3), ($4, $5), ($6, $7) \
     ON CONFLICT (bucket) DO UPDATE SET until = excluded.until - $1 + \
     CASE WHEN login_limits.until > $1 THEN login_limits.until ELSE $1 END \
     RETURNING bucket, until";
const REMEMBER: &str = "INSERT INTO login_limits (bucket, until) VALUES ($1, $2) \
     ON CONFLICT (bucket) DO UPDATE SET until = excluded.until";
const FORGET: &str = "DELETE FROM login_limits WHERE bucket = $1";
const FORGET_EXPIRED: &str = "DELETE FROM login_limits WHERE until <= $1";

/// Until when, by row.
pub(super) type Found = HashMap<String, u64>;

type Row = (String, i64);

/// The rows in the database.
#[derive(Clone, Debug)]
pub(super) struct Store(Database);

/// The name of a row. Each part has its length before it, so no two rows have one name.
pub(super) fn key(kind: &str, parts: [&str; 2]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut key = format!("{kind}:");
    for byte in digest.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

impl Store {
    pub(super) fn new(database: Database) -> Self {
        Self(database)
    }

    pub(super) async fn read(
        &self,
        keys: [&str; 4],
        trace: Option<&TraceHandle>,
    ) -> Result<Found, DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => sqlx::query_as::<_, Row>(READ)
                .bind(keys[0])
                .bind(keys[1])
                .bind(keys[2])
                .bind(keys[3])
                .fetch_all(pool))
        };
        let rows = self.0.call(operation("SELECT"), trace, statement).await?;
        Ok(found(rows))
    }

    /// Takes one failure from two budgets; when they will be full.
    pub(super) async fn take_two(
        &self,
        budgets: [(&str, Budget); 2],
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Found, DatabaseError> {
        let [first, second] = budgets;
        let statement = async {
            on_database!(self.0, pool => sqlx::query_as::<_, Row>(TAKE_TWO)
                .bind(signed(now))
                .bind(first.0)
                .bind(signed(now + first.1.interval()))
                .bind(second.0)
                .bind(signed(now + second.1.interval()))
                .fetch_all(pool))
        };
        let rows = self.0.call(operation("INSERT"), trace, statement).await?;
        Ok(found(rows))
    }

    /// Takes one failure from three budgets; when they will be full.
    pub(super) async fn take_three(
        &self,
        budgets: [(&str, Budget); 3],
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Found, DatabaseError> {
        let [first, second, third] = budgets;
        let statement = async {
            on_database!(self.0, pool => sqlx::query_as::<_, Row>(TAKE_THREE)
                .bind(signed(now))
                .bind(first.0)
                .bind(signed(now + first.1.interval()))
                .bind(second.0)
                .bind(signed(now + second.1.interval()))
                .bind(third.0)
                .bind(signed(now + third.1.interval()))
                .fetch_all(pool))
        };
        let rows = self.0.call(operation("INSERT"), trace, statement).await?;
        Ok(found(rows))
    }

    pub(super) async fn remember(
        &self,
        key: &str,
        until: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(REMEMBER)
                    .bind(key)
                    .bind(signed(until))
                    .execute(pool)
                    .await
                    .map(drop)
            })
        };
        self.0.call(operation("INSERT"), trace, statement).await
    }

    pub(super) async fn forget(
        &self,
        key: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(FORGET).bind(key).execute(pool).await.map(drop)
            })
        };
        self.0.call(operation("DELETE"), trace, statement).await
    }

    pub(super) async fn forget_expired(&self, now: u64) -> Result<u64, DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(FORGET_EXPIRED)
                    .bind(signed(now))
                    .execute(pool)
                    .await
                    .map(|outcome| outcome.rows_affected())
            })
        };
        self.0.call(operation("DELETE"), None, statement).await
    }
}

fn found(rows: Vec<Row>) -> Found {
    let unsigned = |until: i64| u64::try_from(until).unwrap_or_default();
    rows.into_iter()
        .map(|(key, until)| (key, unsigned(until)))
        .collect()
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "login_limits",
    }
}
