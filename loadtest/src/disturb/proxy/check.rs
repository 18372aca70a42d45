//! The proxy's own error, measured from outside: how much later than asked for something arrives.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Condition, Proxies, go_first};

const MESSAGE: [u8; 64] = [b'.'; 64];
/// Each direction of a [`Calibration`] is held back by so much: what is due later than at once is
/// slept for, and that is part of what the proxy adds.
const CALIBRATED: Duration = Duration::from_micros(500);

/// By how much a round trip through a proxy was longer than it should have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayError {
    /// Median, in µs; below 0 when it was shorter.
    pub p50_us: f64,
    /// 99th percentile, in µs.
    pub p99_us: f64,
}

/// Sends `count` messages of 64 bytes there and back, one after the other, over a link of its own with
/// `delay` in each direction. What two sockets and the proxy's thread take is part of the error.
///
/// # Errors
///
/// The operating system refuses a socket, or the proxy has ended.
pub fn check(proxies: &Proxies, delay: Duration, count: usize) -> io::Result<DelayError> {
    let condition = Condition {
        delay,
        ..Condition::default()
    };
    let (through, _) = round_trips(proxies, condition, count)?;
    Ok(through.error(delay * 2))
}

/// What the proxy itself adds to a round trip, against the same without a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// The median of it.
    pub own: Duration,
}

impl Calibration {
    /// Sends `count` messages there and back through a proxy, in turn with as many past it.
    ///
    /// # Errors
    ///
    /// The operating system refuses a socket, or the proxy has ended.
    pub fn measure(proxies: &Proxies, count: usize) -> io::Result<Self> {
        let condition = Condition {
            delay: CALIBRATED,
            ..Condition::default()
        };
        let (through, direct) = round_trips(proxies, condition, count)?;
        let expected = direct.quantile(0.5) + CALIBRATED * 2;
        Ok(Self {
            own: through.quantile(0.5).saturating_sub(expected),
        })
    }

    /// What makes a round trip longer by `round_trip` than it is without a proxy: what the proxy takes
    /// itself is part of it. Where that alone is more, nothing is added.
    #[must_use]
    pub fn condition(&self, round_trip: Duration) -> Condition {
        Condition {
            delay: round_trip.saturating_sub(self.own) / 2,
            ..Condition::default()
        }
    }

    /// By how much a round trip that is to be longer by `round_trip` than without a proxy is longer
    /// still.
    ///
    /// # Errors
    ///
    /// The operating system refuses a socket, or the proxy has ended.
    pub fn check(
        &self,
        proxies: &Proxies,
        round_trip: Duration,
        count: usize,
    ) -> io::Result<DelayError> {
        let (through, direct) = round_trips(proxies, self.condition(round_trip), count)?;
        Ok(through.error(direct.quantile(0.5) + round_trip))
    }
}

/// How long messages took there and back, ascending.
struct RoundTrips(Vec<Duration>);

impl RoundTrips {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }

    fn error(&self, expected: Duration) -> DelayError {
        let later = |share| (self.quantile(share).as_secs_f64() - expected.as_secs_f64()) * 1e6;
        DelayError {
            p50_us: later(0.5),
            p99_us: later(0.99),
        }
    }
}

/// Through a link of its own in this condition, and past it, in turn.
fn round_trips(
    proxies: &Proxies,
    condition: Condition,
    count: usize,
) -> io::Result<(RoundTrips, RoundTrips)> {
    let echo = Echo::start()?;
    let proxy = proxies.link(echo.address)?;
    proxy.set(condition)?;
    let mut ways = [
        (connect(proxy.address)?, Vec::with_capacity(count)),
        (connect(echo.address)?, Vec::with_capacity(count)),
    ];
    // On a thread of its own: that its ends are woken late on a busy machine is no error of the proxy.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&mut ways, count));
        let panicked = |_| Err(io::Error::other("the sender of messages panicked"));
        asking.join().unwrap_or_else(panicked)
    })?;
    let [(_, through), (_, direct)] = ways;
    Ok((RoundTrips::of(through), RoundTrips::of(direct)))
}

/// Sends `count` messages each way, in turn, and notes how long each took there and back.
fn ask(ways: &mut [(TcpStream, Vec<Duration>); 2], count: usize) -> io::Result<()> {
    go_first();
    for _ in 0..count {
        for (stream, took) in ways.iter_mut() {
            let mut message = MESSAGE;
            let sent = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
            took.push(sent.elapsed());
        }
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends back what it gets, until it is dropped; a thread for each connection.
struct Echo {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
}

impl Echo {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::spawn(move || send_back(stream));
            }
        });
        Ok(Self { address, ending })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // Wakes the thread out of accept. If that fails it sleeps on, and does no harm.
        let _ = TcpStream::connect(self.address);
    }
}

/// Ends when the peer closes the connection.
fn send_back(mut stream: TcpStream) {
    go_first();
    let _ = stream.set_nodelay(true);
    let mut message = [0; MESSAGE.len()];
    while stream.read_exact(&mut message).is_ok() {
        if stream.write_all(&message).is_err() {
            return;
        }
    }
}
