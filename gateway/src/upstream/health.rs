//! How an upstream is: what it says when asked (`check`), and how requests to it fared.
//!
//! A refused connection, or some failed requests in a row, eject it at once and for a time that
//! doubles. An answer is never held against it, whatever its status: a 503 comes from an upstream
//! that works and lacks something behind it.

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use shared::clock::Clock;

/// Failed requests in a row that eject, when each alone could be chance.
const FAILURES_TO_EJECT: u32 = 3;
/// The first ejection; each further one without a success between takes twice as long.
const FIRST_EJECTION: Duration = Duration::from_millis(500);
/// The longest ejection.
const LONGEST_EJECTION: Duration = Duration::from_secs(30);

/// Whether an upstream should get requests; the better the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// It says it is ready and answers.
    Healthy,
    /// It was told to end, and answers until then.
    Ending,
    /// It says it is not ready, or has not been heard yet.
    Unready,
    /// Requests to it failed.
    Ejected,
}

impl State {
    /// The value of the metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Ending => "ending",
            Self::Unready => "unready",
            Self::Ejected => "ejected",
        }
    }
}

/// What an upstream says of itself when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Readiness {
    /// It lacks something, or has not been heard yet.
    NotReady = 0,
    /// It was told to end, and answers until then.
    Ending = 1,
    /// It would answer now.
    Ready = 2,
}

impl Readiness {
    fn of(number: u8) -> Self {
        match number {
            2 => Self::Ready,
            1 => Self::Ending,
            _ => Self::NotReady,
        }
    }
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens, or the way there is gone.
    Refused,
    /// The connection ended or no answer came in time.
    Failed,
}

/// Health of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// A [`Readiness`].
    readiness: AtomicU8,
    failures: AtomicU32,
    ejections: AtomicU32,
    /// Milliseconds by the monotonic clock; 0 when not ejected, so that the usual case reads no clock.
    ejected_until: AtomicU64,
}

impl Health {
    /// What the upstream said when last asked.
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness::of(self.readiness.load(Ordering::Relaxed))
    }

    /// Whether it should get requests now.
    pub(crate) fn state(&self, clock: &Clock) -> State {
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until != 0 {
            if now_ms(clock) < until {
                return State::Ejected;
            }
            // Another thread may have ejected anew meanwhile; that stays.
            let _ =
                self.ejected_until
                    .compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        match self.readiness() {
            Readiness::Ready => State::Healthy,
            Readiness::Ending => State::Ending,
            Readiness::NotReady => State::Unready,
        }
    }

    /// The verdict of the active checks; returns the one before when it was another.
    pub(crate) fn checked(&self, readiness: Readiness) -> Option<Readiness> {
        let before = self.readiness.swap(readiness as u8, Ordering::Relaxed);
        Some(Readiness::of(before)).filter(|before| *before != readiness)
    }

    /// An answer came.
    pub(crate) fn answered(&self) {
        // Loads are cheap when nobody writes; the stores are for the first answer after trouble.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) != 0 {
            self.ejections.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed; returns for how long the upstream is ejected when that is new.
    pub(crate) fn failed(&self, fault: Fault, clock: &Clock) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if fault == Fault::Failed && failures < FAILURES_TO_EJECT {
            return None;
        }
        let now = now_ms(clock);
        if now < self.ejected_until.load(Ordering::Relaxed) {
            return None;
        }
        self.failures.store(0, Ordering::Relaxed);
        let earlier = self.ejections.fetch_add(1, Ordering::Relaxed).min(16);
        let time = (FIRST_EJECTION * 2_u32.pow(earlier)).min(LONGEST_EJECTION);
        self.ejected_until
            .store(now + as_ms(time), Ordering::Relaxed);
        Some(time)
    }
}

fn now_ms(clock: &Clock) -> u64 {
    as_ms(clock.monotonic())
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const WALL: Duration = Duration::from_secs(1_000_000);

    fn clock() -> Clock {
        Clock::manual(UNIX_EPOCH + WALL)
    }

    #[test]
    fn setting_the_wall_clock_neither_ends_an_ejection_nor_makes_it_longer() {
        for set in [UNIX_EPOCH, UNIX_EPOCH + WALL / 2, UNIX_EPOCH + WALL * 2] {
            let (health, clock) = (Health::default(), clock());
            health.checked(Readiness::Ready);
            assert!(health.failed(Fault::Refused, &clock).is_some());
            clock.set_wall(set);
            assert_eq!(health.state(&clock), State::Ejected);
            clock.advance(FIRST_EJECTION);
            assert_eq!(health.state(&clock), State::Healthy);
        }
    }

    #[test]
    fn one_refused_connection_ejects_and_time_brings_back() {
        let (health, clock) = (Health::default(), clock());
        health.checked(Readiness::Ready);
        assert_eq!(health.failed(Fault::Refused, &clock), Some(FIRST_EJECTION));
        assert_eq!(health.state(&clock), State::Ejected);
        clock.advance(FIRST_EJECTION);
        assert_eq!(health.state(&clock), State::Healthy);
    }

    #[test]
    fn lost_connections_eject_only_in_a_row() {
        let (health, clock) = (Health::default(), clock());
        health.checked(Readiness::Ready);
        for _ in 0..10 {
            assert_eq!(health.failed(Fault::Failed, &clock), None);
            assert_eq!(health.failed(Fault::Failed, &clock), None);
            health.answered();
        }
        for _ in 1..FAILURES_TO_EJECT {
            assert_eq!(health.failed(Fault::Failed, &clock), None);
        }
        assert!(health.failed(Fault::Failed, &clock).is_some());
    }

    #[test]
    fn ejections_double_up_to_the_longest_and_an_answer_starts_over() {
        let (health, clock) = (Health::default(), clock());
        let mut expected = FIRST_EJECTION;
        for _ in 0..20 {
            assert_eq!(health.failed(Fault::Refused, &clock), Some(expected));
            assert_eq!(
                health.failed(Fault::Refused, &clock),
                None,
                "already ejected"
            );
            clock.advance(expected);
            expected = (expected * 2).min(LONGEST_EJECTION);
        }
        health.answered();
        assert_eq!(health.failed(Fault::Refused, &clock), Some(FIRST_EJECTION));
    }
}
