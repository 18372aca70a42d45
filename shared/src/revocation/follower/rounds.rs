//! What the rounds of the publishers say of the copy.

use std::{collections::VecDeque, time::Instant};

use crate::revocation::feed::time_of;

/// Looks that are remembered: far more than there are between the begin of a round and its end.
const MOST: usize = 32;

/// Looks at the feed, and the number that the last round then had.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    epoch: String,
    /// By time, and strictly by number.
    looks: VecDeque<(Instant, u64)>,
}

impl Rounds {
    /// A look at the time `at` has shown this number.
    pub(super) fn look(&mut self, at: Instant, epoch: &str, number: u64) {
        if self.epoch != epoch {
            self.next_epoch(epoch);
        }
        match self.looks.back_mut() {
            Some((last, known)) if *known == number => *last = at,
            Some((_, known)) if *known > number => {
                // Part of the history is lost, and numbers are given out again.
                self.looks.clear();
                self.looks.push_back((at, number));
            }
            _ => self.looks.push_back((at, number)),
        }
        if self.looks.len() > MOST {
            self.looks.pop_front();
        }
    }

    /// A look at the time `at` has shown that there is no feed.
    pub(super) fn absent(&mut self, at: Instant) {
        self.epoch.clear();
        self.looks.clear();
        self.looks.push_back((at, 0));
    }

    /// When everything that was in the feed as the round of this number ended had been revoked by, at
    /// least. `None` when the round began before the first look.
    pub(super) fn ended(&mut self, number: u64) -> Option<Instant> {
        while self.looks.get(1).is_some_and(|(_, next)| *next < number) {
            self.looks.pop_front();
        }
        let (at, begun) = self.looks.front()?;
        (*begun < number).then_some(*at)
    }

    /// The rounds of a new epoch began after the last look at the one before. An epoch that comes
    /// back with an old replica of Redis had its rounds long ago.
    fn next_epoch(&mut self, epoch: &str) {
        let is_new = self.epoch.is_empty() || time_of(&self.epoch) < time_of(epoch);
        let last = self.looks.back().filter(|_| is_new);
        self.looks = last.map(|(at, _)| (*at, 0)).into_iter().collect();
        epoch.clone_into(&mut self.epoch);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OLD: &str = "000000000a-x";
    const NEW: &str = "000000000b-x";

    fn times() -> [Instant; 5] {
        let now = Instant::now();
        [0, 1, 2, 3, 4].map(|seconds| now + Duration::from_secs(seconds))
    }

    #[test]
    fn a_round_that_has_ended_tells_of_the_last_look_before_it_began() {
        let [a, b, c, d, e] = times();
        let mut rounds = Rounds::default();
        rounds.look(a, NEW, 7);
        assert_eq!(rounds.ended(7), None, "it began before anybody looked");
        rounds.look(b, NEW, 7);
        rounds.look(c, NEW, 8);
        rounds.look(d, NEW, 9);
        assert_eq!(rounds.ended(7), None);
        assert_eq!(rounds.ended(8), Some(b));
        rounds.look(e, NEW, 12);
        assert_eq!(
            rounds.ended(8),
            Some(b),
            "and the one after it has not ended"
        );
        assert_eq!(rounds.ended(10), Some(d));
    }

    #[test]
    fn rounds_of_a_new_feed_began_after_the_old_one_was_seen_or_missed() {
        let [a, b, c, ..] = times();
        let mut rounds = Rounds::default();
        rounds.look(a, OLD, 90);
        rounds.look(b, NEW, 3);
        assert_eq!(rounds.ended(2), Some(a));
        rounds.absent(b);
        rounds.look(c, NEW, 3);
        assert_eq!(rounds.ended(2), Some(b));
    }

    #[test]
    fn rounds_of_a_feed_that_comes_back_tell_nothing_until_new_ones_begin() {
        let [a, b, c, ..] = times();
        let mut rounds = Rounds::default();
        rounds.look(a, NEW, 3);
        rounds.look(b, OLD, 90);
        assert_eq!(rounds.ended(90), None);
        rounds.look(c, OLD, 91);
        assert_eq!(rounds.ended(91), Some(b));
    }

    #[test]
    fn numbers_that_are_given_out_again_tell_nothing_of_the_first_time() {
        let [a, b, c, d, _] = times();
        let mut rounds = Rounds::default();
        rounds.look(a, NEW, 95);
        rounds.look(b, NEW, 100);
        rounds.look(c, NEW, 97);
        assert_eq!(rounds.ended(97), None);
        rounds.look(d, NEW, 98);
        assert_eq!(rounds.ended(98), Some(c));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut rounds = Rounds::default();
        for number in 0..1_000 {
            rounds.look(Instant::now(), NEW, number);
        }
        assert_eq!(rounds.looks.len(), MOST);
    }
}
