//! Points in time as the tables have them: a `BIGINT` that counts from 1970-01-01T00:00:00Z.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

use shared::clock::Clock;

/// In whole seconds, the `NumericDate` of RFC 7519 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct UnixSeconds(i64);

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct UnixMillis(i64);

impl UnixSeconds {
    /// The time of a clock.
    #[must_use]
    pub fn now(clock: &Clock) -> Self {
        clock.unix_seconds().into()
    }

    /// The seconds, as claims and bodies have them.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::try_from(self.0).unwrap_or_default()
    }
}

impl From<u64> for UnixSeconds {
    fn from(seconds: u64) -> Self {
        Self(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

impl From<UnixSeconds> for UnixMillis {
    fn from(time: UnixSeconds) -> Self {
        Self(time.0.saturating_mul(1_000))
    }
}

impl UnixMillis {
    /// The time since another one; none when that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }
}

impl Add<Duration> for UnixSeconds {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(count(later.as_secs().into())))
    }
}

impl Sub<Duration> for UnixSeconds {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(count(earlier.as_secs().into())))
    }
}

impl Add<Duration> for UnixMillis {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(count(later.as_millis())))
    }
}

fn count(units: u128) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_column_holds_is_the_last_one() {
        let last = UnixSeconds::from(u64::MAX);
        assert_eq!(last + Duration::MAX, last);
        assert_eq!(last.get(), i64::MAX.unsigned_abs());
        assert_eq!(UnixSeconds::from(3) + Duration::MAX, last);
        assert_eq!((UnixSeconds::from(3) - Duration::from_secs(5)).get(), 0);
    }

    #[test]
    fn milliseconds_count_from_the_same_time_as_seconds() {
        let second = UnixMillis::from(UnixSeconds::from(2));
        let later = second + Duration::from_millis(1_500);
        assert_eq!(later.since(second), Duration::from_millis(1_500));
        assert_eq!(second.since(later), Duration::ZERO);
    }
}
