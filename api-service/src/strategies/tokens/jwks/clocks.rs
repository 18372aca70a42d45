//! Whether the issuer's clock and ours agree, by the `Date` of its answers (RFC 9110 §6.6.1).
//!
//! A replica whose clock is off refuses good tokens, or accepts what is over, and knows nothing of
//! it. It is then not ready, and says so.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use shared::clock::Clock;

/// A moment by both clocks of this machine: the one that is set, and the one that only passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    wall: SystemTime,
    passed: Duration,
}

impl Moment {
    pub(super) fn now(clock: &Clock) -> Self {
        Self {
            wall: clock.now(),
            passed: clock.monotonic(),
        }
    }

    /// How far the clock was set since an earlier moment, in either direction.
    fn set_since(self, earlier: Self) -> Duration {
        let expected = earlier.wall + self.passed.saturating_sub(earlier.passed);
        let set = self.wall.duration_since(expected);
        set.unwrap_or_else(|error| error.duration())
    }
}

/// A `Date` has whole seconds: the time that it means may be as much later.
const PRECISION: Duration = Duration::from_secs(1);

/// What is known of the issuer's clock and ours.
pub(super) struct Clocks {
    issuer: String,
    /// How far they may differ.
    leeway: Duration,
    /// Seconds that ours is ahead, by the last answer that had a date.
    ahead: AtomicI64,
}

impl Clocks {
    pub(super) fn new(issuer: String, leeway: Duration) -> Self {
        Self {
            issuer,
            leeway,
            ahead: AtomicI64::new(0),
        }
    }

    /// Compares the date of an answer with the times of ours between which it was made. An answer
    /// without a date changes nothing.
    pub(super) fn compare(&self, date: Option<SystemTime>, asked: SystemTime, got: SystemTime) {
        let Some(date) = date else { return };
        let known = self.fault();
        let seconds = |later: SystemTime, earlier: SystemTime| {
            let difference = later.duration_since(earlier).unwrap_or_default();
            i64::try_from(difference.as_secs()).unwrap_or(i64::MAX)
        };
        let ahead = seconds(asked, date + PRECISION) - seconds(date, got);
        self.ahead.store(ahead, Ordering::Relaxed);
        match (known, self.fault()) {
            (None, Some(fault)) => {
                tracing::warn!(issuer = self.issuer, "{fault}; set the clock that is wrong");
            }
            (Some(_), None) => {
                tracing::info!(
                    issuer = self.issuer,
                    "the issuer's clock and ours agree again"
                );
            }
            _ => {}
        }
    }

    /// Whether ours was set since then by more than it may differ: what was known is not known any
    /// more.
    pub(super) fn was_set(&self, since: Moment, now: Moment) -> bool {
        now.set_since(since) > self.leeway
    }

    /// Seconds that our clock is ahead of the issuer's.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Why nothing is decided by time now; `None`: the clocks differ by no more than they may.
    pub(super) fn fault(&self) -> Option<String> {
        let ahead = self.ahead();
        if ahead.unsigned_abs() <= self.leeway.as_secs() {
            return None;
        }
        let (seconds, side) = (
            ahead.unsigned_abs(),
            if ahead > 0 { "ahead of" } else { "behind" },
        );
        Some(format!(
            "this clock is {seconds} s {side} the issuer's, more than API_LEEWAY"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_lies_between_question_and_answer_is_no_difference() {
        let clocks = Clocks::new(String::new(), Duration::ZERO);
        for date in 99..=110 {
            clocks.compare(Some(at(date)), at(100), at(110));
            assert_eq!((clocks.ahead(), clocks.fault()), (0, None), "{date}");
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_goes_is_not() {
        let clock = Clock::manual(at(1_000));
        let clocks = Clocks::new(String::new(), Duration::from_secs(30));
        let began = Moment::now(&clock);
        clock.advance(Duration::from_secs(3_600));
        assert!(!clocks.was_set(began, Moment::now(&clock)));
        for (seconds, set) in [(4_630, false), (4_570, false), (4_631, true), (4_569, true)] {
            clock.set_wall(at(seconds));
            assert_eq!(clocks.was_set(began, Moment::now(&clock)), set, "{seconds}");
        }
    }

    #[test]
    fn more_than_the_leeway_is_a_fault_until_an_answer_says_otherwise() {
        let clocks = Clocks::new(String::new(), Duration::from_secs(30));
        clocks.compare(Some(at(1_000)), at(1_031), at(1_031));
        assert_eq!((clocks.ahead(), clocks.fault()), (30, None));
        clocks.compare(Some(at(1_000)), at(1_032), at(1_032));
        assert!(clocks.fault().unwrap().contains("31 s ahead"));
        clocks.compare(None, at(1_000), at(1_000));
        assert!(
            clocks.fault().is_some(),
            "an answer without a date changes nothing"
        );
        clocks.compare(Some(at(1_031)), at(1_000), at(1_000));
        assert!(clocks.fault().unwrap().contains("31 s behind"));
        clocks.compare(Some(at(1_000)), at(1_000), at(1_000));
        assert_eq!(clocks.fault(), None);
    }
}
