//! The only public port: routes a path prefix to a pool of upstreams and balances over it.
//!
//! A request is followed through four files, forward only:
//!
//! 1. `server/connection`: hyper reads it from the client's socket, on one of the threads;
//! 2. `proxy`: it is admitted, routed, prepared for the upstream; its answer is passed on;
//! 3. `forward/attempt`: an upstream is chosen, asked, and another one when that failed;
//! 4. `upstream/connection`: the connection that it goes out on.
//!
//! Modules import each other from the bottom of this table to its top only:
//!
//! | module | holds |
//! | --- | --- |
//! | `headers`, `hops`, `operations`, `problem`, `routes` | hop-by-hop removal and forwarding headers; `Max-Forwards` and `Via`; paths that are not forwarded; answers of our own; prefix to route |
//! | [`memory`] | what fits into the memory limit, and what is given up before it is reached |
//! | `tasks` | what must not end before the gateway does |
//! | `deadline` | clock of a thread, progress of a client's connection |
//! | `upstream` | pools: members, health, selection, discovery, connections, metrics |
//! | `forward` | attempts at a pool, what may be sent again, spans, the answer's body |
//! | `front_page` | `/`, where no route takes it |
//! | `exchange` | session ids into tokens, on the routes that ask for it |
//! | `admin` | `/healthz`, `/readyz`, `/metrics`, `/pools` |
//! | `proxy` | the life of a request, one function a phase |
//! | `server` | accepts, hands connections to threads, watches their deadlines |
//! | [`config`] | what the environment may say |
//!
//! The data path is one thread per core, each with its own runtime and its own connections to the
//! upstreams, so that a request never leaves the thread that read it. Everything that is not a
//! request (accepting, health checks, name lookups) runs on the caller's runtime.

mod admin;
pub mod config;
mod deadline;
mod exchange;
mod forward;
mod front_page;
mod headers;
mod hops;
pub mod memory;
mod operations;
mod problem;
mod proxy;
mod routes;
mod server;
mod tasks;
mod upstream;

use std::{net::TcpListener, sync::Arc, time::Duration};

use shared::{
    clock::Clock,
    listen,
    resources::{self, MemoryLimit},
    shutdown::{CancellationToken, Shutdown},
    telemetry::{
        Identity,
        metrics::Metrics,
        trace::{Tracing, Unasked},
    },
};
use tokio::sync::mpsc;

