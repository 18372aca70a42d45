//! The load generator: HTTP/1.1 GET requests over its own non-blocking sockets on one thread.
//!
//! In an *open loop* each request has an intended moment of sending, fixed beforehand by a seeded
//! schedule, and its response time is counted from that moment. A request that finds no free
//! connection waits, is never left out, and its wait is part of its response time: so a server
//! that stalls is seen as its users would see it (no "coordinated omission"). In a *closed loop*
//! each connection sends its next request when the answer to the last one is complete.
//!
//! Sleeping to the nanosecond and building requests beforehand keep the moments of sending within
//! tens of microseconds and the cost within ten microseconds of CPU a request; what is left of
//! either is measured and reported with each run.

mod arm;
mod connection;
mod outcome;
mod reactor;
mod request;
mod response;
mod schedule;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use url::Url;

pub use outcome::{ArmOutcome, EngineOutcome, Outcome, Slice};
pub use request::Variant;
pub use schedule::{Arrivals, Schedule};

use reactor::Reactor;

/// One stream of requests. All arms of a run are driven at the same time.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Name in the outcome.
    pub name: String,
    /// What is requested; `http` only.
    pub url: Url,
    /// Header fields, taken in turn; at least one.
    pub variants: Vec<Variant>,
    /// How many and when.
    pub load: Load,
}

/// How many requests, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// At moments fixed beforehand, whatever the server does.
    Open {
        /// Requests a second on average.
        rate: f64,
        /// How they arrive.
        arrivals: Arrivals,
    },
    /// One after another on each connection.
    Closed {
        /// Connections that are always busy.
        connections: usize,
    },
}

/// What holds for all arms of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long is measured.
    pub duration: Duration,
    /// How long requests are sent before, without being measured.
    pub warmup: Duration,
    /// Counted from the intended moment; a request without an answer by then has failed.
    pub deadline: Duration,
    /// How long answers are awaited after the last request was due.
    pub drain: Duration,
    /// Open loop: connections that are opened before the first request, per arm.
    pub connections: usize,
    /// Open loop: connections that may be open when all are busy, per arm.
    pub max_connections: usize,
    /// Length of a slice of the timeline.
    pub slice: Duration,
    /// Seed of the schedule and of trace ids. The first arm's schedule depends on nothing else.
    pub seed: u64,
    /// Share of requests whose trace is to be kept; with 0, requests carry no `traceparent`.
    pub trace_ratio: f64,
    /// Ends the run early.
    pub interrupt: CancellationToken,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(10),
            warmup: Duration::ZERO,
            deadline: Duration::from_secs(5),
            drain: Duration::from_secs(1),
            connections: 16,
            max_connections: 1024,
            slice: Duration::from_millis(100),
            seed: 1,
            trace_ratio: 0.0,
            interrupt: CancellationToken::new(),
        }
    }
}

/// The generator could not start or go on. What the server does is never this.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The arm cannot be driven.
    #[error("{arm}: {fault}")]
    Arm {
        /// Which one.
        arm: String,
        /// Why not.
        fault: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The engine's thread died.
    #[error("the load generator's thread panicked")]
    Panicked,
}

/// A run in progress on its own thread.
pub struct Running {
    /// Moment 0 of the timeline: the end of the warm-up.
    pub measured_from: Instant,
    thread: JoinHandle<Result<EngineOutcome, EngineError>>,
}

impl Running {
    /// Waits for the end of the run.
    ///
    /// # Errors
    ///
    /// The operating system refused something that the run needs.
    pub fn join(self) -> Result<EngineOutcome, EngineError> {
        self.thread.join().map_err(|_| EngineError::Panicked)?
    }
}

/// Starts a run on its own thread. Returns when the first connections are open, or a second has
/// passed, and the schedule begins.
///
/// # Errors
///
/// An arm cannot be driven, or the operating system refused something that the run needs.
pub fn start(options: Options, arms: Vec<Arm>) -> Result<Running, EngineError> {
    let targets = arms.iter().map(check).collect::<Result<Vec<_>, _>>()?;
    let (began, begin) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("load-engine".to_owned())
        .spawn(move || {
            let mut reactor = Reactor::new(options, arms, &targets)?;
            let measured_from = reactor.open_first_connections()?;
            // The receiver waits for exactly this.
            let _ = began.send(measured_from);
            reactor.run()
        })
        .map_err(EngineError::system("starting a thread"))?;
    match begin.recv() {
        Ok(measured_from) => Ok(Running {
            measured_from,
            thread,
        }),
        // The thread ended before it began: its result says why.
        Err(_) => match thread.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(EngineError::Panicked),
        },
    }
}

/// Does a whole run and waits for it.
///
/// # Errors
///
/// As [`start`] and [`Running::join`].
pub fn run(options: Options, arms: Vec<Arm>) -> Result<EngineOutcome, EngineError> {
    start(options, arms)?.join()
}

impl EngineError {
    fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            what,
            source: source.into(),
        }
    }
}

/// Finds the address of an arm's server and everything that would make a request invalid.
fn check(arm: &Arm) -> Result<SocketAddr, EngineError> {
    let fault = |fault: String| EngineError::Arm {
        arm: arm.name.clone(),
        fault,
    };
    if arm.url.scheme() != "http" {
        return Err(fault(format!(
            "{}: only http:// URLs can be driven",
            arm.url
        )));
    }
    if arm.variants.is_empty() {
        return Err(fault("there is no request to send".to_owned()));
    }
    let sound = |text: &String| text.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
    for (name, value) in arm.variants.iter().flat_map(|variant| &variant.headers) {
        if name.is_empty() || !sound(name) || name.contains([' ', ':']) || !sound(value) {
            return Err(fault(format!("the header {name:?} is not valid")));
        }
    }
    match arm.load {
        Load::Open { rate, .. } if !(rate > 0.0 && rate.is_finite()) => {
            return Err(fault(format!(
                "a rate of {rate} requests a second is not possible"
            )));
        }
        Load::Closed { connections: 0 } => {
            return Err(fault(
                "a closed loop needs at least one connection".to_owned(),
            ));
        }
        _ => {}
    }
    let host = arm.url.host_str().unwrap_or_default();
    let port = arm.url.port_or_known_default().unwrap_or(80);
    // A literal IPv6 address has brackets in a URL and none for the resolver.
    (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .map_err(|error| fault(format!("{host}:{port} was not found: {error}")))?
        .next()
        .ok_or_else(|| fault(format!("{host}:{port} has no address")))
}
