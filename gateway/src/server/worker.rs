//! One thread of the data path and everything that only it touches.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc},
};
use tokio_util::task::TaskTracker;

use super::{
    addresses::{PerAddress, Place},
    connection,
};
use crate::{
    deadline::{Deadline, Progress, TICK, Ticks, Timeouts},
    forward::attempt::PoolClient,
    memory::{Level, Memory},
    proxy::{Proxy, ProxySettings},
    upstream::{idle::Reuse, pool::Pool},
};

/// Ticks between two looks at the idle connections.
const SWEEP_TICKS: u64 = 20;

/// What every thread is made of.
pub(crate) struct WorkerSettings {
    /// In the order of the configuration.
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) proxy: ProxySettings,
    pub(crate) timeouts: Timeouts,
    pub(crate) reuse: Reuse,
    /// How many connections one address may have open.
    pub(crate) per_address: PerAddress,
    pub(crate) memory: Arc<Memory>,
    /// How long open connections may take once no more arrive.
    pub(crate) drain_timeout: Duration,
}

/// An accepted connection on its way to a thread.
pub(super) struct Arrival {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
}

/// A connection's place among the open ones; counted until dropped.
pub(super) struct Seat {
    /// Open connections of the thread.
    load: Arc<AtomicUsize>,
    /// Open connections of all threads.
    open: Gauge,
    _permit: OwnedSemaphorePermit,
    /// Among those of its address.
    _place: Place,
}

impl Seat {
    pub(super) fn new(
        load: &Arc<AtomicUsize>,
        open: &Gauge,
        permit: OwnedSemaphorePermit,
        place: Place,
    ) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        open.inc();
        Self {
            load: Arc::clone(load),
            open: open.clone(),
            _permit: permit,
            _place: place,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.open.dec();
    }
}

/// State of one thread.
struct Worker {
    ticks: Rc<Ticks>,
    timeouts: Timeouts,
    pools: Vec<Rc<PoolClient>>,
    proxy: Rc<Proxy>,
    /// The open connections whose deadlines are watched.
    connections: RefCell<Vec<Weak<Progress>>>,
    /// No more requests on any connection.
    closing: Rc<Cell<bool>>,
    memory: Arc<Memory>,
}

impl Worker {
    fn new(settings: &WorkerSettings) -> Self {
        let ticks = Ticks::start();
        let (timeouts, reuse) = (settings.timeouts, settings.reuse);
        let client = |pool| PoolClient::new(Arc::clone(pool), timeouts, reuse, &ticks);
        let pools: Vec<_> = settings.pools.iter().map(client).map(Rc::new).collect();
        Self {
            proxy: Proxy::new(&settings.proxy, &pools),
            pools,
            timeouts,
            connections: RefCell::default(),
            closing: Rc::default(),
            memory: Arc::clone(&settings.memory),
            ticks,
        }
    }

    async fn serve(self: Rc<Self>, stream: std::net::TcpStream, peer: SocketAddr) {
        let registered = TcpStream::from_std(stream).and_then(|stream| {
            // An answer is written whole, so waiting to fill a packet would only add delay.
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        match registered {
            Ok(stream) => {
                let progress = Progress::new(
                    Rc::clone(&self.ticks),
                    self.timeouts,
                    Arc::clone(&self.memory),
                );
                let watched = Rc::downgrade(&progress);
                self.connections.borrow_mut().push(watched);
                let (proxy, closing) = (Rc::clone(&self.proxy), Rc::clone(&self.closing));
                connection::serve(proxy, progress, closing, stream, peer).await;
            }
            Err(error) => tracing::warn!(%error, "a connection could not be registered"),
        }
    }

    async fn keep_ticking(self: Rc<Self>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            self.tick();
        }
    }

    fn tick(&self) {
        let passed = self.ticks.advance();
        let level = self.memory.level();
        self.connections.borrow_mut().retain(|connection| {
            let open = connection.upgrade();
            if let Some(progress) = &open {
                progress.bear(level);
                if progress.is_late() || self.closing.get() {
                    progress.wake();
                }
            }
            open.is_some()
        });
        for pool in &self.pools {
            if passed > 0 {
                pool.tick(passed);
            }
            if level != Level::Easy {
                pool.idle().clear();
            } else if self.ticks.now() % SWEEP_TICKS < passed {
                pool.idle().sweep();
            }
        }
    }

    /// Ends connections after the answers that they owe.
    fn close(&self) {
        self.closing.set(true);
        for progress in self.connections.borrow().iter().filter_map(Weak::upgrade) {
            progress.wake();
        }
    }
}

/// Runs one thread of the data path until no more connections arrive and all have ended, or the
/// drain's deadline has passed.
///
/// # Errors
///
/// The operating system refused what a runtime needs, or the thread can watch no deadline any more.
pub(super) fn run(
    settings: &WorkerSettings,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Rc::new(Worker::new(settings));
        let mut ticking = tokio::task::spawn_local(Rc::clone(&worker).keep_ticking());
        let connections = TaskTracker::new();
        loop {
            let arrival = tokio::select! {
                biased;
                _ = &mut ticking => return Err(io::Error::other("nothing watches deadlines any more")),
                arrival = arrivals.recv() => arrival,
            };
            let Some(Arrival { stream, peer, seat }) = arrival else {
                break;
            };
            let serving = Rc::clone(&worker).serve(stream, peer);
            connections.spawn_local(async move {
                serving.await;
                drop(seat);
            });
        }
        worker.close();
        connections.close();
        let ended = tokio::time::timeout(settings.drain_timeout, connections.wait()).await;
        if ended.is_err() {
            tracing::warn!(
                open = connections.len(),
                "the drain's deadline passed; cutting open connections"
            );
        }
        for pool in &worker.pools {
            pool.idle().clear();
        }
        ticking.abort();
        Ok(())
    })
}
