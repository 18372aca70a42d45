//! The time, handed in, so that expiry can be tested without waiting for it.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A source of time. Cheap to clone; clones of a manual clock move together.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Manual>>);

/// A clock that a test moves; both in milliseconds.
#[derive(Debug, Default)]
struct Manual {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at `at` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(at: SystemTime) -> Self {
        let clock = Self(Some(Arc::default()));
        clock.set_wall(at);
        clock
    }

    /// The wall-clock time now. It can be set, also backwards: it is for what other machines read.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(manual) => UNIX_EPOCH + Duration::from_millis(manual.wall.load(Ordering::SeqCst)),
        }
    }

    /// Time since a moment that stays the same for the life of the process, which no setting of the
    /// wall clock changes: for how long something lasts.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            None => START.elapsed(),
            Some(manual) => Duration::from_millis(manual.monotonic.load(Ordering::SeqCst)),
        }
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, the `NumericDate` of RFC 7519 §2.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
    }

    /// Lets time pass on a manual clock. Does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.wall.fetch_add(as_millis(by), Ordering::SeqCst);
            manual.monotonic.fetch_add(as_millis(by), Ordering::SeqCst);
        }
    }

    /// Sets the wall-clock time of a manual clock, as an operator or NTP does: no time passes.
    pub fn set_wall(&self, at: SystemTime) {
        if let Some(manual) = &self.0 {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            manual.wall.store(as_millis(since), Ordering::SeqCst);
        }
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_its_clones_move_with_it() {
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_000));
        let clone = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clone.unix_seconds(), 1_005);
        assert_eq!(clone.monotonic(), Duration::from_secs(5));
    }

    #[test]
    fn setting_the_wall_clock_lets_no_time_pass() {
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_000));
        clock.set_wall(UNIX_EPOCH);
        assert_eq!(
            (clock.unix_seconds(), clock.monotonic()),
            (0, Duration::ZERO)
        );
        let system = Clock::system();
        let before = system.monotonic();
        assert!(system.monotonic() >= before);
    }
}