use crate::{
    admin::Admin,
    config::PoolConfig,
    exchange::{Exchange, metrics::ExchangeMetrics},
    forward::spans::Tracer,
    front_page::{FrontPage, FrontPageSettings},
    memory::{DoesNotFit, Memory},
    proxy::ProxySettings,
    server::{
        accept::{Acceptor, Thread},
        worker::WorkerSettings,
    },
    tasks::Tasks,
    upstream::{check, discovery::Discovery, metrics::PoolCollector, pool::Pool},
};
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
    #[error("the gateway cannot run: {0}")]
    Start(#[from] std::io::Error),
    /// What is configured needs more than there is.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The client of the health checks could not be built.
    #[error("health checks cannot start: {0}")]
    HealthClient(#[from] reqwest::Error),
    /// Spans cannot be exported.
    #[error(transparent)]
    Tracing(#[from] shared::telemetry::trace::ExporterError),
    /// A thread or a task that the gateway cannot do without panicked, which it told on stderr.
    #[error("a part of the gateway failed that it cannot do without")]
    Failed,
}

/// The longest that the pools may take to be looked at before clients are let in.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The open sockets that a gateway serves.
#[derive(Debug)]
pub struct Listeners {
    /// Where clients come in.
    pub public: TcpListener,
    /// Where operators come in; without it they use the public one.
    pub admin: Option<TcpListener>,
}

/// Serves until `shutdown` has begun and the drain is over.
///
/// # Errors
///
/// Something could not be started; see [`Error`].
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: impl Into<Shutdown>,
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
    shutdown: impl Into<Shutdown>,
    resolver: Resolver,
) -> Result<(), Error> {
    let shutdown = shutdown.into();
    let listener = tokio_listener(listeners.public)?;
    let admin_listener = listeners.admin.map(tokio_listener).transpose()?;
    let listen = listener.local_addr()?;
    let (version, instance) = (env!("CARGO_PKG_VERSION"), Identity::instance_at(listen));
    let identity = config.telemetry.identity("gateway", version, instance);
    let spans = Tracing::start(config.telemetry.tracing.as_ref(), &identity)?;
    let metrics = Metrics::new(&identity);
    spans.observe(&metrics);
    let tasks = Tasks::default();
    let (pools, looked) = follow_pools(&config, &clock, resolver, &tasks)?;
    let collector = Box::new(PoolCollector(pools.clone()));
    metrics.register(|registry| registry.register_collector(collector));
    let (memory, apart) = (Memory::new(&metrics), admin_listener.is_some());
    let admin = Admin::new(
        pools.clone(),
        metrics.clone(),
        Arc::clone(&memory),
        config.health.clone(),
        Unasked::new(&spans),
        apart,
    );
    if let Some(listener) = admin_listener {
        tasks.spawn(admin::serve(listener, Arc::clone(&admin), tasks.clone()));
    }
    let tracer = Tracer {
        tracing: spans.clone(),
        trusted: config.trust_trace,
        listen,
    };
    let drain = config.drain;
    let addresses = config.front_page.as_ref().map(FrontPageSettings::addresses);
    let count = config.threads;
    metrics.worker_threads(count);
    let most = permit_connections(&config, &memory, &tasks)?;
    let settings = data_path(config, pools, &admin, &metrics, memory, tracer);
    let settings = Arc::new(settings);
    let (acceptor, threads) = Acceptor::start(&settings, count, most, &metrics, &tasks)?;
    let closing = CancellationToken::new();
    tokio::select! {
        () = look_at_pools(looked) => {}
        () = shutdown.begun() => {}
    }
    admin.accept();
    tracing::info!(%listen, threads = count, addresses, "the gateway listens");
    let accepting = acceptor.run(listener, closing.clone());
    let failed = accept_until(accepting, &closing, &shutdown, &tasks, async |failed| {
        admin.drain();
        spans.begin_flush();
        if !failed {
            // Whoever asks /readyz is to see it before the port is closed, and who believes an old
            // list of addresses is to be answered.
            shutdown.grace(drain.grace).await;
        }
    })
    .await;
    let joined = join(threads).await;
    tasks.end().await;
    spans.finish().await;
    joined.and(if failed { Err(Error::Failed) } else { Ok(()) })
}

/// Accepts until `shutdown` and the `farewell` after it, or until something is gone that the gateway
/// cannot do without; returns whether that was so. The port is closed then.
async fn accept_until(
    accepting: impl Future<Output = ()> + Send + 'static,
    closing: &CancellationToken,
    shutdown: &Shutdown,
    tasks: &Tasks,
    farewell: impl AsyncFnOnce(bool),
) -> bool {
    let mut accepting = tokio::spawn(accepting);
    let failed = tokio::select! {
        () = shutdown.begun() => false,
        () = tasks.failed() => true,
        _ = &mut accepting => true,
    };
    if failed {
        tracing::error!("a part of the gateway failed; it ends, to be started anew");
    }
    farewell(failed).await;
    closing.cancel();
    // Waiting for it makes sure that the port is closed; it panics no worse than it has by now.
    if !accepting.is_finished() {
        drop(accepting.await);
    }
    failed
}

fn tokio_listener(listener: TcpListener) -> std::io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// Starts discovery and health checks: the control plane. The receiver ends when all pools were
/// looked at once.
fn follow_pools(
    config: &Config,
    clock: &Clock,
    resolver: Resolver,
    tasks: &Tasks,
) -> Result<(Vec<Arc<Pool>>, mpsc::Receiver<()>), Error> {
    let (first, looked) = mpsc::channel(1);
    let discovery = Arc::new(Discovery {
        resolver,
        refresh: config.dns_refresh,
        health: config.health.clone(),
        client: check::client(&config.health, config.reuse.idle)?,
        tasks: tasks.clone(),
    });
    let follow = |PoolConfig { name, members }: &PoolConfig| {
        let pool = Pool::new(name.clone(), clock.clone());
        discovery.start(Arc::clone(&pool), members.clone(), first.clone());
        pool
    };
    Ok((config.pools.iter().map(follow).collect(), looked))
}

/// Waits until it is known who is in the pools and how they are: the first clients would get a 503
/// that says no upstream is known, or a member that hangs. Meanwhile they wait in the listen queue.
async fn look_at_pools(mut looked: mpsc::Receiver<()>) {
    if tokio::time::timeout(FIRST_LOOK, looked.recv())
        .await
        .is_err()
    {
        tracing::warn!("not all pools could be looked at; clients are let in all the same");
    }
}

/// Lowers the number of connections to what fits, and has memory watched where it is limited.
fn permit_connections(
    config: &Config,
    memory: &Arc<Memory>,
    tasks: &Tasks,
) -> Result<usize, DoesNotFit> {
    let limit = match config.memory_limit {
        Some(bytes) => Some(MemoryLimit::own(bytes)),
        None => resources::memory_limit(),
    };
    let (wanted, files) = (config.max_connections, resources::raise_open_files());
    let tokens = config
        .exchange
        .as_ref()
        .map_or(0, |exchange| exchange.cache);
    let bytes = limit.as_ref().map(|limit| limit.bytes);
    let permitted = memory::permitted(wanted, tokens, bytes, files)?;
    let limit_mib = bytes.map(|bytes| bytes >> 20);
    if permitted < wanted {
        tracing::warn!(
            wanted,
            permitted,
            limit_mib,
            files,
            "fewer connections fit than GATEWAY_MAX_CONNECTIONS; more wait in the listen queue"
        );
    } else {
        tracing::info!(permitted, limit_mib, files, "all connections fit");
    }
    if let Some(limit) = limit {
        tasks.spawn(Arc::clone(memory).watch(limit));
    }
    Ok(permitted)
}

/// What the threads are made of.
fn data_path(
    config: Config,
    pools: Vec<Arc<Pool>>,
    admin: &Arc<Admin>,
    metrics: &Metrics,
    memory: Arc<Memory>,
    tracer: Tracer,
) -> WorkerSettings {
    let front_page = config.front_page.map(|settings| {
        let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
        FrontPage::new(&settings, &config.routes, &names)
    });
    let counters = ExchangeMetrics::register(metrics);
    let exchange = config
        .exchange
        .map(|settings| Exchange::new(settings, counters, metrics));
    WorkerSettings {
        pools,
        proxy: ProxySettings {
            routes: config.routes,
            front_page: front_page.map(Arc::new),
            exchange,
            admin: Arc::clone(admin),
            memory: Arc::clone(&memory),
            metrics: metrics.clone(),
            tracer,
            trusted_hops: config.trusted_hops,
        },
        timeouts: config.timeouts,
        reuse: config.reuse,
        per_address: config.per_address,
        memory,
        drain_timeout: config.drain.timeout,
    }
}

/// Waits for the threads of the data path; reports the first that failed.
async fn join(threads: Vec<Thread>) -> Result<(), Error> {
    let join = |thread: Thread| {
        let ended = thread.join().map_err(|_| Error::Failed)?;
        ended.map_err(Error::Start)
    };
    let joined = move || threads.into_iter().map(join).fold(Ok(()), Result::and);
    let joined = tokio::task::spawn_blocking(joined).await;
    joined.unwrap_or(Err(Error::Failed))
}
