//! A number of failures that fills up again with time.

use std::{str::FromStr, time::Duration};

use crate::storage::UnixMillis;

/// So many failures at once, and as many again in each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Failures at once.
    pub quota: u64,
    /// Time in which an empty budget is full again.
    pub window: Duration,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Which budget.
    pub name: &'static str,
    /// Failures that are left.
    pub failures: u64,
    /// Seconds until there is one more; zero when it is full.
    pub next_in: u64,
}

impl Budget {
    /// The time in which one failure is made good.
    pub(super) fn interval(self) -> Duration {
        Duration::from_millis(self.interval_ms())
    }

    /// The time in which all failures but one are made good: a budget that takes longer is empty.
    pub(super) fn all_but_one(self) -> Duration {
        Duration::from_millis(self.interval_ms() * (self.quota - 1))
    }

    fn interval_ms(self) -> u64 {
        (as_millis(self.window) / self.quota).max(1)
    }

    /// What is left at `now` of the budget that will be full at `full_at`.
    pub(super) fn remaining(
        self,
        name: &'static str,
        full_at: UnixMillis,
        now: UnixMillis,
    ) -> Remaining {
        let interval = self.interval_ms();
        let missing = as_millis(full_at.since(now));
        // More than it holds, if it held more when they were taken.
        let taken = missing.div_ceil(interval);
        let settled = taken.min(self.quota).saturating_sub(1) * interval;
        Remaining {
            name,
            failures: self.quota.saturating_sub(taken),
            next_in: missing.saturating_sub(settled).div_ceil(1_000),
        }
    }
}

impl FromStr for Budget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be FAILURES/TIME, such as 10/15m";
        let (quota, window) = text.split_once('/').ok_or(FORM)?;
        let quota: u64 = quota.trim().parse().map_err(|_| FORM)?;
        let window = humantime::parse_duration(window.trim()).map_err(|_| FORM)?;
        if !(1..=1_000_000).contains(&quota) {
            return Err("must allow from 1 to 1000000 failures");
        }
        let day = Duration::from_secs(24 * 3_600);
        if !(Duration::from_secs(1)..=day).contains(&window) {
            return Err("must fill up in 1s to 24h");
        }
        Ok(Self { quota, window })
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_written_as_failures_and_time() {
        let budget: Budget = "10/15m".parse().unwrap();
        assert_eq!((budget.quota, budget.window.as_secs()), (10, 900));
        assert_eq!(budget.interval(), Duration::from_secs(90));
        for text in [
            "",
            "10",
            "0/15m",
            "10/0s",
            "10/2d",
            "ten/15m",
            "10/15",
            "-1/15m",
            "9999999/1h",
        ] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_empties_by_failures_and_fills_up_evenly() {
        let budget: Budget = "3/30s".parse().unwrap();
        let now = UnixMillis::default() + Duration::from_secs(1_000);
        let left = |full_at| {
            let left = budget.remaining("x", full_at, now);
            (left.failures, left.next_in)
        };
        let later = |millis| left(now + Duration::from_millis(millis));
        assert_eq!(left(UnixMillis::default()), (3, 0));
        assert_eq!(left(now), (3, 0));
        assert_eq!(later(10_000), (2, 10));
        assert_eq!(later(12_000), (1, 2));
        assert_eq!(later(30_000), (0, 10));
        assert_eq!(later(20_001), (0, 1));
        // A larger budget before a restart.
        assert_eq!(later(60_000), (0, 40));
    }
}
