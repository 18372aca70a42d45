//! The connection to the user store: SQLite or PostgreSQL through one driver.
//!
//! Both take the same SQL text, so a statement is written once. Every call has a deadline and a
//! span, and every failure is one [`DatabaseError`], which means "cannot be decided": never an
//! answer about a user.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shared::telemetry::{
    metrics::calls,
    trace::{SpanKind, TraceHandle},
};
use sqlx::{AnyConnection, AnyPool, Connection, any::AnyPoolOptions, migrate::MigrateError};
use tokio::sync::Mutex;

use super::{
    condition::{Condition, Refusal},
    migrations::migrate,
    target::Target,
    time::UnixSeconds,
    transaction::Transaction,
};

/// Connections at a time. A login needs one for well under a millisecond.
const CONNECTIONS: u32 = 8;

/// Deadline of one call while the service starts, if that of requests is not longer: nobody waits
/// for an answer yet, and on a busy disk the first tables take many slow writes. Giving up earlier
/// would only start the same work again.
const PATIENCE_AT_START: Duration = Duration::from_secs(30);

/// Written at the time of asking, because what is written must change something to reach the disk.
const PROBE: &str = "INSERT INTO write_probe (id, written_at) VALUES (1, $1) \
     ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at";

/// Where users are and how long a call may take.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Which database.
    pub target: Target,
    /// Deadline of one call for a request, waiting for a connection included.
    pub timeout: Duration,
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
    Connect(#[from] DatabaseError),
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

/// Why requests that need the database would not be answered.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// It takes no writes.
    #[error(transparent)]
    Refuses(#[from] Refusal),
    /// It does not answer.
    #[error("it does not answer")]
    Silent(#[from] DatabaseError),
}

impl DatabaseError {
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Failed(error) => Refusal::of(error),
            Self::Timeout(_) => None,
        }
    }

    /// `error.type` of the span.
    fn kind(&self) -> &'static str {
        match self {
            Self::Failed(sqlx::Error::PoolTimedOut) | Self::Timeout(_) => "timeout",
            Self::Failed(sqlx::Error::Database(_)) => "database",
            Self::Failed(_) => "connection",
        }
    }
}

/// When a call is made, and below which span.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The time of the request.
    pub now: UnixSeconds,
    /// Its trace; `None` when it is not recorded.
    pub trace: Option<&'a TraceHandle>,
}

impl At<'_> {
    /// At this time, in no trace.
    #[must_use]
    pub fn untraced(now: UnixSeconds) -> Self {
        Self { now, trace: None }
    }
}

/// A pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: AnyPool,
    target: Arc<Target>,
    timeout: Duration,
    condition: Arc<Condition>,
    /// Who writes to SQLite, one after the other in the order of their coming. Its own way to wait for
    /// a lock is to sleep and look again, and who comes later may be faster for ever.
    writing: Option<Arc<Mutex<()>>>,
    /// Whether requests are answered: then a call has their deadline.
    serving: Arc<AtomicBool>,
}

impl Database {
    /// Connects and brings the tables up to date. Calls may take as long as a start may, until
    /// [`serve`](Self::serve) is called.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the database does not answer or refuses the migrations.
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let target = Arc::new(settings.target.clone());
        let patience = settings.timeout.max(PATIENCE_AT_START);
        target
            .make_file()
            .map_err(|(path, source)| OpenError::File { path, source })?;
        let options = target.options().map_err(DatabaseError::from)?;
        // A pool tries again until its time is over and then says only that; one connection by itself
        // says what is wrong.
        let probe = async { AnyConnection::connect_with(&options).await?.close().await };
        within(patience, probe).await?;

