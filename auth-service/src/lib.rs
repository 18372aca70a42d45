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
//! | [`revocations`] | what ends before its time |
//! | [`passwords`] | Argon2id, off the async threads, a bounded number at a time |
//! | [`keys`], [`issuer`] | signing keys; the only signer of tokens and maker of sessions |
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
pub mod refresh;
pub mod revocations;
pub mod storage;
pub mod users;

use std::{net::TcpListener, rc::Rc, time::Duration};

use shared::{
    clock::Clock,
    server::{Missing, Worker, serve},
    session::SessionStore,
    shutdown::CancellationToken,
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
    refresh::RefreshTokens,
    revocations::{Reconciler, Revocations},
    storage::{Database, OpenError, UnixSeconds},
    users::Users,
};

/// How often what is over is removed from the database: logins, codes, limits, and what was sealed
/// for clients that could still ask again.
const REMOVE_INTERVAL: Duration = Duration::from_secs(60);

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
    /// The listener or the server.
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
}

/// Serves until `shutdown` is cancelled and the drain is over.
///
/// # Errors
///
/// Something that the service cannot start without is missing; the text says what to do.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let identity = Identity {
        service: "auth-service",
        version: env!("CARGO_PKG_VERSION"),
        instance: listener.local_addr()?.to_string(),
    };
    let tracing = Tracing::start(config.telemetry.tracing.as_ref(), &identity)?;
    let metrics = Metrics::new(&identity);
    let auth_metrics = AuthMetrics::default();
    auth_metrics.register(&metrics);

    make_data_folder(&config.data_dir)?;
    let passwords = Passwords::new(&config.hashing, auth_metrics.clone())?;
    let database = Database::open(&config.database).await?;
    let keys = KeyRing::open(
        &config.keys,
        config.algorithm,
        &database,
        UnixSeconds::now(&clock),
    )
    .await?;
    let users = Users::new(database.clone());
    let refresh_tokens = RefreshTokens::new(database.clone(), config.refresh_grace);
    let codes = AuthorizationCodes::new(database.clone());
    let longest = config.tokens.access_ttl.max(config.tokens.exchange_ttl);
    let revocations = Revocations::new(database.clone(), longest);
    let reconciler = Reconciler::new(revocations.clone(), clock.clone(), &metrics);
    let mut tasks = JoinSet::new();
    tasks.spawn(reconciler.run(config.session_store.clone()));
    if let Some(administrator) = config.administrator {
        let now = UnixSeconds::now(&clock);
        administrator.make(&users, &passwords, now).await?;
    }
    let limits = LoginLimits::new(database.clone(), config.login_limits);
    tasks.spawn(remove_expired(
        refresh_tokens.clone(),
        codes.clone(),
        limits.clone(),
        clock.clone(),
    ));
    tasks.spawn(keys.clone().follow(clock.clone()));
    let issuer = Issuer::new(keys, config.tokens, config.sessions, clock);

    let signing = issuer.keys().signing(issuer.now());
    tracing::info!(
        address = %identity.instance,
        algorithm = config.algorithm.name(),
        kid = signing.as_ref().map_or("unknown", |key| key.kid()),
        "serving"
    );
    database.serve();
    let closing = database.clone();
    let worker = move || {
        let state = http::State {
            users: users.clone(),
            revocations: revocations.clone(),
            refresh_tokens: refresh_tokens.clone(),
            codes: codes.clone(),
            passwords: passwords.clone(),
            issuer: issuer.clone(),
            clients: config.clients.clone(),
            sessions: SessionStore::open(config.session_store.clone()),
            metrics: auth_metrics.clone(),
            limits: limits.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        };
        let (database, issuer) = (database.clone(), issuer.clone());
        Worker {
            routes: Box::new(move |routes| http::configure(routes, state)),
            readiness: Rc::new(move || Box::pin(missing(database.clone(), issuer.clone()))),
        }
    };
    let outcome = serve(listener, config.server, tracing, metrics, shutdown, worker).await;
    tasks.shutdown().await;
    closing.close().await;
    Ok(outcome?)
}

/// Redis is not asked: token logins work without it.
async fn missing(database: Database, issuer: Issuer) -> Vec<Missing> {
    let mut missing = Vec::new();
    if let Err(error) = database.ping().await {
        tracing::warn!(%error, "not ready");
        missing.push(Missing {
            name: "database",
            reason: "it does not answer".to_owned(),
        });
    }
    if let Err(error) = issuer.keys().signing(issuer.now()) {
        tracing::warn!(%error, "not ready");
        missing.push(Missing {
            name: "keys",
            reason: error.to_string(),
        });
    }
    missing
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

async fn remove_expired(
    refresh_tokens: RefreshTokens,
    codes: AuthorizationCodes,
    limits: LoginLimits,
    clock: Clock,
) {
    let mut interval = tokio::time::interval(REMOVE_INTERVAL);
    loop {
        interval.tick().await;
        let now = UnixSeconds::now(&clock);
        for (what, removed) in [
            ("logins", refresh_tokens.remove_expired(now).await),
            ("authorization codes", codes.remove_expired(now).await),
            ("login limits", limits.remove_expired(now).await),
        ] {
            match removed {
                Ok(rows) => tracing::debug!(rows, "removed {what} that are over"),
                Err(error) => tracing::warn!(%error, "{what} that are over were not removed"),
            }
        }
    }
}
