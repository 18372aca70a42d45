//! One thread of the data path and everything that only it touches.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use prometheus_client::metrics::histogram::Histogram;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc},
};
use tokio_util::task::TaskTracker;

use super::{
    Shared,
    client::{self, Client},
};
use crate::{
    retry::Budget,
    upstream::{idle::IdleLinks, link::Link, select::Dice},
};

/// Resolution of all deadlines on the data path. One timer serves all connections of a thread, so
/// that a request sets none; a deadline is met late by up to this much, never early.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two looks at the idle connections.
const SWEEP_TICKS: u64 = 20;

/// An accepted connection on its way to a thread.
pub(crate) struct Arrival {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: std::net::SocketAddr,
    pub(crate) seat: Seat,
}

/// A connection's place among the open ones; counted until dropped.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    thread: usize,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    pub(crate) fn new(shared: Arc<Shared>, thread: usize, permit: OwnedSemaphorePermit) -> Self {
        shared.loads[thread].fetch_add(1, Ordering::Relaxed);
        shared.families.connections.inc();
        Self {
            shared,
            thread,
            _permit: permit,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.loads[self.thread].fetch_sub(1, Ordering::Relaxed);
        self.shared.families.connections.dec();
    }
}

/// State of one thread.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) links: IdleLinks,
    pub(crate) dice: Dice,
    /// One for each pool.
    pub(crate) budgets: Vec<RefCell<Budget>>,
    /// No more requests on any connection.
    pub(crate) closing: Cell<bool>,
    started: Instant,
    now: Cell<u64>,
    clients: RefCell<Vec<Weak<Client>>>,
    histograms: RefCell<Vec<Vec<Observed>>>,
}

/// A histogram that this thread has used.
struct Observed {
    method: &'static str,
    status: u16,
    histogram: Histogram,
}

impl Worker {
    fn new(shared: Arc<Shared>, seed: u64) -> Self {
        Self {
            links: IdleLinks::default(),
            dice: Dice::new(seed),
            budgets: shared
                .pools
                .iter()
                .map(|_| RefCell::new(Budget::new()))
                .collect(),
            closing: Cell::new(false),
            started: Instant::now(),
            now: Cell::new(0),
            clients: RefCell::default(),
            histograms: RefCell::default(),
            shared,
        }
    }

    /// The thread's clock, in ticks.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The tick by which at least `duration` will have passed.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        self.now.get() + ticks(duration)
    }

    pub(crate) fn max_idle(&self) -> usize {
        self.shared.reuse.max_idle
    }

    pub(crate) fn may_reuse(&self, link: &Link) -> bool {
        let now = self.now.get();
        now - link.born < self.shared.reuse_ticks.max_age
            && now - link.idle_since < self.shared.reuse_ticks.idle
    }

    pub(crate) fn register(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().push(Rc::downgrade(client));
    }

    /// Counts an answered request. `route` is an index into the route table, or one past its end.
    pub(crate) fn observe(
        &self,
        method: &'static str,
        route: usize,
        status: u16,
        started: Instant,
    ) {
        let seconds = started.elapsed().as_secs_f64();
        let mut routes = self.histograms.borrow_mut();
        if routes.len() <= route {
            routes.resize_with(route + 1, Vec::new);
        }
        let known = &mut routes[route];
        if let Some(seen) = known
            .iter()
            .find(|seen| seen.status == status && seen.method == method)
        {
            seen.histogram.observe(seconds);
            return;
        }
        let label = self
            .shared
            .route_labels
            .get(route)
            .map_or(Cow::Borrowed("unmatched"), |label| {
                Cow::Owned(label.clone())
            });
        let histogram = self.shared.metrics.request_histogram(method, label, status);
        histogram.observe(seconds);
        known.push(Observed {
            method,
            status,
            histogram,
        });
    }

    fn tick(&self) {
        let elapsed = self.started.elapsed().as_millis() / TICK.as_millis();
        let now = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let passed = now - self.now.get();
        self.now.set(now);
        self.clients.borrow_mut().retain(|client| {
            client.upgrade().is_some_and(|client| {
                client.look_at_deadline(now);
                true
            })
        });
        if passed > 0 {
            let seconds = TICK.as_secs_f64() * passed as f64;
            for budget in &self.budgets {
                budget.borrow_mut().pass(seconds);
            }
        }
        if now % SWEEP_TICKS < passed {
            self.links.sweep(self);
        }
    }

    fn wake_all(&self) {
        for client in self.clients.borrow().iter().filter_map(Weak::upgrade) {
            client.wake();
        }
    }
}

/// How many ticks make at least `duration`, wherever within a tick it begins.
pub(crate) fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(TICK.as_millis()) + 1).unwrap_or(u64::MAX / 2)
}

/// Runs one thread of the data path until no more connections arrive and all have ended, or the
/// drain's deadline has passed.
pub(crate) fn run(
    shared: Arc<Shared>,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    seed: u64,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        let drain = shared.drain;
        let worker = Rc::new(Worker::new(shared, seed));
        let ticking = tokio::task::spawn_local(keep_ticking(Rc::clone(&worker)));
        let connections = TaskTracker::new();
        while let Some(arrival) = arrivals.recv().await {
            let worker = Rc::clone(&worker);
            connections.spawn_local(async move {
                if let Some(stream) = admit(arrival.stream) {
                    client::serve(worker, stream, arrival.peer).await;
                }
                drop(arrival.seat);
            });
        }
        worker.closing.set(true);
        worker.wake_all();
        connections.close();
        if tokio::time::timeout(drain.timeout, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                open = connections.len(),
                "the drain's deadline passed; cutting open connections"
            );
        }
        worker.links.clear();
        ticking.abort();
    });
    Ok(())
}

fn admit(stream: std::net::TcpStream) -> Option<TcpStream> {
    let registered = TcpStream::from_std(stream).and_then(|stream| {
        // An answer is written whole, so waiting to fill a packet would only add delay.
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    registered
        .inspect_err(|error| tracing::warn!(%error, "a connection could not be registered"))
        .ok()
}

async fn keep_ticking(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        worker.tick();
    }
}
