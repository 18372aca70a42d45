//! Revocations as rows, and the row's mark.

use std::sync::atomic::Ordering;

use shared::{
    revocation::{Entry, Revoked},
    session::Watermark,
};
use sqlx::{AnyConnection, FromRow};

use super::{Recorded, Revocations, TABLE};
use crate::{
    storage::{At, DatabaseError, UnixSeconds},
    users::{Generation, split_roles},
};

/// Rows that are read in one go.
const BATCH: i64 = 500;

/// A row that is there is raised by a later end only, and then must be published again.
const INSERT: &str = "INSERT INTO revocations \
     (kind, id, spared, up_to, generation, until, login, published) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, 0) \
     ON CONFLICT (kind, id, spared) DO UPDATE SET \
     up_to = CASE WHEN excluded.up_to > revocations.up_to THEN excluded.up_to \
     ELSE revocations.up_to END, \
     generation = CASE WHEN excluded.generation > revocations.generation \
     THEN excluded.generation ELSE revocations.generation END, \
     until = CASE WHEN excluded.generation > revocations.generation \
     AND excluded.until > revocations.until THEN excluded.until ELSE revocations.until END, \
     published = CASE WHEN excluded.generation > revocations.generation THEN 0 \
     ELSE revocations.published END \
     RETURNING kind, id, spared, up_to, generation, until, published";
const FIND: &str = "SELECT kind, id, spared, up_to, generation, until, published FROM revocations \
     WHERE kind = $1 AND id = $2 AND spared = ''";
/// In pages, by key: there may be a million.
const LIVING: &str = "SELECT kind, id, spared, up_to, generation, until, published FROM revocations \
     WHERE (kind, id, spared) > ($1, $2, $3) AND until > $5 ORDER BY kind, id, spared LIMIT $4";
const PENDING: &str = "SELECT kind, id, spared, up_to, generation, until, published FROM revocations \
     WHERE (kind, id, spared) > ($1, $2, $3) AND published = 0 ORDER BY kind, id, spared LIMIT $4";
const PENDING_COUNT: &str = "SELECT COUNT(*) FROM revocations WHERE published = 0";
/// A row that was raised meanwhile is another entry.
const PUBLISHED: &str = "UPDATE revocations SET published = 1 \
     WHERE kind = $1 AND id = $2 AND spared = $3 AND up_to = $4 AND generation = $5 AND until = $6";
/// Watermarks also end sessions, which a Redis that lost its memory may have brought back.
const REPEAT_WATERMARKS: &str = "UPDATE revocations SET published = 0 \
     WHERE kind IN ('user', 'all') AND until > $1";
/// What is pending stays: sessions in Redis live longer than tokens. In steps, since very many may run
/// out at once, and a call has a deadline.
const REMOVE_EXPIRED: &str = "DELETE FROM revocations WHERE (kind, id, spared) IN \
     (SELECT kind, id, spared FROM revocations \
     WHERE until <= $1 AND published = 1 AND kind <> 'all' LIMIT $2)";
pub(super) const IS_FAMILY: &str = "SELECT COUNT(*) FROM refresh_families WHERE id = $1";
const COUNT_TOKENS: &str = "SELECT COUNT(*) FROM revocations WHERE kind = 'token'";
const USER: &str = "SELECT roles, valid_after, generation, logins_ended_at, logins_generation, \
     spared_login FROM users WHERE id = $1";

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
    generation: Generation,
    until: UnixSeconds,
    published: i64,
}

impl Row {
    /// `None` for a kind of a newer version.
    fn entry(self) -> Option<Entry> {
        let id = self.id;
        let before = self.up_to.get();
        let generation = Some(self.generation.get()).filter(|generation| *generation > 0);
        let revoked = match self.kind.as_str() {
            "token" => Revoked::Token { id },
            "session" => Revoked::Session { id },
            "user" => Revoked::User {
                id,
                before,
                generation,
                except: Some(self.spared).filter(|spared| !spared.is_empty()),
            },
            "all" => Revoked::All { before, generation },
            _ => return None,
        };
        Some(Entry {
            revoked,
            until: self.until.get(),
        })
    }
}

