//! Leaves a server alone that fails: after so many failures in a row nothing is asked for a pause,
//! and then one call tries for all.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// How long it stays open, and how long the call that tries may be out.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts failures in a row on one thread.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: Cell<u32>,
    /// No call before this, when it is open.
    until: Cell<Option<Instant>>,
}

impl Breaker {
    /// Whether a call may be made. When the pause is over, the first to ask may, and the others
    /// wait for another pause or for its success.
    pub(super) fn admits(&self) -> bool {
        self.admits_at(Instant::now())
    }

    fn admits_at(&self, now: Instant) -> bool {
        match self.until.get() {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.until.set(Some(now + PAUSE));
                true
            }
        }
    }

    /// Whether the server failed too often, and was not heard since.
    pub(super) fn is_open(&self) -> bool {
        self.until.get().is_some()
    }

    /// A call was answered.
    pub(super) fn succeeded(&self) {
        self.failures.set(0);
        self.until.set(None);
    }

    /// A call was not answered; whether that opened it.
    pub(super) fn failed(&self) -> bool {
        self.failed_at(Instant::now())
    }

    fn failed_at(&self, now: Instant) -> bool {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if failures < FAILURES {
            return false;
        }
        self.until.replace(Some(now + PAUSE)).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_try_after_the_pause() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            assert!(!breaker.failed_at(start));
        }
        breaker.succeeded();
        for _ in 1..FAILURES {
            assert!(!breaker.failed_at(start));
        }
        assert!(breaker.admits_at(start));
        assert!(breaker.failed_at(start));
        assert!(!breaker.failed_at(start), "opened twice");
        assert!(!breaker.admits_at(start));

        let later = start + PAUSE;
        assert!(breaker.admits_at(later));
        assert!(!breaker.admits_at(later), "two try at a time");
        breaker.failed_at(later);
        assert!(!breaker.admits_at(later));
        assert!(breaker.admits_at(later + PAUSE));
        breaker.succeeded();
        assert!(breaker.admits_at(later) && breaker.admits_at(later));
    }
}
