//! A transaction, and what becomes of its connection.

use std::ops::{Deref, DerefMut};

use sqlx::{Any, AnyConnection, AnyPool, pool::PoolConnection};

/// A transaction that writes. Without [`commit`](Self::commit) nothing of it is kept.
///
/// Only a connection whose transaction was committed or rolled back on purpose, and that said so,
/// goes back to the pool. After every other end, whichever error, deadline or caller who hung up
/// caused it, nobody here knows whether the database is still in the transaction: SQLite ends one by
/// itself when its disk is full, and a server goes on with one whose `BEGIN` was not waited for. On
/// such a connection later writes would be acknowledged and lost. So it is closed.
///
/// The driver's own transactions are not used: they count, and go on counting after an error that
/// ended the transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: PoolConnection<Any>,
    settled: bool,
}

impl Transaction {
    /// Begins with a statement of the database's own.
    pub(super) async fn begin(
        pool: &AnyPool,
        statement: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = Self {
            connection: pool.acquire().await?,
            settled: false,
        };
        transaction.run(statement).await?;
        Ok(transaction)
    }

    /// Keeps what was done.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: whether it was kept is unknown.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.run("COMMIT").await?;
        self.settled = true;
        Ok(())
    }

    /// Undoes what was done.
    ///
    /// # Errors
    ///
    /// The database did not confirm it; it is undone all the same.
    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.run("ROLLBACK").await?;
        self.settled = true;
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let run = sqlx::raw_sql(statement).execute(&mut *self.connection);
        run.await.map(drop)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.settled {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::{Connection, SqliteConnection, any::AnyPoolOptions};

    use super::*;

    const INSERT: &str = "INSERT INTO notes (text) VALUES (zeroblob(40000))";

    /// One connection, so that whatever is done to it meets the next caller.
    async fn pool(folder: &Path) -> AnyPool {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", folder.join("notes").display());
        let pool = AnyPoolOptions::new().max_connections(1).connect(&url);
        let pool = pool.await.unwrap();
        let prepare = "PRAGMA journal_mode = WAL; CREATE TABLE notes (text BLOB)";
        sqlx::raw_sql(prepare).execute(&pool).await.unwrap();
        pool
    }

    async fn begin(pool: &AnyPool) -> Transaction {
        Transaction::begin(pool, "BEGIN IMMEDIATE").await.unwrap()
    }

    async fn kept(folder: &Path) -> i64 {
        let url = format!("sqlite://{}", folder.join("notes").display());
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM notes");
        count.fetch_one(&mut other).await.unwrap()
    }

    #[tokio::test]
    async fn after_a_full_disk_what_is_committed_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path()).await;
        for round in 0..3 {
            let full = "PRAGMA max_page_count = 1";
            sqlx::raw_sql(full).execute(&pool).await.unwrap();
            let mut transaction = begin(&pool).await;
            let insert = sqlx::query(INSERT).execute(&mut *transaction).await;
            let error = insert.unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
            drop(transaction);

            let mut transaction = begin(&pool).await;
            let insert = sqlx::query(INSERT).execute(&mut *transaction);
            insert.await.unwrap();
            transaction.commit().await.unwrap();
            sqlx::query(INSERT).execute(&pool).await.unwrap();
            assert_eq!(kept(folder.path()).await, 2 * (round + 1));
        }
    }

    #[tokio::test]
    async fn one_that_is_left_holds_nothing_and_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path()).await;
        for left in [false, true] {
            let mut transaction = begin(&pool).await;
            let insert = sqlx::query(INSERT).execute(&mut *transaction);
            insert.await.unwrap();
            if left {
                drop(transaction);
            } else {
                transaction.rollback().await.unwrap();
            }
            assert_eq!(kept(folder.path()).await, 0);
            begin(&pool).await.rollback().await.unwrap();
        }
        let mut never_polled_to_its_end = Box::pin(begin(&pool));
        let poll = std::future::poll_fn(|context| {
            std::task::Poll::Ready(never_polled_to_its_end.as_mut().poll(context).is_ready())
        });
        poll.await;
        drop(never_polled_to_its_end);
        sqlx::query(INSERT).execute(&pool).await.unwrap();
        assert_eq!(kept(folder.path()).await, 1);
    }
}