/// What the columns of an entry's row hold.
struct Columns<'a> {
    id: &'a str,
    spared: &'a str,
    up_to: u64,
    generation: Option<u64>,
}

impl<'a> Columns<'a> {
    fn of(entry: &'a Entry) -> Self {
        let (id, spared, up_to, generation) = match &entry.revoked {
            Revoked::Token { id } | Revoked::Session { id } => (id.as_str(), None, 0, None),
            Revoked::User {
                id,
                before,
                generation,
                except,
            } => (id.as_str(), except.as_deref(), *before, *generation),
            Revoked::All { before, generation } => ("", None, *before, *generation),
        };
        Self {
            id,
            spared: spared.unwrap_or_default(),
            up_to,
            generation,
        }
    }

    fn generation(&self) -> Generation {
        Generation::from(Some(self.generation.unwrap_or_default()))
    }
}

/// Adds an entry as a row, of a token with its login.
pub(super) async fn insert(
    entry: &Entry,
    login: Option<&str>,
    connection: &mut AnyConnection,
) -> Result<Recorded, sqlx::Error> {
    let columns = Columns::of(entry);
    let row: Row = sqlx::query_as(INSERT)
        .bind(entry.revoked.kind())
        .bind(columns.id)
        .bind(columns.spared)
        .bind(UnixSeconds::from(columns.up_to))
        .bind(columns.generation())
        .bind(UnixSeconds::from(entry.until))
        .bind(login.unwrap_or_default())
        .fetch_one(connection)
        .await?;
    let is_published = row.published != 0;
    Ok(Recorded {
        entry: row.entry().unwrap_or_else(|| entry.clone()),
        is_published,
    })
}

/// The end of a login, if there is one.
pub(super) async fn end_of_login(
    login: &str,
    connection: &mut AnyConnection,
) -> Result<Option<Recorded>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(FIND)
        .bind("session")
        .bind(login)
        .fetch_optional(connection)
        .await?;
    Ok(row.and_then(|row| {
        let is_published = row.published != 0;
        let entry = row.entry()?;
        Some(Recorded {
            entry,
            is_published,
        })
    }))
}

/// What the sessions of a user must be like.
#[derive(Debug)]
pub(super) struct UserState {
    pub(super) roles: Vec<String>,
    /// Since when the roles are these.
    pub(super) roles_since: Watermark,
    /// Which logins have ended.
    pub(super) ended: Watermark,
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
        let columns = Columns::of(entry);
        let statement = sqlx::query(PUBLISHED)
            .bind(entry.revoked.kind())
            .bind(columns.id)
            .bind(columns.spared)
            .bind(UnixSeconds::from(columns.up_to))
            .bind(columns.generation())
            .bind(UnixSeconds::from(entry.until))
            .execute(self.database.pool());
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

    /// Counts the tokens that are revoked one by one.
    pub(super) async fn count_tokens(&self) -> Result<(), DatabaseError> {
        let statement = sqlx::query_scalar(COUNT_TOKENS).fetch_one(self.database.pool());
        let count = self.database.call("SELECT", TABLE, None, statement).await?;
        self.tokens.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Removes what names only tokens that are over.
    pub(super) async fn remove_expired(&self, now: UnixSeconds) -> Result<(), DatabaseError> {
        let database = &self.database;
        database
            .in_batches("DELETE", TABLE, REMOVE_EXPIRED, &[now])
            .await
            .map(drop)
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
        type Columns = (
            String,
            UnixSeconds,
            Generation,
            UnixSeconds,
            Generation,
            String,
        );
        let statement = sqlx::query_as(USER)
            .bind(user)
            .fetch_optional(self.database.pool());
        let database = &self.database;
        let row: Option<Columns> = database
            .call("SELECT", "users", at.trace, statement)
            .await?;
        let watermark = |before: UnixSeconds, generation: Generation| Watermark {
            before: before.get(),
            generation: generation.get(),
        };
        Ok(row.map(
            |(roles, valid_after, generation, ended_at, ended_generation, spared)| UserState {
                roles: split_roles(&roles),
                roles_since: watermark(valid_after, generation),
                ended: watermark(ended_at, ended_generation),
                spared: Some(spared).filter(|spared| !spared.is_empty()),
            },
        ))
    }
}
