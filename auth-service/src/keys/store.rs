//! The table of signing keys that all replicas share.

use crate::{
    storage::{Database, DatabaseError, Operation, on_database},
    users::seconds,
};

const ALL: &str = "SELECT generation, kid, algorithm, sealed, created_at, signs_from \
     FROM signing_keys ORDER BY generation";
/// Of two replicas that make the next generation at the same time one is let through; one that
/// decided on it long ago is not, even if its generation has come and gone.
const ADD: &str = "INSERT INTO signing_keys \
     (generation, kid, algorithm, sealed, created_at, signs_from) \
     SELECT $1, $2, $3, $4, $5, $6 \
     WHERE COALESCE((SELECT MAX(generation) FROM signing_keys), 0) = $1 - 1 \
     ON CONFLICT (generation) DO NOTHING";
const FORGET: &str = "DELETE FROM signing_keys WHERE generation < $1";

/// One key as it is kept. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) generation: u64,
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) sealed: String,
    pub(super) created_at: u64,
    pub(super) signs_from: u64,
}

/// Every key, in the order of their generations.
pub(super) async fn all(database: &Database) -> Result<Vec<Row>, DatabaseError> {
    type Columns = (i64, String, String, String, i64, i64);
    let statement =
        async { on_database!(database, pool => sqlx::query_as::<_, Columns>(ALL).fetch_all(pool)) };
    let rows = database.call(operation("SELECT"), None, statement).await?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let row = |(generation, kid, algorithm, sealed, created_at, signs_from)| Row {
        generation: unsigned(generation),
        kid,
        algorithm,
        sealed,
        created_at: unsigned(created_at),
        signs_from: unsigned(signs_from),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Adds a key, unless there is one of its generation.
pub(super) async fn add(database: &Database, row: &Row) -> Result<(), DatabaseError> {
    let statement = async {
        on_database!(database, pool => async {
            sqlx::query(ADD)
                .bind(seconds(row.generation))
                .bind(&row.kid)
                .bind(&row.algorithm)
                .bind(&row.sealed)
                .bind(seconds(row.created_at))
                .bind(seconds(row.signs_from))
                .execute(pool)
                .await
                .map(drop)
        })
    };
    database.call(operation("INSERT"), None, statement).await
}

/// Removes the generations before this one.
pub(super) async fn forget_before(
    database: &Database,
    generation: u64,
) -> Result<(), DatabaseError> {
    let statement = async {
        on_database!(database, pool => async {
            sqlx::query(FORGET).bind(seconds(generation)).execute(pool).await.map(drop)
        })
    };
    database.call(operation("DELETE"), None, statement).await
}

fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "signing_keys",
    }
}
