//! The table of signing keys that all replicas share.

use sqlx::FromRow;

use crate::storage::{Database, DatabaseError, UnixSeconds};

const TABLE: &str = "signing_keys";

const ALL: &str = "SELECT generation, kid, algorithm, sealed, created_at, signs_from \
     FROM signing_keys ORDER BY generation";
/// Of two replicas that make the next generation at the same time one succeeds; one that decided
/// on it long ago does not, even if its generation has come and gone.
const ADD: &str = "INSERT INTO signing_keys \
     (generation, kid, algorithm, sealed, created_at, signs_from) \
     SELECT $1, $2, $3, $4, $5, $6 \
     WHERE COALESCE((SELECT MAX(generation) FROM signing_keys), 0) = $1 - 1 \
     ON CONFLICT (generation) DO NOTHING";
const REMOVE_BEFORE: &str = "DELETE FROM signing_keys WHERE generation < $1";

/// One key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(super) struct Row {
    /// Its place in the sequence of keys.
    pub(super) generation: i64,
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) sealed: String,
    pub(super) created_at: UnixSeconds,
    pub(super) signs_from: UnixSeconds,
}

/// Every key, in the order of their generations.
pub(super) async fn all(database: &Database) -> Result<Vec<Row>, DatabaseError> {
    let statement = sqlx::query_as(ALL).fetch_all(database.pool());
    database.call("SELECT", TABLE, None, statement).await
}

/// Adds a key, unless there is one of its generation.
pub(super) async fn add(database: &Database, row: &Row) -> Result<(), DatabaseError> {
    let statement = sqlx::query(ADD)
        .bind(row.generation)
        .bind(&row.kid)
        .bind(&row.algorithm)
        .bind(&row.sealed)
        .bind(row.created_at)
        .bind(row.signs_from)
        .execute(database.pool());
    let added = database.call("INSERT", TABLE, None, statement).await;
    added.map(drop)
}

/// Removes the generations before this one.
pub(super) async fn remove_before(
    database: &Database,
    generation: i64,
) -> Result<(), DatabaseError> {
    let statement = sqlx::query(REMOVE_BEFORE)
        .bind(generation)
        .execute(database.pool());
    let removed = database.call("DELETE", TABLE, None, statement).await;
    removed.map(drop)
}
