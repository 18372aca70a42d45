//! A number of failures that fills up again with time.

use std::{str::FromStr, time::Duration};

use super::Standing;

/// So many failures at once, and as many again in each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Failures at once.
    pub quota: u64,
    /// Time in which an empty budget is full again.
    pub window: Duration,
}

impl Budget {
    /// Milliseconds in which one failure is made good.
    pub(super) fn interval(self) -> u64 {
        (as_millis(self.window) / self.quota).max(1)
    }

    /// How the budget stands that will be full at `full_at`; both in milliseconds.
    pub(super) fn standing(self, name: &'static str, full_at: u64, now: u64) -> Standing {
        let interval = self.interval();
        let missing = full_at.saturating_sub(now);
        // Whoever takes at the same time may take more than there is; it is made good as well.
        let taken = missing.div_ceil(interval);
        let remaining = self.quota.saturating_sub(taken);
        let settled = taken.min(self.quota).saturating_sub(1) * interval;
        let next_in = missing.saturating_sub(settled);
        Standing {
            name,
            remaining,
            next_in: next_in.div_ceil(1_000),
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

pub(super) fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_written_as_failures_and_time() {
        let budget: Budget = "10/15m".parse().unwrap();
        assert_eq!((budget.quota, budget.window.as_secs()), (10, 900));
        assert_eq!(budget.interval(), 90_000);
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
        let now = 1_000_000;
        let standing = |full_at| {
            let Standing {
                remaining, next_in, ..
            } = budget.standing("x", full_at, now);
            (remaining, next_in)
        };
        assert_eq!(standing(0), (3, 0));
        assert_eq!(standing(now), (3, 0));
        assert_eq!(standing(now + 10_000), (2, 10));
        assert_eq!(standing(now + 12_000), (1, 2));
        assert_eq!(standing(now + 30_000), (0, 10));
        assert_eq!(standing(now + 20_001), (0, 1));
        // Taken by many at once: more than it holds, and paid for by waiting.
        assert_eq!(standing(now + 60_000), (0, 40));
    }
}
