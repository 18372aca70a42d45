//! The load generator: HTTP/1.1 requests over its own non-blocking sockets, on one thread or few.
//!
//! In an *open loop* each request has an intended moment of sending, fixed beforehand by a seeded
//! schedule, and its response time is counted from that moment. A request that finds no free
//! connection waits, is never left out, and its wait is part of its response time: so a server
//! that stalls is seen as its users would see it (no "coordinated omission"). In a *closed loop*
//! each connection sends its next request when the answer to the last one is complete.
//!
//! A response time ends when the kernel received the last bytes of the answer (`SO_TIMESTAMPNS`),
//! and not when they were read, so that the reader's own lateness is no part of it; that is told
//! apart. It also lets answers lie for up to a millisecond until the next request is due: most of
//! what a request costs the generator is being put to sleep and woken up, and one time is less
//! than two. What it costs in the end, and how late it sends, is measured and reported with each
//! run; `scripts/bench-loadtest.sh` shows both beside other generators.

mod arm;
mod connection;
mod inbox;
mod outcome;
mod pool;
mod reactor;
mod request;
mod response;
mod running;
mod schedule;
mod spans;
mod start;
mod target;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use url::Url;

pub use outcome::{ArmOutcome, EngineOutcome, Outcome, Slice};
pub use request::{Variant, take_credentials};
pub use running::{Running, run, start};
pub use schedule::{Arrivals, Schedule, Share};
pub use spans::{SpanExport, SpanSink, SpansSent};
pub use start::Punctuality;

/// One stream of requests. All arms of a run are driven at the same time.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Name in the outcome.
    pub name: String,
    /// The server, and what is requested where a variant does not say otherwise.
    pub url: Url,
    /// Requests, taken in turn; at least one.
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
    /// Open loop: connections per arm. All are opened before the first request and opened again
    /// when they are lost; a request that finds none free waits, and its wait counts.
    pub connections: usize,
    /// Open loop: lets the connections of an arm grow to this number, one for each request that
    /// waits. Those used last are used first, and those at rest for a second are closed again. A
    /// server that stalls is then met by more and more connections.
    pub max_connections: Option<usize>,
    /// Before a request is due, the thread polls for so long and does not sleep: it sends more
    /// punctually, and takes CPU time that only a machine with spare cores has.
    pub busy_poll: Duration,
    /// Certificates of the authorities that `https` servers are trusted by, as PEM; without it, those
    /// of the system.
    pub ca_file: Option<PathBuf>,
    /// Threads that send; they share the connections and the schedule.
    pub threads: usize,
    /// Length of a slice of the timeline.
    pub slice: Duration,
    /// Seed of the schedule and of trace ids. The first arm's schedule depends on nothing else.
    pub seed: u64,
    /// Share of requests whose trace is to be kept; with 0, requests carry no `traceparent`.
    pub trace_ratio: f64,
    /// Which run it is, in the trace ids: two runs of one seed have the same traces if it is the same.
    pub trace_run: u64,
    /// Who is told of the requests whose trace is kept, to send spans of them.
    pub spans: Option<SpanSink>,
    /// Which requests of the schedule, and which of the connections, are this generator's, where several
    /// share them.
    pub share: Share,
    /// When the schedule begins; without it, as soon as the connections are open.
    pub start_at: Option<SystemTime>,
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
            connections: 32,
            max_connections: None,
            busy_poll: Duration::ZERO,
            ca_file: None,
            threads: default_threads(),
            slice: Duration::from_millis(100),
            seed: 1,
            trace_ratio: 0.0,
            trace_run: 0,
            spans: None,
            share: Share::WHOLE,
            start_at: None,
            interrupt: CancellationToken::new(),
        }
    }
}

/// A second thread of the generator takes a core away from the system, if that is on the same
/// machine; where there are few, the system needs it more.
fn default_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 4 { 1 } else { 2 }
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

impl EngineError {
    fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            what,
            source: source.into(),
        }
    }
}
