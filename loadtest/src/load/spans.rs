//! Spans of the generator's own: who begins a trace sends its beginning, or what comes after it has a
//! parent that nobody knows.
//!
//! A request whose trace is kept has three: from when it was due to its end; within that the wait for
//! a free connection, and the request as it was sent, which the server's spans are below.

mod export;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    time::Instant,
};

use url::Url;

use super::Outcome;
pub use export::{SpanExport, SpansSent};

/// Takes the sampled requests of a run, without making it wait: what there is no room for is counted.
#[derive(Clone, Debug)]
pub struct SpanSink {
    sender: SyncSender<Sampled>,
    lost: Arc<AtomicU64>,
}

impl SpanSink {
    pub(super) fn send(&self, sampled: Sampled) {
        if self.sender.try_send(sampled).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a `traceparent` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceIds {
    /// Both halves of the trace's.
    pub(super) trace: [u64; 2],
    /// The span that the server's are below.
    pub(super) span: u64,
}

/// A request whose trace is kept, as it went.
#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) ids: TraceIds,
    pub(super) target: Arc<SpanTarget>,
    pub(super) due: Instant,
    pub(super) sent: Instant,
    pub(super) ended: Instant,
    pub(super) outcome: Outcome,
}

/// What is the same in the spans of all requests of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SpanTarget {
    method: String,
    /// Without the query, which may hold anything.
    url: String,
    address: String,
    port: u16,
}

impl SpanTarget {
    pub(super) fn new(url: &Url, method: &str, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        Self {
            method: method.to_owned(),
            url: format!("{}{path}", url.origin().ascii_serialization()),
            address: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
        }
    }
}
