//! The connection to the user store: SQLite or PostgreSQL behind one door.
//!
//! Both take the same SQL text, so a statement is written once; `on_database!` runs it on
//! whichever is there. Every call has a deadline and a span, and every failure is one
//! [`DatabaseError`], which means "cannot be decided": never an answer about a user.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shared::telemetry::trace::{SpanKind, TraceHandle};
use sqlx::{
    Connection, PgConnection, PgPool, SqlitePool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Connections at a time. A login needs one for well under a millisecond.
const CONNECTIONS: u32 = 8;

/// Deadline of one call while the service starts, if that of requests is not longer: nobody waits
/// for an answer yet, and on a busy disk the first tables take many slow writes. Giving up earlier
/// would only start the same work again.
const PATIENCE_AT_START: Duration = Duration::from_secs(30);

/// Where users are and how long a call may take.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Which database.
    pub target: Target,
    /// Deadline of one call for a request, waiting for a connection included.
    pub timeout: Duration,
}

/// Which database.
#[derive(Clone)]
pub enum Target {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<PgConnectOptions>),
}

/// Shows no password: the options of a server may hold one.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(options) => f
                .debug_tuple("Postgres")
                .field(&options.get_host())
                .field(&options.get_port())
                .finish(),
        }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        // The text is never repeated in an error: it may hold a password.
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" => Err("names no file; write sqlite:PATH"),
                ":memory:" => Err("a database in memory forgets its users; write sqlite:PATH"),
                path if path.contains('?') => Err("sqlite:PATH takes no parameters"),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return PgConnectOptions::from_str(url)
                .map(|options| Self::Postgres(Box::new(options)))
                .map_err(
                    |_| "not a PostgreSQL URL such as postgres://user:password@host:5432/name",
                );
        }
        Err("must begin with sqlite: or postgres://")
    }
}

/// The database could not be opened at the start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or written.
    #[error(
        "the database file {path} cannot be opened: {source}; \
         make its folder writable for this user or set AUTH_DATA_DIR or AUTH_DATABASE_URL"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server cannot be reached or refuses us.
    #[error("the user store cannot be reached: {0}; check AUTH_DATABASE_URL and its database")]
    Connect(DatabaseError),
    /// The tables could not be made.
    #[error("the user store cannot be prepared: {0}; check AUTH_DATABASE_URL and its database")]
    Migrate(#[from] MigrateError),
}

/// The database gave no usable answer. Always means "cannot be decided".
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It failed or is not there.
    #[error("the user store failed: {0}")]
    Failed(#[from] sqlx::Error),
    /// No answer within the deadline.
    #[error("the user store did not answer within {0:?}")]
    Timeout(Duration),
}

impl DatabaseError {
    /// `error.type` of the span.
    fn kind(&self) -> &'static str {
        match self {
            Self::Failed(sqlx::Error::PoolTimedOut) | Self::Timeout(_) => "timeout",
            Self::Failed(sqlx::Error::Database(_)) => "database",
            Self::Failed(_) => "connection",
        }
    }
}

/// A pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) pool: Pool,
    timeout: Duration,
    /// Whether requests are answered: then a call has their deadline.
    serving: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What a statement is to a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub(crate) name: &'static str,
    /// The table.
    pub(crate) collection: &'static str,
}

/// Runs one expression with `$pool` bound to the pool of whichever database is there.
macro_rules! on_database {
    ($database:expr, $pool:ident => $body:expr) => {
        match &$database.pool {
            $crate::storage::Pool::Sqlite($pool) => $body.await,
            $crate::storage::Pool::Postgres($pool) => $body.await,
        }
    };
}
pub(crate) use on_database;

impl Database {
    /// Connects and brings the tables up to date. Calls may take as long as a start may, until
    /// [`serve`](Self::serve) is called.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the database does not answer or refuses the migrations.
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, OpenError> {
        let pool = match &settings.target {
            Target::Sqlite(path) => Pool::Sqlite(open_sqlite(path, settings.timeout).await?),
            Target::Postgres(options) => {
                Pool::Postgres(open_postgres(options, settings.timeout).await?)
            }
        };
        Ok(Self {
            pool,
            timeout: settings.timeout,
            serving: Arc::default(),
        })
    }

