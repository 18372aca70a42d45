//! The rows of the limits.

use std::{collections::HashMap, fmt::Write as _};

use sha2::{Digest, Sha256};
use shared::telemetry::trace::TraceHandle;

use super::budget::Budget;
use crate::storage::{Database, DatabaseError, UnixMillis};

const TABLE: &str = "login_limits";

const READ: &str = "SELECT bucket, until FROM login_limits WHERE bucket IN ($1, $2, $3, $4)";
/// From now or from when it would have been full, whichever is later: one statement, so two
/// failures at the same time both count. `excluded` has what one failure takes, counted from now. An
/// empty budget stays as it is, and its row is not returned.
const TAKE: &str = "INSERT INTO login_limits (bucket, until) \
     SELECT taken.bucket, taken.until FROM (SELECT $2 AS bucket, $3 AS until \
     UNION ALL SELECT $4, $5 UNION ALL SELECT $6, $7) AS taken WHERE taken.bucket <> '' \
     ON CONFLICT (bucket) DO UPDATE SET until = excluded.until - $1 + \
     CASE WHEN login_limits.until > $1 THEN login_limits.until ELSE $1 END \
     WHERE login_limits.until <= CASE excluded.bucket WHEN $2 THEN $8 WHEN $4 THEN $9 ELSE $10 END \
     RETURNING bucket, until";
const REMEMBER: &str = "INSERT INTO login_limits (bucket, until) VALUES ($1, $2) \
     ON CONFLICT (bucket) DO UPDATE SET until = excluded.until";
const REMOVE: &str = "DELETE FROM login_limits WHERE bucket = $1";
const REMOVE_EXPIRED: &str = "DELETE FROM login_limits WHERE bucket IN \
     (SELECT bucket FROM login_limits WHERE until <= $1 LIMIT $2)";

/// Until when, by row.
pub(super) type Found = HashMap<String, UnixMillis>;

/// The rows in the database.
#[derive(Clone, Debug)]
pub(super) struct Rows(Database);

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

impl Rows {
    pub(super) fn new(database: Database) -> Self {
        Self(database)
    }

    pub(super) async fn read(
        &self,
        keys: [&str; 4],
        trace: Option<&TraceHandle>,
    ) -> Result<Found, DatabaseError> {
        let read = keys
            .into_iter()
            .fold(sqlx::query_as(READ), |read, key| read.bind(key));
        let statement = read.fetch_all(self.0.pool());
        let rows = self.0.call("SELECT", TABLE, trace, statement).await?;
        Ok(Found::from_iter(rows))
    }

    /// Takes one failure from each budget whose row has a name and which has one left; when these
    /// will be full. Always in the order of the kinds, or two logins could wait for each other.
    pub(super) async fn take(
        &self,
        budgets: [(&str, Budget); 3],
        now: UnixMillis,
        trace: Option<&TraceHandle>,
    ) -> Result<Found, DatabaseError> {
        let take = budgets
            .into_iter()
            .fold(sqlx::query_as(TAKE).bind(now), |take, (key, budget)| {
                take.bind(key).bind(now + budget.interval())
            });
        let statement = budgets
            .into_iter()
            .fold(take, |take, (_, budget)| {
                take.bind(now + budget.all_but_one())
            })
            .fetch_all(self.0.pool());
        let rows = self.0.call("INSERT", TABLE, trace, statement).await?;
        Ok(Found::from_iter(rows))
    }

    pub(super) async fn remember(
        &self,
        key: &str,
        until: UnixMillis,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let statement = sqlx::query(REMEMBER)
            .bind(key)
            .bind(until)
            .execute(self.0.pool());
        let remembered = self.0.call("INSERT", TABLE, trace, statement).await;
        remembered.map(drop)
    }

    pub(super) async fn remove(
        &self,
        key: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let statement = sqlx::query(REMOVE).bind(key).execute(self.0.pool());
        let removed = self.0.call("DELETE", TABLE, trace, statement).await;
        removed.map(drop)
    }

    pub(super) async fn remove_expired(&self, now: UnixMillis) -> Result<u64, DatabaseError> {
        self.0
            .in_batches("DELETE", TABLE, REMOVE_EXPIRED, &[now])
            .await
    }
}
