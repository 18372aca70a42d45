//! What nobody asked for: probes, polls, fetches ahead of need. There is more of it than of anything
//! else in an idle system, and it is looked at only when it fails (`docs/adr/0041`).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::Tracing;

/// One kind of such work in a process is traced when it fails, and no more often than this: an outage
/// of an hour must not push out what people did before it.
const EVERY: Duration = Duration::from_secs(10);

/// One kind of work that nobody asked for, such as answering probes; clones share it.
#[derive(Clone, Debug)]
pub struct Unasked {
    tracing: Tracing,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// It has succeeded: before that it is the start of a process, which takes its time.
    succeeded: AtomicBool,
    traced: Mutex<Option<Instant>>,
}

impl Unasked {
    /// It has neither succeeded nor failed yet.
    #[must_use]
    pub fn new(tracing: &Tracing) -> Self {
        Self {
            tracing: tracing.clone(),
            state: Arc::default(),
        }
    }

    /// It succeeded, which leaves no trace.
    pub fn succeeded(&self) {
        if !self.state.succeeded.load(Ordering::Relaxed) {
            self.state.succeeded.store(true, Ordering::Relaxed);
        }
    }

    /// It failed: what to trace it with, when it is to be traced. It is not before the first success,
    /// nor soon after the last failure that was.
    #[must_use]
    pub fn failed(&self) -> Option<&Tracing> {
        (self.tracing.is_on() && self.state.is_due(Instant::now())).then_some(&self.tracing)
    }
}

impl State {
    /// Whether a failure at this moment is to be traced; it then counts as the last one that was.
    fn is_due(&self, now: Instant) -> bool {
        if !self.succeeded.load(Ordering::Relaxed) {
            return false;
        }
        let mut traced = self.traced.lock().unwrap_or_else(PoisonError::into_inner);
        if traced.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return false;
        }
        *traced = Some(now);
        true
    }
}

/// A `traceparent` of a call that nobody asked for: whoever is called leaves no trace of it either
/// (W3C Trace Context §3.2.2.5), if their sampler is a parent-based one.
#[must_use]
pub fn unsampled() -> String {
    let ids = RandomIdGenerator::default();
    format!("00-{}-{}-00", ids.new_trace_id(), ids.new_span_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_nobody_asked_for_says_not_to_be_traced() {
        let (one, other) = (unsampled(), unsampled());
        assert_ne!(one, other);
        let mut fields = one.split('-').map(str::len);
        assert!(fields.by_ref().eq([2, 32, 16, 2]), "{one}");
        assert!(one.starts_with("00-") && one.ends_with("-00"), "{one}");
    }

    #[test]
    fn a_failure_is_traced_after_a_success_and_then_now_and_again() {
        let work = Unasked::new(&Tracing::off());
        let now = Instant::now();
        assert!(!work.state.is_due(now), "it is starting");
        work.succeeded();
        let after = |time| work.state.is_due(now + time);
        assert!(after(Duration::ZERO));
        assert!(!after(EVERY / 2));
        assert!(after(EVERY));
        assert!(!after(EVERY + EVERY / 2));
        assert!(work.failed().is_none(), "tracing is off");
    }
}
