//! The life of a key, from times alone: announced, signing, retired, gone.
//!
//! ```text
//! created_at      signs_from        signs_from of the next       + retain
//!     |  announced    |      signing         |      retired          |  gone
//! ```
//!
//! It is published until it is gone. Because replicas learn of a key while it is announced, they
//! begin to sign with it at the same second without asking each other.

use std::time::Duration;

use crate::storage::{UnixMillis, UnixSeconds};

/// How far the clocks of the issuer and of a verifier may differ: the default of `API_LEEWAY`.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// How long the parts of a key's life are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Published before it signs, so that every verifier has it by then.
    pub announce: Duration,
    /// Published after it has stopped signing, so that its last tokens live their life.
    pub retain: Duration,
    /// From one key's signing to the next one's; zero: only on demand.
    pub rotate_every: Duration,
    /// The longest life of a token that is signed.
    pub longest_token: Duration,
}

/// What a key does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Published, does not sign yet.
    Announced,
    /// The one that signs.
    Signing,
    /// Published, signs no more.
    Retired,
    /// Not published any more.
    Gone,
}

impl Stage {
    /// As an administrator sees it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Gone => "gone",
        }
    }
}

impl Lifetimes {
    /// What the key of this place does at `now`. `signs_from` are those of all keys, in the order
    /// of their generations.
    pub(super) fn stage(
        &self,
        signs_from: &[UnixSeconds],
        place: usize,
        now: UnixSeconds,
    ) -> Stage {
        if signs_from[place] > now {
            return Stage::Announced;
        }
        match signs_from[place + 1..].iter().find(|next| **next <= now) {
            None => Stage::Signing,
            Some(next) if now < *next + self.retain => Stage::Retired,
            Some(_) => Stage::Gone,
        }
    }

    /// When the key after one that signs from `last` is to sign, if it is time to announce it.
    pub(super) fn due(&self, last: UnixSeconds, now: UnixSeconds) -> Option<UnixSeconds> {
        if self.rotate_every.is_zero() {
            return None;
        }
        let earliest = now + self.announce;
        let planned = last + self.rotate_every;
        // After a pause the plan may lie in the past; no key signs that was not announced.
        (planned <= earliest).then_some(planned.max(earliest))
    }

    /// For how long the key after one that signs from `last` should have been announced by `now`.
    pub(super) fn overdue(&self, last: UnixSeconds, now: UnixSeconds) -> Duration {
        if self.rotate_every.is_zero() {
            return Duration::ZERO;
        }
        let earliest = UnixMillis::from(now + self.announce);
        earliest.since(UnixMillis::from(last + self.rotate_every))
    }

    /// How long after a reading of the keys its last one may go on signing, even if it was succeeded
    /// as early as can be: its last token ends before it is gone.
    pub(super) fn sign_unread(&self) -> Duration {
        (self.announce + self.retain).saturating_sub(self.longest_token + LEEWAY)
    }

    /// For how long caches may keep the key set: a key that is announced now must be in every
    /// cache before it signs.
    pub(super) fn cacheable(&self) -> Duration {
        (self.announce / 2).min(Duration::from_secs(300))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetimes(announce: u64, retain: u64, rotate_every: u64) -> Lifetimes {
        Lifetimes {
            announce: Duration::from_secs(announce),
            retain: Duration::from_secs(retain),
            rotate_every: Duration::from_secs(rotate_every),
            longest_token: Duration::from_secs(20),
        }
    }

    #[test]
    fn a_key_is_announced_then_signs_then_retires_and_goes() {
        let lifetimes = lifetimes(10, 60, 0);
        let signs_from = [100, 200].map(UnixSeconds::from);
        for (now, first, second) in [
            (99, Stage::Announced, Stage::Announced),
            (100, Stage::Signing, Stage::Announced),
            (199, Stage::Signing, Stage::Announced),
            (200, Stage::Retired, Stage::Signing),
            (259, Stage::Retired, Stage::Signing),
            (260, Stage::Gone, Stage::Signing),
            (9_999, Stage::Gone, Stage::Signing),
        ] {
            let time = UnixSeconds::from(now);
            assert_eq!(lifetimes.stage(&signs_from, 0, time), first, "at {now}");
            assert_eq!(lifetimes.stage(&signs_from, 1, time), second, "at {now}");
        }
    }

    #[test]
    fn a_key_that_was_not_announced_in_time_is_overdue_from_then_on() {
        let lifetimes = lifetimes(10, 60, 100);
        let overdue = |now| lifetimes.overdue(UnixSeconds::from(1_000), UnixSeconds::from(now));
        assert_eq!(overdue(1_000), Duration::ZERO);
        assert_eq!(overdue(1_090), Duration::ZERO);
        assert_eq!(overdue(1_093), Duration::from_secs(3));
        assert_eq!(overdue(1_190), Duration::from_secs(100));
        let never = Lifetimes {
            rotate_every: Duration::ZERO,
            ..lifetimes
        };
        let late = UnixSeconds::from(1 << 40);
        assert_eq!(never.overdue(UnixSeconds::from(0), late), Duration::ZERO);
    }

    #[test]
    fn exactly_one_key_signs_at_any_time_from_the_first_on() {
        let lifetimes = lifetimes(3, 20, 1);
        let signs_from: Vec<UnixSeconds> = (100..130).map(UnixSeconds::from).collect();
        for now in (100..140).map(UnixSeconds::from) {
            let signing =
                (0..30).filter(|key| lifetimes.stage(&signs_from, *key, now) == Stage::Signing);
            assert_eq!(signing.count(), 1, "at {now:?}");
        }
    }

    #[test]
    fn the_next_key_is_announced_in_time_and_never_signs_unannounced() {
        let every_100 = lifetimes(10, 60, 100);
        let due = |lifetimes: &Lifetimes, now: u64| {
            let due = lifetimes.due(UnixSeconds::from(1_000), UnixSeconds::from(now));
            due.map(UnixSeconds::get)
        };
        assert_eq!(due(&every_100, 1_089), None);
        assert_eq!(due(&every_100, 1_090), Some(1_100));
        assert_eq!(due(&every_100, 5_000), Some(5_010));
        assert_eq!(due(&lifetimes(10, 60, 0), 5_000), None);
    }

    #[test]
    fn without_a_reading_a_key_signs_while_its_tokens_end_before_it_can_be_gone() {
        // Succeeded after 10, gone after 70; a token lives 20 and 30 by a clock that is behind.
        let unread = lifetimes(10, 60, 0).sign_unread();
        assert_eq!(unread, Duration::from_secs(20));
    }

    #[test]
    fn caches_have_a_new_key_before_it_signs() {
        assert_eq!(
            lifetimes(3, 60, 0).cacheable(),
            Duration::from_millis(1_500)
        );
        assert_eq!(
            lifetimes(3_600, 60, 0).cacheable(),
            Duration::from_secs(300)
        );
    }
}
