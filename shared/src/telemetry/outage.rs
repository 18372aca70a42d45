//! Outages of what a service depends on, in the log: each reason once, and when it is over.
//!
//! Several connections use one dependency (one on each worker thread, and each tries again and
//! again), so they share an [`Outage`] and each reports through an [`Observer`] of its own.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Different reasons of one outage that the log is told.
const MOST_TOLD: usize = 16;

/// What is known of one dependency; clones share it.
#[derive(Clone, Debug)]
pub struct Outage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    what: String,
    /// Whether an observer cannot use it, so that those who can look at no more than this.
    failing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_observer: u64,
    /// Observers that cannot use it.
    failing: BTreeSet<u64>,
    /// Why not, by what was reported last.
    reason: Option<String>,
    /// What the log says of this outage already.
    told: BTreeSet<String>,
    began: Option<Instant>,
}

/// One user of a dependency. What it reported ends with it.
#[derive(Debug)]
pub struct Observer {
    outage: Outage,
    id: u64,
}

impl Outage {
    /// Nothing is wrong with `what`, such as `the user store`: the subject of the log's sentences.
    #[must_use]
    pub fn of(what: impl Into<String>) -> Self {
        Self(Arc::new(Shared {
            what: what.into(),
            failing: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }

    /// One more user of it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let mut state = self.state();
        state.last_observer += 1;
        Observer {
            outage: self.clone(),
            id: state.last_observer,
        }
    }

    /// The reason that was reported last; `None` when it can be used.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.state().reason.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One observer has nothing to complain of; when the outage began, if that ends it.
    fn end(&self, observer: u64) -> Option<Instant> {
        let mut state = self.state();
        let began = state.end(observer);
        self.0
            .failing
            .store(!state.failing.is_empty(), Ordering::Relaxed);
        began
    }
}

impl Observer {
    /// It cannot be used, and this is why. The text may be seen by whoever reads the log or asks
    /// for readiness, so it holds no credential; and there are few different ones.
    pub fn failed(&self, reason: &dyn fmt::Display) {
        let reason = reason.to_string();
        let mut state = self.outage.state();
        state.failing.insert(self.id);
        self.outage.0.failing.store(true, Ordering::Relaxed);
        state.began.get_or_insert_with(Instant::now);
        // What the other side says may be different each time.
        if state.told.len() < MOST_TOLD && state.told.insert(reason.clone()) {
            tracing::warn!(%reason, "{} cannot be used", self.outage.0.what);
            if state.told.len() == MOST_TOLD {
                tracing::warn!(
                    "{}: further reasons are not told before it can be used again",
                    self.outage.0.what
                );
            }
        }
        state.reason = Some(reason);
    }

    /// It can be used.
    pub fn recovered(&self) {
        if !self.outage.0.failing.load(Ordering::Relaxed) {
            return;
        }
        if let Some(began) = self.outage.end(self.id) {
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(seconds, "{} can be used again", self.outage.0.what);
        }
    }

    /// Why it cannot be used, whoever found that out.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.outage.reason()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.outage.end(self.id);
    }
}

impl State {
    /// One observer has nothing to complain of; when the outage began, if that ends it.
    fn end(&mut self, observer: u64) -> Option<Instant> {
        let ended = self.failing.remove(&observer) && self.failing.is_empty();
        if !ended {
            return None;
        }
        self.told.clear();
        self.reason = None;
        self.began.take()
    }
}

/// An error with its causes, as a reason: the outermost text often says only what was tried.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_until_the_last_observer_has_recovered() {
        let outage = Outage::of("a store");
        let (one, other) = (outage.observer(), outage.observer());
        one.failed(&"closed");
        other.failed(&"closed");
        other.failed(&"refused");
        assert_eq!(outage.reason().as_deref(), Some("refused"));
        assert_eq!(outage.state().told.len(), 2);
        one.recovered();
        assert!(outage.reason().is_some());
        other.recovered();
        assert_eq!(outage.reason(), None);
    }

    #[test]
    fn a_reason_is_told_once_in_an_outage_and_again_in_the_next() {
        let outage = Outage::of("a store");
        let observer = outage.observer();
        for reason in ["silent", "refused", "silent", "refused"] {
            observer.failed(&reason);
        }
        assert_eq!(outage.state().told.len(), 2);
        assert_eq!(outage.reason().as_deref(), Some("refused"));
        observer.recovered();
        assert!(outage.state().told.is_empty());
        observer.failed(&"silent");
        assert_eq!(outage.state().told.len(), 1);
    }

    #[test]
    fn reasons_that_are_different_each_time_take_neither_the_log_nor_memory() {
        let outage = Outage::of("a server");
        let observer = outage.observer();
        for number in 0..1_000 {
            observer.failed(&format!("at {number}"));
        }
        assert_eq!(outage.state().told.len(), MOST_TOLD);
        assert_eq!(outage.reason().as_deref(), Some("at 999"));
    }

    #[test]
    fn what_an_observer_reported_ends_with_it() {
        let outage = Outage::of("a store");
        let observer = outage.observer();
        observer.failed(&"silent");
        drop(observer);
        assert_eq!(outage.reason(), None);
    }
}
