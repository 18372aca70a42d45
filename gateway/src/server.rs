//! From listeners to drain: accepts, hands connections to threads, ends in order.

pub(crate) mod client;
pub(crate) mod worker;

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use shared::{
    clock::Clock,
    shutdown::{CancellationToken, Drain},
    telemetry::{Identity, metrics::Metrics, trace::Tracing},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_util::task::TaskTracker;

use crate::{
    Config, Error, Listeners, Resolver, admin,
    config::{PoolConfig, Reuse, Timeouts},
    exchange::Exchange,
    metrics::{Families, Kept, PoolCollector},
    routes::RouteTable,
    upstream::{Pool, discovery::Discovery},
};
use worker::{Arrival, Seat};

/// How long to wait when the process has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// What all threads see.
pub(crate) struct Shared {
    pub(crate) routes: RouteTable,
    /// By route: the label of metrics and spans.
    pub(crate) route_labels: Vec<String>,
    /// By route: index of its pool.
    pub(crate) route_pools: Vec<usize>,
    /// By route: what exchanges its session ids.
    pub(crate) route_exchanges: Vec<Option<Arc<Exchange>>>,
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) reuse: Reuse,
    pub(crate) reuse_ticks: ReuseTicks,
    pub(crate) drain: Drain,
    pub(crate) trust_forwarded: bool,
    pub(crate) trust_trace: bool,
    pub(crate) tracing: Tracing,
    pub(crate) metrics: Metrics,
    pub(crate) families: Families,
    /// `/metrics` and `/pools` are on the admin listener only.
    pub(crate) admin_apart: bool,
    pub(crate) listen: SocketAddr,
    /// Not ready any more; answers end their connections.
    pub(crate) draining: AtomicBool,
    /// Open connections by thread.
    pub(crate) loads: Vec<AtomicUsize>,
}

/// [`Reuse`] in ticks of the threads' clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReuseTicks {
    pub(crate) idle: u64,
    pub(crate) max_age: u64,
}

/// Runs the gateway; see [`crate::run_with`].
pub(crate) async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
    resolver: Resolver,
) -> Result<(), Error> {
    let listener = tokio_listener(listeners.public)?;
    let admin = listeners.admin.map(tokio_listener).transpose()?;
    let shared = Arc::new(build(
        &config,
        listener.local_addr()?,
        admin.is_some(),
        clock,
    )?);
    let background = TaskTracker::new();
    let stop = CancellationToken::new();
    follow_pools(&config, &shared, resolver, &background, &stop)?;
    if let Some(admin) = admin {
        let serve = admin::serve(admin, Arc::clone(&shared), background.clone());
        background.spawn(stop.clone().run_until_cancelled_owned(serve));
    }
    let (threads, senders) = start_threads(&shared, config.threads)?;
    tracing::info!(listen = %shared.listen, threads = config.threads, "the gateway listens");

    let accepting = tokio::spawn(accept(
        listener,
        Arc::clone(&shared),
        senders,
        config.max_connections,
    ));

    shutdown.cancelled().await;
    // Whoever asks /readyz is to see it before the port is closed.
    shared.draining.store(true, Ordering::Relaxed);
    tokio::time::sleep(config.drain.grace).await;
    accepting.abort();
    // Cancelled, as asked; waiting for it makes sure that the port is closed.
    drop(accepting.await);
    finish(shared, threads, stop, background).await
}

/// Ends what runs, in order: connections, checks, export of spans.
async fn finish(
    shared: Arc<Shared>,
    threads: Vec<Thread>,
    stop: CancellationToken,
    background: TaskTracker,
) -> Result<(), Error> {
    let joined = tokio::task::spawn_blocking(move || {
        threads
            .into_iter()
            .map(|thread| {
                let ended = thread.join().map_err(|_| Error::Worker)?;
                ended.map_err(Error::Start)
            })
            .fold(Ok(()), Result::and)
    })
    .await
    .unwrap_or(Err(Error::Worker));
    stop.cancel();
    background.close();
    background.wait().await;
    let flush = tokio::task::spawn_blocking(move || shared.tracing.flush(shared.drain.timeout));
    // The flush has its own deadline; a panic in it must not hide how the gateway ended.
    drop(flush.await);
    joined
}