        let condition = Arc::new(Condition::default());
        let pool = |connections: u32, busy: Duration| {
            let (target, condition) = (Arc::clone(&target), Arc::clone(&condition));
            let remote = matches!(*target, Target::Postgres(_));
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(patience)
                .after_connect(move |connection, _| {
                    let target = Arc::clone(&target);
                    Box::pin(async move { target.prepare(connection, busy).await })
                })
                // The pool waits for an answer without a limit. One whose network forgot it would hold
                // its place for the quarter of an hour that the system takes to give it up.
                .after_release(move |connection, _| {
                    Box::pin(async move {
                        let ping = tokio::time::timeout(busy, connection.ping());
                        Ok(!remote || ping.await.is_ok_and(|answer| answer.is_ok()))
                    })
                })
                .before_acquire(move |_, about| {
                    let good = !condition.doubts(about.age);
                    Box::pin(async move { Ok(good) })
                })
                .connect_lazy_with(options.clone())
        };
        // Another process may be making the tables of the same file of SQLite; that is waited for,
        // whereas a request must not go on waiting for the file when its answer was given long ago.
        let first = pool(1, patience);
        migrate(&first).await?;
        first.close().await;
        let one_writer = matches!(*target, Target::Sqlite(_));
        Ok(Self {
            pool: pool(CONNECTIONS, settings.timeout),
            writing: one_writer.then(Arc::default),
            target,
            timeout: settings.timeout,
            condition,
            serving: Arc::default(),
        })
    }

    /// From now on calls have the deadline of requests, those of all clones.
    pub fn serve(&self) {
        self.serving.store(true, Ordering::Relaxed);
    }

    /// Whether requests would be answered now, also those that write. When nothing was seen of writes
    /// lately, a row is written.
    ///
    /// # Errors
    ///
    /// They would not.
    pub async fn ready(&self, now: UnixSeconds) -> Result<(), Unready> {
        let ping = sqlx::query("SELECT 1").execute(&self.pool);
        self.deadline(ping).await?;
        if let Some(believed) = self.condition.believed() {
            return Ok(believed?);
        }
        if self.condition.refuses()
            && let Some(statement) = self.target.make_room()
        {
            // Whether it helps is what the write will tell.
            let _ = self
                .deadline(sqlx::raw_sql(statement).execute(&self.pool))
                .await;
        }
        let probe = async {
            let mut transaction = self.begin().await?;
            let probe = sqlx::query(PROBE).bind(now);
            probe.execute(&mut *transaction).await?;
            transaction.commit().await
        };
        self.call("INSERT", "write_probe", None, probe)
            .await
            .map_err(|error| match error.refusal() {
                Some(refusal) => Unready::Refuses(refusal),
                None => Unready::Silent(error),
            })?;
        self.condition.written();
        Ok(())
    }

    /// Whether services on other machines can use the same database.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(*self.target, Target::Postgres(_))
    }

    /// Finishes what runs and closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that writes, within a [`call`](Self::call).
    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Transaction::begin(&self.pool, self.target.begin()).await
    }

    /// Where single statements run, each by itself. One that writes and gives rows is to be read to
    /// its end (`fetch_all`): SQLite commits it after the last row, and who stops before does not
    /// learn that it was not.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Runs a statement under the deadline and below a span of its own, which is called by the
    /// `operation` (`SELECT`, `INSERT`, `UPDATE` or `DELETE`) and the `table`.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        table: &'static str,
        trace: Option<&TraceHandle>,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatabaseError> {
        let mut span = trace.map(|trace| {
            let name = format!("{operation} {table}");
            let mut span = trace.child(name, SpanKind::Client, Vec::new());
            span.set("db.system.name", self.target.system());
            span.set("db.operation.name", operation);
            span.set("db.collection.name", table);
            span
        });
        let statement = async {
            let _turn = match &self.writing {
                Some(writing) if operation != "SELECT" => Some(writing.lock().await),
                _ => None,
            };
            statement.await
        };
        let began = Instant::now();
        let outcome = self.deadline(statement).await;
        let failed = outcome.as_ref().err().map(DatabaseError::kind);
        calls::observe(self.target.system(), operation, failed, began.elapsed());
        if let Err(error) = &outcome {
            if let Some(span) = &mut span {
                span.fail(error.kind());
            }
            if let Some(refusal) = error.refusal() {
                self.condition.refuse(refusal);
            }
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
            self.timeout.max(PATIENCE_AT_START)
        };
        within(deadline, statement).await
    }
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
