//! A small API that knows its callers by token or by session, by configuration.
//!
//! One binary, any number of replicas, none of which matters for correctness. [`run`] is the whole
//! service. Modules import each other downwards only:
//!
//! | module | holds |
//! | --- | --- |
//! | [`config`] | what the environment says |
//! | [`http`] | routes and handlers; refusals become answers |
//! | [`strategies`] | a file for each way to know a caller |
//! | [`cart`] | data of a login: in its session, or carried by the client |
//! | [`auth`] | who is calling, or why that is not decided |

mod auth;
mod cart;
mod config;
mod http;
mod strategies;

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
};

use shared::{
    clock::Clock,
    listen,
    server::{self, Listeners, Worker},
    shutdown::{CancellationToken, Shutdown},
    telemetry::{Identity, metrics::Metrics, trace::ExporterError, trace::Tracing},
};

use self::{
    auth::Verdicts,
    http::Routes,
    strategies::{Process, Strategies},
};
pub use self::{
    cart::StateKeys,
    config::Config,
    http::LoginSettings,
    strategies::{
        AnswerProfile, Authorities, ClientError, Discovery, Dpop, Introspection, IssuerSettings,
        JwksSettings, Jwt, JwtRevocable, KeySource, Phantom, Required, Session, SessionCached,
        StrategyConfig, TokenSettings,
    },
};

/// The service could not start or was cut short.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Spans cannot be exported.
    #[error(transparent)]
    Exporter(#[from] ExporterError),
    /// An issuer or an authorization server could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The admin address cannot be listened on.
    #[error("cannot listen on {address}: {source}; set API_ADMIN_LISTEN to a free address")]
    AdminBind {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The listener failed.
    #[error("the listener: {0}")]
    Server(#[from] std::io::Error),
}

/// Serves on `listener` until `shutdown` has begun and the drain is over.
///
/// # Errors
///
/// The service could not start.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: impl Into<Shutdown>,
) -> Result<(), Error> {
    let address = listener.local_addr()?;
    let replica = config.replica;
    let replica = replica.unwrap_or_else(|| Identity::instance_at(address));
    let version = env!("CARGO_PKG_VERSION");
    let identity = config
        .telemetry
        .identity("api-service", version, replica.clone());
    let tracing = Tracing::start(config.telemetry.tracing.as_ref(), &identity)?;
    let metrics = Metrics::new(&identity);
    tracing.observe(&metrics);
    let verdicts = Verdicts::register(&metrics);
    // Not `shutdown`: requests that are answered during the drain still need fresh keys.
    let background = CancellationToken::new();
    let _stop_at_the_end = background.clone().drop_guard();
    let strategy = config.strategy.name();
    let strategies = Strategies::start(
        config.strategy,
        config.routes,
        Process::new(&clock, &metrics, &tracing, &background),
    )?;
    tracing::info!(strategy, %replica, %address, "api-service starts");
    let (settings, login) = (config.server, config.login);
    let listeners = Listeners {
        public: listener,
        admin: admin_listener(config.admin_listen)?,
    };
    server::serve(listeners, settings, tracing, metrics, shutdown, move || {
        let gates = Rc::new(strategies.open(&clock, &verdicts));
        let routes = Routes {
            gates: Rc::clone(&gates),
            replica: replica.clone(),
            login: login.clone(),
        };
        Worker {
            routes: Box::new(move |service| routes.configure(service)),
            readiness: Rc::new(move || {
                let gates = Rc::clone(&gates);
                Box::pin(async move { gates.missing().await })
            }),
        }
    })
    .await?;
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