    /// From now on calls have the deadline of requests, those of all clones.
    pub fn serve(&self) {
        self.serving.store(true, Ordering::Relaxed);
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let ping = async {
            on_database!(self, pool => async {
                sqlx::query("SELECT 1").execute(pool).await.map(drop)
            })
        };
        self.deadline(ping).await
    }

    /// Whether services on other machines can use the same database.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Finishes what runs and closes all connections.
    pub async fn close(&self) {
        on_database!(self, pool => pool.close());
    }

    /// Runs one statement under the deadline and below a span of its own.
    pub(crate) async fn call<T>(
        &self,
        operation: Operation,
        trace: Option<&TraceHandle>,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatabaseError> {
        let mut span = trace.map(|trace| {
            let name = format!("{} {}", operation.name, operation.collection);
            let mut span = trace.child(name, SpanKind::Client, Vec::new());
            span.set("db.system.name", self.system());
            span.set("db.operation.name", operation.name);
            span.set("db.collection.name", operation.collection);
            span
        });
        let outcome = self.deadline(statement).await;
        if let (Err(error), Some(span)) = (&outcome, &mut span) {
            span.fail(error.kind());
        }
        outcome
    }

    async fn deadline<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatabaseError> {
        let deadline = if self.serving.load(Ordering::Relaxed) {
            self.timeout
        } else {
            at_start(self.timeout)
        };
        within(deadline, statement).await
    }

    /// The well-known `db.system.name` of the semantic conventions.
    fn system(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgresql",
        }
    }
}

fn at_start(timeout: Duration) -> Duration {
    timeout.max(PATIENCE_AT_START)
}

async fn within<T>(
    deadline: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DatabaseError> {
    match tokio::time::timeout(deadline, statement).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(DatabaseError::Timeout(deadline)),
    }
}

async fn open_postgres(options: &PgConnectOptions, timeout: Duration) -> Result<PgPool, OpenError> {
    let options = options.clone().application_name("auth-service");
    // The pool tries again until its time is over and then tells only that; one connection by
    // itself tells what is wrong.
    let probe = async { PgConnection::connect_with(&options).await?.close().await };
    within(at_start(timeout), probe)
        .await
        .map_err(OpenError::Connect)?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(at_start(timeout))
        .connect_lazy_with(options);
    MIGRATIONS.run(&pool).await?;
    Ok(pool)
}

async fn open_sqlite(path: &Path, timeout: Duration) -> Result<SqlitePool, OpenError> {
    // Made here and not by SQLite: it holds password hashes, so only its owner may read it, and
    // a folder that cannot be written is told as such. SQLite gives its side files the same mode.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::File {
            path: path.to_owned(),
            source,
        })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    let pool = |connections: u32, busy: Duration| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(at_start(timeout))
            .connect_lazy_with(options.clone().busy_timeout(busy))
    };
    // Another process may be making the tables of this file; that is waited for, whereas a request
    // must not go on waiting for the file when its answer is long given.
    let first = pool(1, at_start(timeout));
    MIGRATIONS.run(&first).await?;
    first.close().await;
    Ok(pool(CONNECTIONS, timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_a_server() {
        assert!(
            matches!("sqlite:users.db".parse(), Ok(Target::Sqlite(path)) if path == Path::new("users.db"))
        );
        assert!(
            matches!("sqlite:///var/users.db".parse(), Ok(Target::Sqlite(path)) if path == Path::new("/var/users.db"))
        );
        assert!(matches!(
            "postgres://a@b/c".parse(),
            Ok(Target::Postgres(_))
        ));
        for url in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
            "mysql://a/b",
            "users.db",
        ] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }

    #[test]
    fn an_error_about_a_url_does_not_repeat_its_password() {
        let error = "postgres://ada:opensesame@host:port/x"
            .parse::<Target>()
            .unwrap_err();
        assert!(!error.contains("opensesame"));
    }
}
