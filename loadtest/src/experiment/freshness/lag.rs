//! From what was seen of each victim to the distribution of lags. Pure.

use std::time::Duration;

use crate::{
    results::{RevocationKind, RevocationLag},
    stats::interval,
};

/// Requests without an accepted one, after which a credential counts as not accepted any more.
const SILENT: u32 = 5;
/// Of what is said about the share of revocations that were not seen at once.
const CONFIDENCE: f64 = 0.95;
/// A busy machine may hold all requests up for so long.
const STALL: Duration = Duration::from_millis(150);

/// What was seen of one revocation; all moments are counted from the begin of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When the revocation was asked for.
    pub(super) asked: Duration,
    /// When the answer arrived; `None` when it was no 2xx.
    pub(super) acknowledged: Option<Duration>,
    /// When the last request was sent that was accepted.
    pub(super) last_accepted: Option<Duration>,
    /// End of the load.
    pub(super) end: Duration,
    /// Time between two requests.
    pub(super) spacing: Duration,
    /// How long acceptance may go on by design.
    pub(super) bound: Duration,
}

/// What one revocation tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Told {
    /// The lag.
    Lag(Duration),
    /// Accepted to the end of the load: the lag is longer than this.
    Longer(Duration),
    /// Nothing.
    Nothing,
}

impl Seen {
    pub(super) fn told(&self) -> Told {
        let (Some(acknowledged), Some(last)) = (self.acknowledged, self.last_accepted) else {
            return Told::Nothing;
        };
        let silence = (self.spacing * SILENT).max(STALL);
        if last + silence < self.asked {
            // The credential had ended by itself.
            return Told::Nothing;
        }
        if acknowledged + self.bound + silence >= self.end {
            // Revoked so late, on a busy machine, that the end was not watched.
            return Told::Nothing;
        }
        let lag = last.saturating_sub(acknowledged);
        if last + silence >= self.end {
            Told::Longer(lag)
        } else {
            Told::Lag(lag)
        }
    }
}

/// Collects what the revocations of one strategy and kind tell.
#[derive(Debug, Default)]
pub(super) struct Lags {
    ended: Vec<Duration>,
    unended: Vec<Duration>,
    skipped: u32,
}

impl Lags {
    pub(super) fn add(&mut self, seen: &Seen) {
        match seen.told() {
            Told::Lag(lag) => self.ended.push(lag),
            Told::Longer(lag) => self.unended.push(lag),
            Told::Nothing => self.skipped += 1,
        }
    }

    /// Revocations that tell something.
    pub(super) fn measured(&self) -> usize {
        self.ended.len() + self.unended.len()
    }

    pub(super) fn result(
        self,
        strategy: &str,
        kind: RevocationKind,
        (spacing, resolution): (Duration, Duration),
        until: Option<String>,
    ) -> RevocationLag {
        let unended = self.unended.len();
        let mut lags: Vec<Duration> = self.ended;
        lags.extend(self.unended);
        lags.sort_unstable();
        let accepted_after = whole(lags.iter().filter(|lag| !lag.is_zero()).count());
        let (seen, of) = (accepted_after.into(), lags.len() as u64);
        RevocationLag {
            strategy: strategy.to_owned(),
            kind,
            revocations: whole(lags.len()),
            accepted_after,
            unended: whole(unended),
            skipped: self.skipped,
            spacing_ms: millis(spacing),
            resolution_ms: Some(millis(resolution)),
            stale_share_high: interval::highest_share(seen, of, CONFIDENCE),
            p50_ms: millis(quantile(&lags, 0.5)),
            p99_ms: millis(quantile(&lags, 0.99)),
            max_ms: millis(lags.last().copied().unwrap_or_default()),
            lags_ms: lags.into_iter().map(millis).collect(),
            until,
        }
    }
}

/// The smallest value that the share `quantile` of the ascending values does not exceed.
fn quantile(ascending: &[Duration], quantile: f64) -> Duration {
    let rank = (ascending.len() as f64 * quantile).ceil() as usize;
    let found = ascending.get(rank.max(1) - 1);
    found.copied().unwrap_or_default()
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// To the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(asked: u64, acknowledged: Option<u64>, last: Option<u64>) -> Seen {
        Seen {
            asked: Duration::from_millis(asked),
            acknowledged: acknowledged.map(Duration::from_millis),
            last_accepted: last.map(Duration::from_millis),
            end: Duration::from_secs(2),
            spacing: Duration::from_millis(5),
            bound: Duration::ZERO,
        }
    }

    #[track_caller]
    fn check(seen: Seen, told: Told) {
        assert_eq!(seen.told(), told);
    }

    #[test]
    fn the_lag_counts_from_the_answer_to_the_last_accepted_request() {
        let lag = |ms| Told::Lag(Duration::from_millis(ms));
        check(seen(500, Some(503), Some(540)), lag(37));
        check(seen(500, Some(503), Some(503)), lag(0));
        check(seen(500, Some(503), Some(499)), lag(0));
    }

    #[test]
    fn a_credential_that_is_accepted_to_the_end_has_no_known_lag() {
        let longer = Told::Longer(Duration::from_millis(1_492));
        check(seen(500, Some(503), Some(1_995)), longer);
    }

    #[test]
    fn what_was_refused_or_had_ended_before_tells_nothing() {
        check(seen(500, None, Some(540)), Told::Nothing);
        check(seen(500, Some(503), None), Told::Nothing);
        check(seen(500, Some(503), Some(200)), Told::Nothing);
    }

    #[test]
    fn what_was_revoked_too_late_to_be_watched_tells_nothing() {
        check(seen(1_900, Some(1_950), Some(1_949)), Told::Nothing);
        let bounded = Seen {
            bound: Duration::from_millis(1_400),
            ..seen(500, Some(503), Some(1_995))
        };
        check(bounded, Told::Nothing);
    }

    #[test]
    fn the_result_has_nearest_ranks_and_counts_every_revocation_once() {
        let mut lags = Lags::default();
        for ms in 0..200u64 {
            lags.add(&seen(500, Some(500), Some(500 + ms)));
        }
        lags.add(&seen(500, None, None));
        lags.add(&seen(500, Some(500), Some(1_999)));
        let result = lags.result(
            "jwt",
            RevocationKind::Logout,
            (Duration::from_millis(5), Duration::from_millis(37)),
            None,
        );
        assert_eq!((result.spacing_ms, result.resolution_ms), (5.0, Some(37.0)));
        assert_eq!(
            (result.revocations, result.skipped, result.unended),
            (201, 1, 1)
        );
        assert_eq!(result.accepted_after, 200);
        assert_eq!((result.p50_ms, result.p99_ms), (100.0, 198.0));
        assert_eq!(result.max_ms, 1_499.0);
        assert!(result.lags_ms.is_sorted());
    }

    #[test]
    fn nothing_measured_gives_zeros_and_no_panic() {
        let nothing = (Duration::ZERO, Duration::ZERO);
        let result = Lags::default().result("jwt", RevocationKind::Ban, nothing, None);
        assert_eq!((result.revocations, result.max_ms), (0, 0.0));
        assert_eq!(result.stale_share_high, None);
    }
}