fn tokio_listener(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn build(
    config: &Config,
    listen: SocketAddr,
    admin_apart: bool,
    clock: Clock,
) -> Result<Shared, Error> {
    let identity = Identity {
        service: "gateway",
        version: env!("CARGO_PKG_VERSION"),
        instance: listen.to_string(),
    };
    let tracing = Tracing::start(config.telemetry.tracing.as_ref(), &identity)?;
    let metrics = Metrics::new(&identity);
    let families = Families::register(&metrics);
    let pools: Vec<Arc<Pool>> = config
        .pools
        .iter()
        .map(|PoolConfig { name, .. }| {
            let pool = Pool::new(name.clone(), families.pool(name), clock.clone());
            Arc::new(pool)
        })
        .collect();
    metrics.register(|registry| {
        registry.register_collector(Box::new(PoolCollector {
            pools: pools.clone(),
        }));
    });
    let routes = RouteTable::new(config.routes.clone());
    let pool_of = |name: &str| pools.iter().position(|pool| pool.name == name);
    let exchange = match &config.exchange {
        None => None,
        Some(settings) => {
            let pool = pool_of(&settings.pool).unwrap_or_default();
            Some((Arc::new(Exchange::new(settings, pool)?), &settings.routes))
        }
    };
    if let Some((exchange, _)) = &exchange {
        let exchange = Arc::clone(exchange);
        metrics.register(|registry| registry.register_collector(Box::new(Kept(exchange))));
    }
    Ok(Shared {
        route_labels: routes
            .iter()
            .map(|route| format!("{}/*", route.prefix.trim_end_matches('/')))
            .collect(),
        // The configuration's check has refused routes to unknown pools.
        route_pools: routes
            .iter()
            .map(|route| pool_of(&route.pool).unwrap_or_default())
            .collect(),
        route_exchanges: routes
            .iter()
            .map(|route| {
                let (exchange, prefixes) = exchange.as_ref()?;
                prefixes
                    .contains(&route.prefix)
                    .then(|| Arc::clone(exchange))
            })
            .collect(),
        routes,
        pools,
        timeouts: config.timeouts,
        reuse: config.reuse,
        reuse_ticks: ReuseTicks {
            idle: worker::ticks(config.reuse.idle),
            max_age: worker::ticks(config.reuse.max_age),
        },
        drain: config.drain,
        trust_forwarded: config.trust_forwarded,
        trust_trace: config.trust_trace,
        tracing,
        metrics,
        families,
        admin_apart,
        listen,
        draining: AtomicBool::new(false),
        loads: (0..config.threads).map(|_| AtomicUsize::new(0)).collect(),
    })
}

/// Starts discovery and health checks: the control plane.
fn follow_pools(
    config: &Config,
    shared: &Arc<Shared>,
    resolver: Resolver,
    background: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(config.health.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(config.reuse.idle)
        .build()?;
    let discovery = Arc::new(Discovery {
        resolver,
        refresh: config.dns_refresh,
        health: config.health.clone(),
        client,
        tasks: background.clone(),
        stop: stop.clone(),
    });
    for (pool, PoolConfig { members, .. }) in shared.pools.iter().zip(&config.pools) {
        Arc::clone(&discovery).start(Arc::clone(pool), members.clone());
    }
    Ok(())
}

type Thread = JoinHandle<std::io::Result<()>>;
type Senders = Vec<mpsc::UnboundedSender<Arrival>>;

fn start_threads(shared: &Arc<Shared>, count: usize) -> Result<(Vec<Thread>, Senders), Error> {
    let mut threads = Vec::with_capacity(count);
    let mut senders = Vec::with_capacity(count);
    for index in 0..count {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let shared = Arc::clone(shared);
        // The standard library's own source of unpredictable numbers, once a thread.
        let seed = RandomState::new().hash_one(index);
        threads.push(
            std::thread::Builder::new()
                .name(format!("gateway-{index}"))
                .spawn(move || worker::run(shared, arrivals, seed))?,
        );
        senders.push(sender);
    }
    Ok((threads, senders))
}

/// Accepts until aborted and hands each connection to the thread that has the fewest. Threads that
/// accepted for themselves would take what comes first: with a few busy clients one thread would
/// have most of the work and the other none.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    senders: Senders,
    max_connections: usize,
) {
    let seats = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, peer)| Ok((TcpStream::into_std(stream)?, peer))) {
            Ok((stream, peer)) => {
                let thread = least(&shared.loads);
                let seat = Seat::new(Arc::clone(&shared), thread, permit);
                // A thread ends only after this loop, or by a panic that `run` reports.
                drop(senders[thread].send(Arrival { stream, peer, seat }));
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

fn least(loads: &[AtomicUsize]) -> usize {
    let load = |index: &usize| loads[*index].load(Ordering::Relaxed);
    (0..loads.len()).min_by_key(load).unwrap_or_default()
}

/// Whether accepting failed because of one client that is already gone.
fn is_about_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionRefused
    )
}
