//! When each request is meant to be sent, in an open loop.

use std::time::Duration;

use crate::stats::random::Random;

/// How requests arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// Independent of each other, as from many users: exponential gaps.
    Poisson,
    /// Equal gaps.
    Uniform,
}

/// The part of a schedule that one of several senders has: of the requests 0, 1, 2, … those whose
/// number leaves the remainder `index` when divided by `of`. All parts together are the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Below `of`.
    pub index: u64,
    /// Number of senders, from 1.
    pub of: u64,
}

impl Share {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// The share of this share that the `index`th of `of` senders has.
    #[must_use]
    pub fn split(self, index: u64, of: u64) -> Self {
        Self {
            index: self.index + self.of * index,
            of: self.of * of,
        }
    }

    /// How many of `count` things belong to this share.
    #[must_use]
    pub fn part_of(self, count: usize) -> usize {
        let before = |index: u64| (count as u64 * index / self.of) as usize;
        before(self.index + 1) - before(self.index)
    }
}

/// Intended moments of sending, counted from the start of a run. Never ends by itself.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    mean_gap_ns: f64,
    next_ns: f64,
    random: Random,
}

impl Schedule {
    /// `rate` requests a second on average, which must be above 0. The same seed gives the same
    /// moments.
    #[must_use]
    pub fn new(rate: f64, arrivals: Arrivals, seed: u64) -> Self {
        let mut schedule = Self {
            arrivals,
            mean_gap_ns: 1e9 / rate,
            next_ns: 0.0,
            random: Random::new(seed),
        };
        schedule.advance();
        schedule
    }

    /// The same moments, later by this share of the mean gap. Streams with equal gaps that begin
    /// together would otherwise send all their requests together.
    #[must_use]
    pub fn later_by(mut self, share: f64) -> Self {
        self.next_ns += share * self.mean_gap_ns;
        self
    }

    /// The next moment, without passing it.
    #[must_use]
    pub fn peek(&self) -> Duration {
        Duration::from_nanos(self.next_ns as u64)
    }

    /// Passes so many moments.
    pub fn advance_by(&mut self, count: u64) {
        for _ in 0..count {
            self.advance();
        }
    }

    /// Passes the next moment.
    pub fn advance(&mut self) {
        self.next_ns += match self.arrivals {
            // 1 − u is in (0, 1], so the logarithm is finite.
            Arrivals::Poisson => -(1.0 - self.random.unit()).ln() * self.mean_gap_ns,
            Arrivals::Uniform => self.mean_gap_ns,
        };
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = self.peek();
        self.advance();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_have_every_request_and_every_connection_once(
            machines in 1..5u64, threads in 1..5u64, connections in 0..100usize,
        ) {
            let shares = (0..machines).flat_map(|machine| {
                let machine = Share::WHOLE.split(machine, machines);
                (0..threads).map(move |thread| machine.split(thread, threads))
            });
            let shares: Vec<Share> = shares.collect();
            let mut indices: Vec<u64> = shares.iter().map(|share| share.index).collect();
            indices.sort_unstable();
            prop_assert_eq!(indices, (0..machines * threads).collect::<Vec<_>>());
            let parts = shares.iter().map(|share| share.part_of(connections));
            prop_assert_eq!(parts.clone().sum::<usize>(), connections);
            prop_assert!(parts.clone().max() <= parts.min().map(|least| least + 1));
        }
    }

    fn moments(rate: f64, arrivals: Arrivals, seed: u64, seconds: u64) -> Vec<Duration> {
        Schedule::new(rate, arrivals, seed)
            .take_while(|due| *due < Duration::from_secs(seconds))
            .collect()
    }

    #[test]
    fn equal_gaps_are_equal() {
        let due = moments(1_000.0, Arrivals::Uniform, 1, 1);
        assert_eq!(due.len(), 999);
        assert_eq!(due[9] - due[8], Duration::from_millis(1));
    }

    #[test]
    fn a_stream_can_be_shifted_against_another() {
        let mut plain = Schedule::new(1_000.0, Arrivals::Uniform, 1);
        let mut later = plain.clone().later_by(0.25);
        for _ in 0..3 {
            let gap = later.next().unwrap() - plain.next().unwrap();
            assert_eq!(gap, Duration::from_micros(250));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_moments_and_another_seed_others() {
        let first = moments(5_000.0, Arrivals::Poisson, 42, 1);
        assert_eq!(first, moments(5_000.0, Arrivals::Poisson, 42, 1));
        assert_ne!(first, moments(5_000.0, Arrivals::Poisson, 43, 1));
    }

    #[test]
    fn exponential_gaps_have_the_asked_mean_and_spread() {
        let due = moments(10_000.0, Arrivals::Poisson, 3, 10);
        let gaps: Vec<f64> = due
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64() * 10_000.0)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Mean and variance of the exponential distribution are 1; with 100 000 gaps, 0.02 is
        // more than four standard errors of either.
        assert!((mean - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.04, "variance {variance}");
    }
}
