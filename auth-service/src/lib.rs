//! The auth-service: users, logins, access tokens, sessions and the key set.
//!
//! [`run`] is the whole service as a function of its configuration, a bound listener, a clock and
//! a token that ends it. `main` and the tests call it alike.
//!
//! | module | holds |
//! | --- | --- |
//! | [`config`] | the variables, checked whole |
//! | [`administrator`] | the user that is made at the start |
//! | [`clients`] | who may use the endpoints of OAuth for more than a login of its own |
//! | [`credentials`] | what a username and a password may be |
//! | [`storage`], [`users`], [`refresh`], [`codes`] | SQLite or PostgreSQL; users; refresh tokens; authorization codes |
//! | [`limits`] | what limits guessing of passwords |
//! | [`scope`] | what a client asks to be given of its user |
//! | [`revocations`] | what ends before its time |
//! | [`passwords`] | Argon2id, off the async threads, a bounded number at a time |
//! | [`keys`], [`issuer`] | signing keys; the only signer of tokens and maker of sessions |
//! | `readiness` | what is missing to answer, for `/readyz` and the log |
//! | [`http`] | the handlers, and what their failures look like |

pub mod administrator;
pub mod clients;
pub mod codes;
pub mod config;
pub mod credentials;
pub mod http;
pub mod issuer;
pub mod keys;
pub mod limits;
mod list;
pub mod metrics;
pub mod passwords;
mod random;
mod readiness;
pub mod refresh;
pub mod revocations;
pub mod scope;
pub mod storage;
pub mod users;

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use shared::{
    background::supervised,
    clock::Clock,
    listen,
    server::{Listeners, Worker, serve},
    session::SessionStore,
    shutdown::Shutdown,
    telemetry::{
        Identity,
        metrics::Metrics,
        trace::{ExporterError, Tracing},
    },
};
use tokio::task::JoinSet;

pub use self::config::Config;
use self::{
    administrator::AdministratorError,
    codes::AuthorizationCodes,
    issuer::Issuer,
    keys::{KeyError, KeyRing},
    limits::LoginLimits,
    metrics::AuthMetrics,
    passwords::{HashError, Passwords},
    readiness::Readiness,
    refresh::RefreshTokens,
    revocations::{Reconciler, Revocations},
    storage::{Database, OpenError, UnixSeconds},
    users::Users,
};

/// How often what is over is removed from the database: logins, codes, limits, and what was sealed
/// for clients that could still ask again.
const REMOVE_INTERVAL: Duration = Duration::from_secs(60);

