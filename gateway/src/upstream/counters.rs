//! What is counted of a pool. A request only increments; `metrics` reads when it is asked.

use prometheus_client::metrics::counter::Counter;

/// Why an attempt at an upstream brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection came about: nothing was sent.
    Connect,
    /// The connection was found closed before anything was written to it.
    Unsent,
    /// The connection ended after the request was begun and before any answer.
    Lost,
}

impl Cause {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Connect, Self::Unsent, Self::Lost];

    /// The value of the metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Unsent => "unsent",
            Self::Lost => "lost",
        }
    }
}

/// Counters of one pool.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Attempts that brought the head of an answer, whatever it said.
    pub(crate) answered: Counter,
    /// Attempts that no answer came to in time.
    pub(crate) timed_out: Counter,
    failed: [Counter; 3],
    retries: [Counter; 3],
    /// Retries that the budget refused.
    pub(crate) exhausted: Counter,
    /// Members taken out by failed requests.
    pub(crate) ejections: Counter,
    /// Members that joined or left.
    pub(crate) changes: Counter,
}

impl Counters {
    /// Attempts that failed in this way.
    pub(crate) fn failed(&self, cause: Cause) -> &Counter {
        &self.failed[cause as usize]
    }

    /// Requests that were sent again after this.
    pub(crate) fn retries(&self, cause: Cause) -> &Counter {
        &self.retries[cause as usize]
    }
}
