//! When a run begins: at once, or at a moment that several machines have in common.

use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

/// How soon an interrupt is noticed while the moment is awaited.
const LOOK: Duration = Duration::from_millis(50);
/// So long before the moment the threads are let go; each sleeps the rest by itself.
const LEAD: Duration = Duration::from_millis(5);

/// How a run kept to its moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punctuality {
    /// How long after its moment it could begin. Requests that were due before were sent late.
    pub late: Duration,
    /// How far the wall clock moved against the monotonic one from the begin to the end: it was set, or it
    /// is wrong by now.
    pub clock_moved: Duration,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    wall: SystemTime,
    monotonic: Instant,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let read = |_| {
            let before = Instant::now();
            let wall = SystemTime::now();
            let took = before.elapsed();
            let monotonic = before + took / 2;
            (took, Self { wall, monotonic })
        };
        // Of several, the one between which nothing else ran.
        let (mut least, mut best) = read(0);
        for (took, clocks) in (1..3).map(read) {
            if took < least {
                (least, best) = (took, clocks);
            }
        }
        best
    }

    /// The moment when the wall clock shows `at`.
    /// One that the other clock cannot show, as before this machine was started, is taken for now.
    fn instant_of(&self, at: SystemTime) -> Instant {
        let found = match at.duration_since(self.wall) {
            Ok(ahead) => self.monotonic.checked_add(ahead),
            Err(past) => self.monotonic.checked_sub(past.duration()),
        };
        found.unwrap_or(self.monotonic)
    }

    /// How long ago the wall clock showed `at`; nothing when it is ahead.
    fn since(&self, at: SystemTime) -> Duration {
        self.wall.duration_since(at).unwrap_or_default()
    }

    fn moved_since(&self, earlier: &Self) -> Duration {
        let elapsed = self.monotonic.saturating_duration_since(earlier.monotonic);
        let shown = earlier.wall + elapsed;
        let moved = self.wall.duration_since(shown);
        moved.unwrap_or_else(|back| back.duration())
    }
}

/// The begin of a run.
pub(super) struct Start {
    clocks: Clocks,
    /// Moment 0 of the schedule.
    pub(super) began: Instant,
    late: Duration,
}

impl Start {
    /// Waits for the moment, if there is one, and returns shortly before it, or when interrupted.
    pub(super) fn at(moment: Option<SystemTime>, interrupt: &CancellationToken) -> Self {
        let clocks = Clocks::now();
        let Some(moment) = moment else {
            let began = Instant::now();
            return Self {
                clocks,
                began,
                late: Duration::ZERO,
            };
        };
        let began = clocks.instant_of(moment);
        // By the wall clock: the other one may not go back so far.
        let late = clocks.since(moment);
        while !interrupt.is_cancelled() {
            let rest = began.saturating_duration_since(Instant::now());
            if rest <= LEAD {
                break;
            }
            std::thread::sleep((rest - LEAD).min(LOOK));
        }
        Self {
            clocks,
            began,
            late,
        }
    }

    pub(super) fn punctuality(&self) -> Punctuality {
        Punctuality {
            late: self.late,
            clock_moved: Clocks::now().moved_since(&self.clocks),
        }
    }
}

/// Sleeps what is left until `began`; not for long when the wait for it was interrupted.
pub(super) fn sleep_until(began: Instant) {
    let rest = began.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        std::thread::sleep(rest.min(LEAD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_in_both_directions() {
        let earlier = Clocks::now();
        let set = |by: i32| {
            let elapsed = Duration::from_secs(3);
            let wall = earlier.wall + elapsed;
            let by_ms = Duration::from_millis(u64::from(by.unsigned_abs()));
            Clocks {
                wall: if by < 0 { wall - by_ms } else { wall + by_ms },
                monotonic: earlier.monotonic + elapsed,
            }
        };
        for by in [-200, 0, 200] {
            let moved = set(by).moved_since(&earlier);
            assert_eq!(moved, Duration::from_millis(u64::from(by.unsigned_abs())));
        }
    }

    #[test]
    fn a_moment_is_waited_for_and_a_past_one_is_said_to_be() {
        let never = CancellationToken::new();
        let ahead = SystemTime::now() + Duration::from_millis(80);
        let start = Start::at(Some(ahead), &never);
        sleep_until(start.began);
        assert!(SystemTime::now() >= ahead);
        assert_eq!(start.punctuality().late, Duration::ZERO);

        let past = SystemTime::now() - Duration::from_millis(200);
        let late = Start::at(Some(past), &never).punctuality().late;
        assert!(late >= Duration::from_millis(199), "{late:?}");

        let interrupted = CancellationToken::new();
        interrupted.cancel();
        let far = SystemTime::now() + Duration::from_secs(3_600);
        let begun = Instant::now();
        sleep_until(Start::at(Some(far), &interrupted).began);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
