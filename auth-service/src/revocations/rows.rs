//! Revocations as rows, and the row's mark.

use shared::revocation::{Entry, Revoked};
use sqlx::{Any, AnyConnection, FromRow, any::AnyArguments, query::Query};

use super::{Revocations, TABLE};
use crate::{
    storage::{At, DatabaseError, UnixSeconds},
    users::split_roles,
};

/// Rows that are read in one go.
const BATCH: i64 = 500;

const INSERT: &str = "INSERT INTO revocations \
     (kind, id, spared, up_to, until, published) VALUES ($1, $2, $3, $4, $5, 0) \
     ON CONFLICT (kind, id, spared) DO UPDATE SET published = 0, \
     up_to = CASE WHEN excluded.up_to > revocations.up_to THEN excluded.up_to \
     ELSE revocations.up_to END, \
     until = CASE WHEN excluded.until > revocations.until THEN excluded.until \
     ELSE revocations.until END";
/// In pages, by key: there may be a million.
const LIVING: &str = "SELECT kind, id, spared, up_to, until FROM revocations \
     WHERE (kind, id, spared) > ($1, $2, $3) AND until > $5 ORDER BY kind, id, spared LIMIT $4";
const PENDING: &str = "SELECT kind, id, spared, up_to, until FROM revocations \
     WHERE (kind, id, spared) > ($1, $2, $3) AND published = 0 ORDER BY kind, id, spared LIMIT $4";
const PENDING_COUNT: &str = "SELECT COUNT(*) FROM revocations WHERE published = 0";
/// A row that was raised meanwhile is another entry.
const PUBLISHED: &str = "UPDATE revocations SET published = 1 \
     WHERE kind = $1 AND id = $2 AND spared = $3 AND up_to = $4 AND until = $5";
/// Watermarks also end sessions, which a Redis that lost its memory may have brought back.
const REPEAT_WATERMARKS: &str = "UPDATE revocations SET published = 0 \
     WHERE kind IN ('user', 'all') AND until > $1";
/// What is pending stays: sessions in Redis live longer than tokens.
const REMOVE_EXPIRED: &str =
    "DELETE FROM revocations WHERE until <= $1 AND published = 1 AND kind <> 'all'";
const IS_FAMILY: &str = "SELECT COUNT(*) FROM refresh_families WHERE id = $1";
const USER: &str =
    "SELECT roles, valid_after, logins_ended_at, spared_login FROM users WHERE id = $1";

/// Some entries, in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Whether none follows.
    pub(super) is_last: bool,
    /// The key of its last row.
    after: (String, String, String),
}

impl Page {
    fn of(rows: Vec<Row>) -> Self {
        let key = |row: &Row| (row.kind.clone(), row.id.clone(), row.spared.clone());
        Self {
            is_last: i64::try_from(rows.len()).is_ok_and(|rows| rows < BATCH),
            after: rows.last().map(key).unwrap_or_default(),
            entries: rows.into_iter().filter_map(Row::entry).collect(),
        }
    }
}

#[derive(FromRow)]
struct Row {
    kind: String,
    id: String,
    /// A login that goes on; empty for none.
    spared: String,
    up_to: UnixSeconds,
    until: UnixSeconds,
}

impl Row {
    /// `None` for a kind of a newer version.
    fn entry(self) -> Option<Entry> {
        let id = self.id;
        let before = self.up_to.get();
        let revoked = match self.kind.as_str() {
            "token" => Revoked::Token { id },
            "session" => Revoked::Session { id },
            "user" => Revoked::User {
                id,
                before,
                except: Some(self.spared).filter(|spared| !spared.is_empty()),
            },
            "all" => Revoked::All { before },
            _ => return None,
        };
        Some(Entry {
            revoked,
            until: self.until.get(),
        })
    }
}

