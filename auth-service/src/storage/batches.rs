//! Statements that change any number of rows, a bounded number at a time.

use super::database::{Database, DatabaseError};

/// Rows of one statement: they take a few milliseconds, for which whoever else writes to SQLite waits.
const BATCH: u32 = 500;

impl Database {
    /// Runs a statement again and again, until it changes fewer rows than it may. Its last parameter
    /// is how many that are, and those before it are `times`. However many rows there are, no call
    /// takes longer than its deadline for it. How many changed.
    pub(crate) async fn in_batches<T>(
        &self,
        operation: &'static str,
        table: &'static str,
        statement: &'static str,
        times: &[T],
    ) -> Result<u64, DatabaseError>
    where
        T: Copy + Send + Sync + for<'q> sqlx::Encode<'q, sqlx::Any> + sqlx::Type<sqlx::Any>,
    {
        let mut changed = 0;
        loop {
            let query = times
                .iter()
                .fold(sqlx::query(statement), |query, time| query.bind(*time));
            let batch = query.bind(i64::from(BATCH)).execute(self.pool());
            let rows = self.call(operation, table, None, batch).await?;
            changed += rows.rows_affected();
            if rows.rows_affected() < u64::from(BATCH) {
                return Ok(changed);
            }
        }
    }
}
