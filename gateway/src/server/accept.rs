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
use shared::{network::Network, telemetry::metrics::Metrics};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

use super::{
    addresses::Addresses,
    worker::{self, Arrival, Seat, WorkerSettings},
};
use crate::tasks::Tasks;

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
    addresses: Addresses,
}

/// The way to one thread.
struct Entrance {
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// Its open connections.
    load: Arc<AtomicUsize>,
}

impl Acceptor {
    /// Starts `count` threads for at most `most` connections; the end of any of them before this
    /// acceptor's is a failure of `tasks`.
    ///
    /// # Errors
    ///
    /// The operating system refused a thread.
    pub(crate) fn start(
        settings: &Arc<WorkerSettings>,
        count: usize,
        most: usize,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> io::Result<(Self, Vec<Thread>)> {
        let addresses = Addresses::new(settings.per_address, most, metrics);
        let settings = Arc::clone(settings);
        let serve = move |arrivals| worker::run(&settings, arrivals);
        Self::start_with(serve, addresses, count, most, metrics, tasks)
    }

    /// Like [`Acceptor::start`]; `serve` is what each thread does with what arrives.
    fn start_with(
        serve: impl Fn(mpsc::UnboundedReceiver<Arrival>) -> io::Result<()> + Clone + Send + 'static,
        addresses: Addresses,
        count: usize,
        most: usize,
        metrics: &Metrics,
        tasks: &Tasks,
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
            let (serve, guard) = (serve.clone(), tasks.guard());
            let serve = move || {
                let _guard = guard;
                serve(arrivals)
            };
            let thread = std::thread::Builder::new().name(format!("gateway-{index}"));
            running.push(thread.spawn(serve)?);
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
            addresses,
        };
        Ok((acceptor, running))
    }

    /// Accepts until aborted and hands each connection to the thread that has the fewest. Threads
    /// that accepted for themselves would take what comes first: with a few busy clients one
    /// thread would have most of the work and the other none.
    pub(crate) async fn run(self, listener: TcpListener) {
        let mut warned = None;
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return;
            };
            let accepted = listener.accept().await;
            match accepted.and_then(|(stream, peer)| Ok((TcpStream::into_std(stream)?, peer))) {
                Ok((stream, peer)) => {
                    let network = Network::from(peer.ip());
                    let Some(place) = self.addresses.enter(network) else {
                        // Closed by dropping it: to answer would take a place.
                        self.addresses.refused(network, &mut warned);
                        continue;
                    };
                    let load = |thread: &&Entrance| thread.load.load(Ordering::Relaxed);
                    // The configuration has one thread at least.
                    let Some(thread) = self.threads.iter().min_by_key(load) else {
                        return;
                    };
                    let seat = Seat::new(&thread.load, &self.open, permit, place);
                    if thread
                        .arrivals
                        .send(Arrival { stream, peer, seat })
                        .is_err()
                    {
                        // The thread is gone, and with no connections it would be given every one.
                        return;
                    }
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

#[cfg(test)]
mod tests {
    use shared::telemetry::Identity;

    use super::{super::addresses::PerAddress, *};

    #[tokio::test]
    async fn a_thread_that_panics_is_given_no_connection_and_is_a_failure() {
        let identity = Identity {
            service: "gateway",
            version: "0",
            instance: String::new(),
        };
        let (metrics, tasks) = (Metrics::new(&identity), Tasks::default());
        // The first connection kills its thread, as a fault of ours would.
        let serve = |mut arrivals: mpsc::UnboundedReceiver<Arrival>| {
            drop(arrivals.blocking_recv());
            panic!("on purpose");
        };
        let addresses = Addresses::new(PerAddress::All, 10, &metrics);
        let (acceptor, threads) =
            Acceptor::start_with(serve, addresses, 1, 10, &metrics, &tasks).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(acceptor.run(listener));
        drop(TcpStream::connect(address).await.unwrap());
        tasks.failed().await;
        assert!(threads.into_iter().all(|thread| thread.join().is_err()));
        drop(TcpStream::connect(address).await.unwrap());
        // It stops accepting, so that nobody else comes to nothing.
        accepting.await.unwrap();
    }
}