/// A statement about the row of an entry.
fn of(sql: &'static str, entry: &Entry) -> Query<'static, Any, AnyArguments> {
    let (id, spared, up_to) = match &entry.revoked {
        Revoked::Token { id } | Revoked::Session { id } => (id.as_str(), None, 0),
        Revoked::User { id, before, except } => (id.as_str(), except.clone(), *before),
        Revoked::All { before } => ("", None, *before),
    };
    sqlx::query(sql)
        .bind(entry.revoked.kind())
        .bind(id.to_owned())
        .bind(spared.unwrap_or_default())
        .bind(UnixSeconds::from(up_to))
        .bind(UnixSeconds::from(entry.until))
}

/// Adds an entry as a row.
pub(super) async fn insert(
    entry: &Entry,
    connection: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    of(INSERT, entry).execute(connection).await.map(drop)
}

/// What the sessions of a user must be like.
#[derive(Debug)]
pub(super) struct UserState {
    pub(super) roles: Vec<String>,
    pub(super) valid_after: UnixSeconds,
    pub(super) logins_ended_at: UnixSeconds,
    pub(super) spared: Option<String>,
}

impl Revocations {
    /// The page of entries that cannot be forgotten yet which follows another.
    pub(super) async fn living(
        &self,
        after: &Page,
        now: UnixSeconds,
    ) -> Result<Page, DatabaseError> {
        self.page(LIVING, after, Some(now)).await
    }

    /// The page of entries that are not published which follows another.
    pub(super) async fn pending(&self, after: &Page) -> Result<Page, DatabaseError> {
        self.page(PENDING, after, None).await
    }

    /// How many entries are not published.
    pub(super) async fn count_pending(&self) -> Result<i64, DatabaseError> {
        let statement = sqlx::query_scalar(PENDING_COUNT).fetch_one(self.database.pool());
        self.database.call("SELECT", TABLE, None, statement).await
    }

    async fn page(
        &self,
        sql: &'static str,
        Page { after, .. }: &Page,
        now: Option<UnixSeconds>,
    ) -> Result<Page, DatabaseError> {
        let mut query = sqlx::query_as(sql)
            .bind(after.0.clone())
            .bind(after.1.clone())
            .bind(after.2.clone())
            .bind(BATCH);
        if let Some(now) = now {
            query = query.bind(now);
        }
        let statement = query.fetch_all(self.database.pool());
        let rows = self.database.call("SELECT", TABLE, None, statement).await?;
        Ok(Page::of(rows))
    }

    /// Marks an entry as published.
    pub(super) async fn mark_published(
        &self,
        entry: &Entry,
        at: At<'_>,
    ) -> Result<(), DatabaseError> {
        let statement = of(PUBLISHED, entry).execute(self.database.pool());
        let marked = self
            .database
            .call("UPDATE", TABLE, at.trace, statement)
            .await;
        marked.map(drop)
    }

    /// Makes watermarks pending again.
    pub(super) async fn repeat_watermarks(&self, now: UnixSeconds) -> Result<(), DatabaseError> {
        let statement = sqlx::query(REPEAT_WATERMARKS)
            .bind(now)
            .execute(self.database.pool());
        let repeated = self.database.call("UPDATE", TABLE, None, statement).await;
        repeated.map(drop)
    }

    /// Removes what names only tokens that are over.
    pub(super) async fn remove_expired(&self, now: UnixSeconds) -> Result<(), DatabaseError> {
        let statement = sqlx::query(REMOVE_EXPIRED)
            .bind(now)
            .execute(self.database.pool());
        let removed = self.database.call("DELETE", TABLE, None, statement).await;
        removed.map(drop)
    }

    /// Whether a login is one for tokens.
    pub(super) async fn is_family(&self, login: &str, at: At<'_>) -> Result<bool, DatabaseError> {
        let statement = sqlx::query_scalar(IS_FAMILY)
            .bind(login)
            .fetch_one(self.database.pool());
        let database = &self.database;
        let found: i64 = database.call("SELECT", TABLE, at.trace, statement).await?;
        Ok(found > 0)
    }

    /// What the sessions of a user must be like; `None` when there is no such user.
    pub(super) async fn user_state(
        &self,
        user: &str,
        at: At<'_>,
    ) -> Result<Option<UserState>, DatabaseError> {
        type Columns = (String, UnixSeconds, UnixSeconds, String);
        let statement = sqlx::query_as(USER)
            .bind(user)
            .fetch_optional(self.database.pool());
        let database = &self.database;
        let row: Option<Columns> = database
            .call("SELECT", "users", at.trace, statement)
            .await?;
        Ok(
            row.map(|(roles, valid_after, logins_ended_at, spared)| UserState {
                roles: split_roles(&roles),
                valid_after,
                logins_ended_at,
                spared: Some(spared).filter(|spared| !spared.is_empty()),
            }),
        )
    }
}