/// The longest that connections to the database may take to be closed at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// The service did not start, or ended in a way it should not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The signing keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The user store at the start.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The data folder cannot be made.
    #[error(
        "the data folder {folder} cannot be made: {source}; \
         make its parent writable for this user or set AUTH_DATA_DIR"
    )]
    DataFolder {
        /// The folder.
        folder: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Password hashing.
    #[error("passwords cannot be hashed: {0}; check AUTH_ARGON2_MEMORY_KIB")]
    Passwords(#[from] HashError),
    /// The administrator.
    #[error(transparent)]
    Administrator(#[from] AdministratorError),
    /// Traces.
    #[error(transparent)]
    Exporter(#[from] ExporterError),
    /// The admin address cannot be listened on.
    #[error("cannot listen on {address}: {source}; set AUTH_ADMIN_LISTEN to a free address")]
    AdminBind {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The listener or the server.
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
}

/// Serves until `shutdown` has begun and the drain is over.
///
/// # Errors
///
/// Something that the service cannot start without is missing; the text says what to do.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: impl Into<Shutdown>,
) -> Result<(), Error> {
    let listeners = Listeners {
        public: listener,
        admin: admin_listener(config.admin_listen)?,
    };
    let address = listeners.public.local_addr()?;
    let (version, instance) = (env!("CARGO_PKG_VERSION"), Identity::instance_at(address));
    let identity = config.telemetry.identity("auth-service", version, instance);
    let tracing = Tracing::start(config.telemetry.tracing.as_ref(), &identity)?;
    let metrics = Metrics::new(&identity);
    tracing.observe(&metrics);
    let auth_metrics = AuthMetrics::default();
    auth_metrics.register(&metrics);

    let parts = Parts::open(&config, &auth_metrics, &clock).await?;
    parts.issuer.keys().register(&clock, &metrics);
    let mut tasks = parts.spawn_tasks(&config, &clock, &metrics);
    let (issuer, database) = (parts.issuer.clone(), parts.database.clone());
    let signing = issuer.keys().signing(issuer.now());
    tracing::info!(
        %address,
        algorithm = config.algorithm.name(),
        kid = signing.as_ref().map_or("unknown", |key| key.kid()),
        "serving"
    );
    database.serve();
    let server = config.server;
    let worker = move || {
        let state = parts.state(&config, &auth_metrics);
        let (parts, sessions) = (parts.clone(), state.sessions.clone());
        let readiness = move || {
            let (parts, sessions) = (parts.clone(), sessions.clone());
            async move {
                let Parts {
                    database, issuer, ..
                } = &parts;
                parts.readiness.missing(database, issuer, &sessions).await
            }
        };
        Worker {
            routes: Box::new(move |routes| http::configure(routes, state)),
            readiness: Rc::new(move || Box::pin(readiness())),
        }
    };
    let outcome = serve(listeners, server, tracing, metrics, shutdown, worker).await;
    tasks.shutdown().await;
    // A statement that waits for a database that is silent must not hold up the end.
    drop(tokio::time::timeout(CLOSE_TIMEOUT, database.close()).await);
    Ok(outcome?)
}

/// Restores the administrator of the configuration in the database, also beside services that run:
/// they publish what it ended.
///
/// # Errors
///
/// It could not be done; the text says what to do.
pub async fn restore_administrator(config: Config, clock: &Clock) -> Result<(), Error> {
    make_data_folder(&config.data_dir)?;
    let passwords = Passwords::new(&config.hashing, AuthMetrics::default())?;
    let database = Database::open(&config.database).await?;
    let users = Users::new(database.clone());
    let revocations = Revocations::new(database.clone(), config.longest_token());
    if let Some(administrator) = config.administrator {
        let now = UnixSeconds::now(clock);
        administrator
            .restore(&users, &passwords, &revocations, now)
            .await?;
    }
    database.close().await;
    Ok(())
}

fn admin_listener(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Error> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = listen::bind(address);
    listener
        .map(Some)
        .map_err(|source| Error::AdminBind { address, source })
}

/// What a service is made of. Cheap to clone.
#[derive(Clone)]
struct Parts {
    database: Database,
    users: Users,
    passwords: Passwords,
    issuer: Issuer,
    refresh_tokens: RefreshTokens,
    codes: AuthorizationCodes,
    revocations: Revocations,
    limits: LoginLimits,
    readiness: Arc<Readiness>,
}

impl Parts {
    async fn open(config: &Config, metrics: &AuthMetrics, clock: &Clock) -> Result<Self, Error> {
        let now = UnixSeconds::now(clock);
        make_data_folder(&config.data_dir)?;
        let passwords = Passwords::new(&config.hashing, metrics.clone())?;
        let database = Database::open(&config.database).await?;
        let keys = KeyRing::open(&config.keys, config.algorithm, &database, now).await?;
        let users = Users::new(database.clone());
        if let Some(administrator) = config.administrator.clone() {
            administrator.make(&users, &passwords, now).await?;
        }
        Ok(Self {
            users,
            passwords,
            issuer: Issuer::new(keys, config.tokens.clone(), config.sessions, clock.clone()),
            refresh_tokens: RefreshTokens::new(
                database.clone(),
                config.refresh_grace,
                revocations::remembered_for(config.longest_token()),
            ),
            codes: AuthorizationCodes::new(database.clone()),
            revocations: Revocations::new(database.clone(), config.longest_token()),
            limits: LoginLimits::new(database.clone(), config.login_limits),
            readiness: Arc::default(),
            database,
        })
    }

    /// Starts what runs beside the requests.
    fn spawn_tasks(&self, config: &Config, clock: &Clock, metrics: &Metrics) -> JoinSet<()> {
        let reconciler = Reconciler::new(self.revocations.clone(), clock.clone(), metrics);
        let (store, keys) = (config.session_store.clone(), self.issuer.keys().clone());
        let (parts, clock) = (self.clone(), clock.clone());
        let of_keys = clock.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(supervised("reconciler", move || {
            reconciler.clone().run(store.clone())
        }));
        tasks.spawn(supervised("signing keys", move || {
            keys.clone().follow(of_keys.clone())
        }));
        tasks.spawn(supervised("removal", move || {
            remove_expired(parts.clone(), clock.clone())
        }));
        tasks
    }

    /// What the handlers of one thread work with.
    fn state(&self, config: &Config, metrics: &AuthMetrics) -> http::State {
        http::State {
            users: self.users.clone(),
            revocations: self.revocations.clone(),
            refresh_tokens: self.refresh_tokens.clone(),
            codes: self.codes.clone(),
            passwords: self.passwords.clone(),
            issuer: self.issuer.clone(),
            clients: config.clients.clone(),
            sessions: SessionStore::open(config.session_store.clone())
                .limited_to(config.sessions.most),
            metrics: metrics.clone(),
            limits: self.limits.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        }
    }
}

fn make_data_folder(folder: &std::path::Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::DataFolder {
            folder: folder.to_owned(),
            source,
        })
}

async fn remove_expired(parts: Parts, clock: Clock) {
    let mut interval = tokio::time::interval(REMOVE_INTERVAL);
    loop {
        interval.tick().await;
        let now = UnixSeconds::now(&clock);
        for (what, removed) in [
            ("logins", parts.refresh_tokens.remove_expired(now).await),
            ("authorization codes", parts.codes.remove_expired(now).await),
            ("login limits", parts.limits.remove_expired(now).await),
        ] {
            match removed {
                Ok(rows) => tracing::debug!(rows, "removed {what} that are over"),
                Err(error) => tracing::warn!(%error, "{what} that are over were not removed"),
            }
        }
    }
}
