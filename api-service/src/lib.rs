//! A small API that knows its callers by token or by session, by configuration.
//!
//! One binary, any number of replicas, none of which matters for correctness. [`run`] is the whole
//! service; `verify` holds one file per strategy, `extract` is the only way from a request to a
//! principal, and `error` is the only way from a refusal to an answer.

mod carried;
mod cart;
mod config;
mod credential;
mod error;
mod extract;
mod keep;
mod known;
mod openapi;
mod routes;
mod servlet;
mod state;
mod verify;

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
};

use shared::{
    clock::Clock,
    server::{self, Worker},
    shutdown::CancellationToken,
    telemetry::{Identity, metrics::Metrics, trace::ExporterError, trace::Tracing},
};

pub use self::{
    config::{
        CachedSessionSettings, Config, IntrospectionSettings, JwksSettings, LoginSettings,
        RevocableTokenSettings, StrategyConfig, TokenSettings,
    },
    state::StateKeys,
};
use self::{
    extract::Gates,
    keep::Keeper,
    verify::{Strategies, Verdicts},
};

/// The service could not start or was cut short.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Spans cannot be exported.
    #[error(transparent)]
    Exporter(#[from] ExporterError),
    /// An HTTP client, for the key set or for introspection, could not be built.
    #[error("the HTTP client for API_JWKS_URL or API_INTROSPECTION_URL: {0}")]
    Client(#[from] reqwest::Error),
    /// The listener failed.
    #[error("the listener: {0}")]
    Server(#[from] std::io::Error),
}

/// Serves on `listener` until `shutdown` is cancelled and the drain is over.
///
/// # Errors
///
/// The service could not start.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let address = listener.local_addr()?;
    let replica = config.replica.unwrap_or_else(|| replica_name(address));
    let identity = Identity {
        service: "api-service",
        version: env!("CARGO_PKG_VERSION"),
        instance: replica.clone(),
    };
    let tracing = Tracing::start(config.telemetry.tracing.as_ref(), &identity)?;
    let metrics = Metrics::new(&identity);
    let verdicts = Verdicts::register(&metrics);
    // Not `shutdown`: requests that are answered during the drain still need fresh keys.
    let background = CancellationToken::new();
    let _stop_at_the_end = background.clone().drop_guard();
    let strategy = config.strategy.name();
    let strategies = Strategies::start(
        config.strategy,
        config.routes,
        &clock,
        &metrics,
        &background,
    )?;
    tracing::info!(strategy, %replica, %address, "api-service starts");
    let settings = config.server;
    let login = config.login;
    server::serve(listener, settings, tracing, metrics, shutdown, move || {
        let opened = Rc::new(strategies.for_this_thread());
        let gates = Gates {
            opened: Rc::clone(&opened),
            clock: clock.clone(),
            verdicts: verdicts.clone(),
            replica: replica.clone(),
            keeper: Rc::new(Keeper::of(&*opened.of(routes::CART), &login)),
            state_ttl: login.state_ttl,
        };
        let meaningless_cookie = login.meaningless_cookie;
        Worker {
            routes: Box::new(move |routes| routes::configure(routes, &gates, meaningless_cookie)),
            readiness: Rc::new(move || {
                let opened = Rc::clone(&opened);
                Box::pin(async move { opened.missing().await })
            }),
        }
    })
    .await?;
    Ok(())
}

/// The host's name tells containers apart, the port tells processes on one host apart.
fn replica_name(address: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => address.to_string(),
        host => format!("{host}:{}", address.port()),
    }
}
