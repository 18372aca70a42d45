//! A server of known latency: it answers each request a set time after its arrival, and records what
//! it really took.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::stats::histogram::LatencyHistogram;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A running target; dropping it ends it.
pub struct Target {
    address: SocketAddr,
    serving: Arc<Serving>,
    thread: Option<JoinHandle<()>>,
}

/// What its threads share.
struct Serving {
    /// Taken in turn by the requests of all connections, so that their shares are exact.
    delays: Vec<Duration>,
    next: AtomicUsize,
    took: Mutex<LatencyHistogram>,
    ending: AtomicBool,
}

impl Target {
    /// Listens on a free port of this machine and answers request after request with the next of
    /// `delays`, over and over. Without any it answers at once.
    ///
    /// It has a thread for each connection: that is the simplest that keeps time, and it need not be
    /// cheap.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub fn start(delays: Vec<Duration>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let serving = Arc::new(Serving {
            delays,
            next: AtomicUsize::new(0),
            took: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let shared = Arc::clone(&serving);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ending.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(stream) = stream {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || shared.serve(stream));
                }
            }
        });
        Ok(Self {
            address,
            serving,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the moment when a request was read to the moment when its answer was written, of all
    /// requests so far: the truth that a generator is held to. It is longer than the delay that was
    /// asked for by as much as the operating system woke the thread late.
    #[must_use]
    pub fn took(&self) -> LatencyHistogram {
        let took = self.serving.took.lock();
        took.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.serving.ending.store(true, Ordering::Relaxed);
        // Wakes the thread out of accept.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Serving {
    /// Ends when the peer closes the connection.
    fn serve(&self, mut stream: TcpStream) {
        // Where it is not allowed, the latency is up to 50 µs longer than it is said to be.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let _ = stream.set_nodelay(true);
        let mut buffer = [0; 4096];
        let mut filled = 0;
        while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
            let arrived = Instant::now();
            filled += count;
            if !buffer[..filled].ends_with(b"\r\n\r\n") {
                continue;
            }
            filled = 0;
            let left = (arrived + self.delay()).saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::sleep(left);
            }
            if stream.write_all(ANSWER).is_err() {
                return;
            }
            let took = arrived.elapsed();
            let mut all = self.took.lock().unwrap_or_else(PoisonError::into_inner);
            all.record(took);
        }
    }

    fn delay(&self) -> Duration {
        if self.delays.is_empty() {
            return Duration::ZERO;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.delays[turn % self.delays.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends one request and waits for the whole answer.
    fn ask(stream: &mut TcpStream) {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let mut answer = vec![0; ANSWER.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ANSWER);
    }

    #[test]
    fn requests_of_all_connections_take_the_delays_in_turn_and_what_they_took_is_recorded() {
        let delays = [1, 1, 1, 40].map(Duration::from_millis);
        let target = Target::start(delays.to_vec()).unwrap();
        let mut streams = [(); 2].map(|()| TcpStream::connect(target.address()).unwrap());
        for _ in 0..4 {
            streams.iter_mut().for_each(ask);
        }
        // The last one may be recorded a moment after its answer arrived.
        let took = loop {
            let took = target.took();
            if took.count() == 8 {
                break took;
            }
            std::thread::yield_now();
        };
        let told = took.summary(false);
        assert!(took.quantile_us(0.01) >= 1_000.0, "{told:?}");
        // At least these two of the eight; a busy machine makes any of the others slow as well.
        assert!(took.quantile_us(0.76) >= 39_900.0, "{told:?}");
    }

    #[test]
    fn a_target_without_delays_answers() {
        let target = Target::start(Vec::new()).unwrap();
        ask(&mut TcpStream::connect(target.address()).unwrap());
    }
}
