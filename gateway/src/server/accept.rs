//! Accepts connections and hands each to a thread.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use shared::telemetry::metrics::Metrics;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

use super::worker::{self, Arrival, Seat, WorkerSettings};

/// How long to wait when the process has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// A thread of the data path, which ends when the [`Acceptor`] does.
pub(crate) type Thread = JoinHandle<io::Result<()>>;

/// Hands connections to threads.
pub(crate) struct Acceptor {
    threads: Vec<Entrance>,
    /// Open connections of all threads.
    open: Gauge,
    /// One for each connection that may be open at once.
    permits: Arc<Semaphore>,
}

/// The way to one thread.
struct Entrance {
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// Its open connections.
    load: Arc<AtomicUsize>,
}

impl Acceptor {
    /// Starts `count` threads for at most `most` connections.
    ///
    /// # Errors
    ///
    /// The operating system refused a thread.
    pub(crate) fn start(
        settings: &Arc<WorkerSettings>,
        count: usize,
        most: usize,
        metrics: &Metrics,
    ) -> io::Result<(Self, Vec<Thread>)> {
        let open = Gauge::default();
        metrics.register(|registry| {
            registry.register(
                "gateway_client_connections",
                "Open connections of clients",
                open.clone(),
            );
        });
        let mut threads = Vec::with_capacity(count);
        let mut running = Vec::with_capacity(count);
        for index in 0..count {
            let (sender, arrivals) = mpsc::unbounded_channel();
            let settings = Arc::clone(settings);
            running.push(
                std::thread::Builder::new()
                    .name(format!("gateway-{index}"))
                    .spawn(move || worker::run(&settings, arrivals))?,
            );
            threads.push(Entrance {
                arrivals: sender,
                load: Arc::default(),
            });
        }
        let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let acceptor = Self {
            threads,
            open,
            permits,
        };
        Ok((acceptor, running))
    }

    /// Accepts until aborted and hands each connection to the thread that has the fewest. Threads
    /// that accepted for themselves would take what comes first: with a few busy clients one
    /// thread would have most of the work and the other none.
    pub(crate) async fn run(self, listener: TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return;
            };
            let accepted = listener.accept().await;
            match accepted.and_then(|(stream, peer)| Ok((TcpStream::into_std(stream)?, peer))) {
                Ok((stream, peer)) => {
                    let load = |thread: &&Entrance| thread.load.load(Ordering::Relaxed);
                    // The configuration has one thread at least.
                    let Some(thread) = self.threads.iter().min_by_key(load) else {
                        return;
                    };
                    let seat = Seat::new(&thread.load, &self.open, permit);
                    // A thread ends only after this loop, or by a panic that `run` reports.
                    drop(thread.arrivals.send(Arrival { stream, peer, seat }));
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// Whether accepting failed because of one client that is already gone.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
