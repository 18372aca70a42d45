//! The only public port: routes a path prefix to a pool of upstreams and balances over it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`config`] | what the environment may say |
//! | `routes` | prefix to pool, and the path that the upstream is asked for (pure) |
//! | `headers` | hop-by-hop removal and forwarding headers (pure) |
//! | `exchange` | session ids into tokens, on the routes that ask for it |
//! | `retry` | what may be sent again, and how much of it (pure) |
//! | `upstream` | pools: members, health, selection, discovery, connections |
//! | `proxy` | the life of a request, one function a phase |
//! | `server` | threads, client connections, deadlines, drain |
//! | `admin` | `/healthz`, `/readyz`, `/metrics`, `/pools` |
//!
//! The data path is one thread per core, each with its own runtime and its own connections to the
//! upstreams, so that a request never leaves the thread that read it. Everything that is not a
//! request (accepting, health checks, name lookups) runs on the caller's runtime.

mod admin;
pub mod config;
mod exchange;
mod headers;
mod metrics;
mod problems;
mod proxy;
mod retry;
mod routes;
mod server;
mod upstream;

use std::net::TcpListener;

use shared::{clock::Clock, listen, shutdown::CancellationToken};

pub use crate::{
    config::Config,
    upstream::discovery::{Lookup, Resolver, system_resolver},
};

/// Why the gateway could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The admin address cannot be listened on.
    #[error("cannot listen on {address}: {source}; set GATEWAY_ADMIN_LISTEN to a free address")]
    AdminBind {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A listener or a thread could not be set up.
    #[error("the gateway cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The client of the health checks could not be built.
    #[error("health checks cannot start: {0}")]
    HealthClient(#[from] reqwest::Error),
    /// The token endpoint's path or the client's name make no request.
    #[error("tokens cannot be asked for: {0}")]
    Exchange(#[from] http::Error),
    /// Spans cannot be exported.
    #[error(transparent)]
    Tracing(#[from] shared::telemetry::trace::ExporterError),
    /// A thread of the data path ended by a panic.
    #[error("a thread of the data path failed")]
    Worker,
}

/// The open sockets that a gateway serves.
#[derive(Debug)]
pub struct Listeners {
    /// Where clients come in.
    pub public: TcpListener,
    /// Where operators come in; without it they use the public one.
    pub admin: Option<TcpListener>,
}

/// Serves until `shutdown` is cancelled and the drain is over.
///
/// # Errors
///
/// Something could not be started; see [`Error`].
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let admin = match config.admin_listen {
        None => None,
        Some(address) => {
            Some(listen::bind(address).map_err(|source| Error::AdminBind { address, source })?)
        }
    };
    let listeners = Listeners {
        public: listener,
        admin,
    };
    run_with(config, listeners, clock, shutdown, system_resolver()).await
}

/// Like [`run`], with the sockets and the name resolution handed in.
///
/// # Errors
///
/// Something could not be started; see [`Error`].
pub async fn run_with(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
    resolver: Resolver,
) -> Result<(), Error> {
    server::run(config, listeners, clock, shutdown, resolver).await
}
