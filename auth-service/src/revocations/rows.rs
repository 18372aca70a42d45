//! Entries as rows, and the row's mark.

use shared::{
    revocation::{Entry, Revoked},
    telemetry::trace::TraceHandle,
};

use super::{Revocations, operation, split_roles};
use crate::{
    storage::{DatabaseError, on_database},
    users::{seconds, unsigned},
};

/// Entries that are carried out in one go.
const BATCH: i64 = 200;

pub(super) const INSERT: &str = "INSERT INTO revocations \
     (kind, id, spared, up_to, until, published) VALUES ($1, $2, $3, $4, $5, 0) \
     ON CONFLICT (kind, id, spared) DO UPDATE SET published = 0, \
     up_to = CASE WHEN excluded.up_to > revocations.up_to THEN excluded.up_to \
     ELSE revocations.up_to END, \
     until = CASE WHEN excluded.until > revocations.until THEN excluded.until \
     ELSE revocations.until END";
const LIVING: &str = "SELECT kind, id, spared, up_to, until FROM revocations WHERE until > $1";
const PENDING: &str = "SELECT kind, id, spared, up_to, until FROM revocations \
     WHERE published = 0 ORDER BY until LIMIT $1";
const PENDING_COUNT: &str = "SELECT COUNT(*) FROM revocations WHERE published = 0";
/// A row that rose meanwhile is another entry.
const PUBLISHED: &str = "UPDATE revocations SET published = 1 \
     WHERE kind = $1 AND id = $2 AND spared = $3 AND up_to = $4 AND until = $5";
/// Watermarks also end sessions, which a Redis that lost its memory may have brought back.
const AGAIN: &str = "UPDATE revocations SET published = 0 \
     WHERE kind IN ('user', 'all') AND until > $1";
const FORGET: &str = "DELETE FROM revocations WHERE until <= $1 AND kind <> 'all'";
const IS_FAMILY: &str = "SELECT COUNT(*) FROM refresh_families WHERE id = $1";
const STANDING: &str =
    "SELECT roles, valid_after, logins_ended_at, spared_login FROM users WHERE id = $1";

type Row = (String, String, String, i64, i64);

/// The columns of an entry: kind, id, spared, up to, until.
pub(super) fn columns(entry: &Entry) -> (&'static str, &str, &str, i64, i64) {
    let (id, spared, up_to) = match &entry.revoked {
        Revoked::Token { id } | Revoked::Session { id } => (id.as_str(), "", 0),
        Revoked::User { id, before, except } => {
            (id.as_str(), except.as_deref().unwrap_or_default(), *before)
        }
        Revoked::All { before } => ("", "", *before),
    };
    let kind = entry.revoked.kind();
    (kind, id, spared, seconds(up_to), seconds(entry.until))
}

/// Adds an entry as a row, over a pool or within a transaction.
macro_rules! insert {
    ($entry:expr, $connection:expr) => {{
        let (kind, id, spared, up_to, until) = $crate::revocations::rows::columns($entry);
        sqlx::query($crate::revocations::rows::INSERT)
            .bind(kind)
            .bind(id)
            .bind(spared)
            .bind(up_to)
            .bind(until)
            .execute($connection)
            .await
            .map(drop)
    }};
}
pub(super) use insert;

/// `None` for a kind that a newer version may know.
fn entry(row: Row) -> Option<Entry> {
    let (kind, id, spared, up_to, until) = row;
    let before = unsigned(up_to);
    let revoked = match kind.as_str() {
        "token" => Revoked::Token { id },
        "session" => Revoked::Session { id },
        "user" => Revoked::User {
            id,
            before,
            except: (!spared.is_empty()).then_some(spared),
        },
        "all" => Revoked::All { before },
        _ => return None,
    };
    Some(Entry {
        revoked,
        until: unsigned(until),
    })
}

/// What sessions of a user must look like.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) roles: Vec<String>,
    pub(super) valid_after: u64,
    pub(super) logins_ended_at: u64,
    pub(super) spared: Option<String>,
}

impl Revocations {
    /// Every entry that cannot be forgotten yet.
    pub(super) async fn living(&self, now: u64) -> Result<Vec<Entry>, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, Row>(LIVING)
                .bind(seconds(now))
                .fetch_all(pool))
        };
        let rows = self
            .database
            .call(operation("SELECT"), None, statement)
            .await?;
        Ok(rows.into_iter().filter_map(entry).collect())
    }

    /// Entries that were not carried out, the oldest first, and how many there are in all.
    pub(super) async fn pending(&self) -> Result<(Vec<Entry>, i64), DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                let rows = sqlx::query_as::<_, Row>(PENDING).bind(BATCH).fetch_all(pool).await?;
                if rows.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                    return Ok((rows, count));
                }
                let (count,) = sqlx::query_as::<_, (i64,)>(PENDING_COUNT).fetch_one(pool).await?;
                Ok((rows, count))
            })
        };
        let (rows, count) = self
            .database
            .call(operation("SELECT"), None, statement)
            .await?;
        Ok((rows.into_iter().filter_map(entry).collect(), count))
    }

    /// Marks an entry as carried out.
    pub(super) async fn published(
        &self,
        entry: &Entry,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let (kind, id, spared, up_to, until) = columns(entry);
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(PUBLISHED)
                    .bind(kind)
                    .bind(id)
                    .bind(spared)
                    .bind(up_to)
                    .bind(until)
                    .execute(pool)
                    .await
                    .map(drop)
            })
        };
        self.database
            .call(operation("UPDATE"), trace, statement)
            .await
    }

    /// Has watermarks carried out again.
    pub(super) async fn again(&self, now: u64) -> Result<(), DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(AGAIN).bind(seconds(now)).execute(pool).await.map(drop)
            })
        };
        self.database
            .call(operation("UPDATE"), None, statement)
            .await
    }

    /// Removes what names only tokens that are over.
    pub(super) async fn forget(&self, now: u64) -> Result<(), DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(FORGET).bind(seconds(now)).execute(pool).await.map(drop)
            })
        };
        self.database
            .call(operation("DELETE"), None, statement)
            .await
    }

    /// Whether a login is one for tokens.
    pub(super) async fn is_family(
        &self,
        login: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, (i64,)>(IS_FAMILY)
                .bind(login)
                .fetch_one(pool))
        };
        let (found,) = self
            .database
            .call(operation("SELECT"), trace, statement)
            .await?;
        Ok(found > 0)
    }

    /// What sessions of a user must look like; `None` when there is no such user.
    pub(super) async fn standing(
        &self,
        user: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Standing>, DatabaseError> {
        type Row = (String, i64, i64, String);
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, Row>(STANDING)
                .bind(user)
                .fetch_optional(pool))
        };
        let row = self
            .database
            .call(super::users("SELECT"), trace, statement)
            .await?;
        Ok(
            row.map(|(roles, valid_after, logins_ended_at, spared)| Standing {
                roles: split_roles(&roles),
                valid_after: unsigned(valid_after),
                logins_ended_at: unsigned(logins_ended_at),
                spared: (!spared.is_empty()).then_some(spared),
            }),
        )
    }
}
