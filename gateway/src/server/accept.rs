//! Accepts connections and hands each to a thread.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use prometheus_client::metrics::gauge::Gauge;
use shared::{network::Network, shutdown::CancellationToken, telemetry::metrics::Metrics};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    addresses::Addresses,
    worker::{self, Arrival, Seat, WorkerSettings},
};
use crate::{memory::Memory, tasks::Tasks};

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
    memory: Arc<Memory>,
}

/// Who may come in.
struct Admission {
    addresses: Addresses,
    memory: Arc<Memory>,
    /// Connections open at once.
    most: usize,
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
        let admission = Admission {
            addresses: Addresses::new(settings.per_address, most, metrics),
            memory: Arc::clone(&settings.memory),
            most,
        };
        let settings = Arc::clone(settings);
        let serve = move |arrivals| worker::run(&settings, arrivals);
        Self::start_with(serve, admission, count, metrics, tasks)
    }

    /// Like [`Acceptor::start`]; `serve` is what each thread does with what arrives.
    fn start_with(
        serve: impl Fn(mpsc::UnboundedReceiver<Arrival>) -> io::Result<()> + Clone + Send + 'static,
        admission: Admission,
        count: usize,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> io::Result<(Self, Vec<Thread>)> {
        let Admission {
            addresses,
            memory,
            most,
        } = admission;
        let open = Gauge::default();
        let limit: Gauge = Gauge::default();
        limit.set(i64::try_from(most).unwrap_or(i64::MAX));
        metrics.register(|registry| {
            registry.register(
                "gateway_client_connections",
                "Open connections of clients",
                open.clone(),
            );
            registry.register(
                "gateway_client_connections_limit",
                "Open connections of clients that fit at once",
                limit,
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
            memory,
        };
        Ok((acceptor, running))
    }

    /// Accepts until `closing`, then whoever has come by then, and hands each connection to the
    /// thread that has the fewest. Threads that accepted for themselves would take what comes first:
    /// with a few busy clients one thread would have most of the work and the other none.
    pub(crate) async fn run(self, listener: TcpListener, closing: CancellationToken) {
        let until_closing = self.accept(&listener);
        if closing.run_until_cancelled(until_closing).await.is_some() {
            return;
        }
        // The kernel resets what is left in the listen queue when the port is closed, with what was
        // sent already.
        let mut warned = None;
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = std::future::ready(()) => return,
            };
            if self.hand_over(accepted, permit, &mut warned).is_err() {
                return;
            }
        }
    }

    /// Accepts until a thread is gone: with no connections it would be given every one.
    async fn accept(&self, listener: &TcpListener) {
        let mut warned = None;
        loop {
            self.memory.eased().await;
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return;
            };
            match self.hand_over(listener.accept().await, permit, &mut warned) {
                Ok(()) => {}
                Err(Refused::Exhausted) => tokio::time::sleep(EXHAUSTED).await,
                Err(Refused::ThreadGone) => return,
            }
        }
    }

    fn hand_over(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        permit: OwnedSemaphorePermit,
        warned: &mut Option<Instant>,
    ) -> Result<(), Refused> {
        match accepted.and_then(|(stream, peer)| Ok((TcpStream::into_std(stream)?, peer))) {
            Ok((stream, peer)) => {
                let network = Network::from(peer.ip());
                let Some(place) = self.addresses.enter(network) else {
                    // Closed by dropping it: to answer would take a place.
                    self.addresses.refused(network, warned);
                    return Ok(());
                };
                let load = |thread: &&Entrance| thread.load.load(Ordering::Relaxed);
                // The configuration has one thread at least.
                let thread = self.threads.iter().min_by_key(load);
                let thread = thread.ok_or(Refused::ThreadGone)?;
                let seat = Seat::new(&thread.load, &self.open, permit, place);
                let sent = thread.arrivals.send(Arrival { stream, peer, seat });
                sent.map_err(|_| Refused::ThreadGone)
            }
            Err(error) if is_about_one_connection(&error) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted");
                Err(Refused::Exhausted)
            }
        }
    }
}

/// Why a connection was not handed to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The process has no file descriptors left.
    Exhausted,
    /// The thread has ended.
    ThreadGone,
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

    type Serve = fn(mpsc::UnboundedReceiver<Arrival>) -> io::Result<()>;

    fn start(serve: Serve, tasks: &Tasks) -> (Acceptor, Vec<Thread>) {
        let metrics = Metrics::new(&Identity {
            service: "gateway".into(),
            version: "0",
            instance: String::new(),
        });
        let admission = Admission {
            addresses: Addresses::new(PerAddress::All, 10, &metrics),
            memory: Memory::new(&metrics),
            most: 10,
        };
        Acceptor::start_with(serve, admission, 1, &metrics, tasks).unwrap()
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_given_no_connection_and_is_a_failure() {
        let tasks = Tasks::default();
        // The first connection kills its thread, as a fault of ours would.
        let serve = |mut arrivals: mpsc::UnboundedReceiver<Arrival>| {
            drop(arrivals.blocking_recv());
            panic!("on purpose");
        };
        let (acceptor, threads) = start(serve, &tasks);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(acceptor.run(listener, CancellationToken::new()));
        drop(TcpStream::connect(address).await.unwrap());
        tasks.failed().await;
        assert!(threads.into_iter().all(|thread| thread.join().is_err()));
        drop(TcpStream::connect(address).await.unwrap());
        // It stops accepting, so that nobody else comes to nothing.
        accepting.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_has_come_before_the_port_is_closed_is_let_in() {
        let serve = |mut arrivals: mpsc::UnboundedReceiver<Arrival>| {
            let mut count = 0;
            while arrivals.blocking_recv().is_some() {
                count += 1;
            }
            if count == 3 {
                Ok(())
            } else {
                Err(io::Error::other(format!("{count} came")))
            }
        };
        let (acceptor, threads) = start(serve, &Tasks::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let closing = CancellationToken::new();
        closing.cancel();
        acceptor.run(listener, closing).await;
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    }
}
