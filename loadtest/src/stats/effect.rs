//! One arm against another: ratio, interval, verdict. Pure.
//!
//! The unit of independence is the block: all that was measured between two restarts of the processes,
//! with every arm in it. Requests of one window share whatever else the machine did at that time, and
//! windows of one block share the memory layout, the connections and the caches that a process got
//! when it started, so that neither a million requests nor ten windows of a block are more than one
//! observation of the arm. With a block that is not restarted this is the careful choice.
//!
//! Several rows that are read together are computed together: [`super::family`].

use super::{random::Random, student, student::Mean};
use crate::results::Verdict;

/// Confidence level of an interval that stands alone.
pub const CONFIDENCE: f64 = 0.95;
/// Ratios between 1 ÷ this and this are called equivalent.
pub const EQUIVALENCE_MARGIN: f64 = 1.05;
/// How often a difference of the size that is called detectable is found.
pub const POWER: f64 = 0.8;

/// Values of two arms in pairs of neighbouring windows, by block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paired {
    /// Blocks in the order of time; of each its pairs of (baseline, candidate).
    pub blocks: Vec<Vec<(f64, f64)>>,
}

impl Paired {
    /// Logarithm of candidate ÷ baseline of each block: the mean over its pairs. `None` when a block
    /// is empty or a value is not above 0.
    #[must_use]
    pub fn log_ratios(&self) -> Option<Vec<f64>> {
        let pair = |pair: &(f64, f64)| Some(log(pair.1)? - log(pair.0)?);
        let block = |pairs: &Vec<(f64, f64)>| {
            let logs: Option<Vec<f64>> = pairs.iter().map(pair).collect();
            logs.filter(|logs| !logs.is_empty())
                .map(|logs| logs.iter().sum::<f64>() / logs.len() as f64)
        };
        self.blocks.iter().map(block).collect()
    }
}

/// The ratio of two arms, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Candidate ÷ baseline: geometric mean over the blocks of the geometric mean of a block's pairs.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Level of the interval, such as 0.95; higher where the row is one of a family.
    pub confidence: f64,
    /// Blocks that the ratio rests on.
    pub blocks: usize,
    /// The level at which the interval of this row alone would just reach 1.
    pub p: f64,
    /// The same after Holm's correction for the rows of the family.
    pub p_adjusted: f64,
    /// The smallest ratio above 1 that would be found in four of five such runs, at the level of the
    /// interval.
    pub detectable: f64,
    /// Lower end of what the baseline against itself is, at the level of the interval; no interval is
    /// narrower. `None` where that was not measured.
    pub floor_low: Option<f64>,
    /// Upper end of the same: 1 ÷ `floor_low`.
    pub floor_high: Option<f64>,
    /// Whether two one-sided tests, each at the row's level, put the ratio within the margin.
    pub equivalent: bool,
}

impl Effect {
    /// What may be said. A difference that is beyond doubt is called one even where it is too small
    /// to matter.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.low > 1.0 {
            Verdict::Higher
        } else if self.high < 1.0 {
            Verdict::Lower
        } else if self.equivalent {
            Verdict::Equivalent
        } else {
            Verdict::Inconclusive
        }
    }
}

/// Compares windows that are not paired: `later` ÷ `earlier`. `None` with fewer than two windows on a
/// side, or when a value is not above 0.
///
/// Welch's interval of the difference of the mean logarithms: the spreads need not be equal.
#[must_use]
pub fn unpaired(earlier: &[f64], later: &[f64]) -> Option<Effect> {
    let side = |values: &[f64]| {
        let logs: Option<Vec<f64>> = values.iter().map(|value| log(*value)).collect();
        Mean::of(&logs?)
    };
    let (earlier_mean, later_mean) = (side(earlier)?, side(later)?);
    let (one, other) = (earlier_mean.error.powi(2), later_mean.error.powi(2));
    let parts = one.powi(2) / earlier_mean.freedom + other.powi(2) / later_mean.freedom;
    let difference = Mean {
        value: later_mean.value - earlier_mean.value,
        error: (one + other).sqrt(),
        // Welch and Satterthwaite; without any spread the smaller side decides.
        freedom: if parts > 0.0 {
            (one + other).powi(2) / parts
        } else {
            earlier_mean.freedom.min(later_mean.freedom)
        },
    };
    let estimate = Estimate {
        mean: difference,
        resampled: Vec::new(),
        floor: None,
        blocks: earlier.len().min(later.len()),
    };
    let (alpha, p) = (1.0 - CONFIDENCE, estimate.p());
    Some(estimate.at(alpha, p, EQUIVALENCE_MARGIN))
}

/// A row before its level is known: everything in logarithms.
pub(super) struct Estimate {
    mean: Mean,
    /// Means of the hierarchical bootstrap, ascending; none where there are no blocks to draw from.
    resampled: Vec<f64>,
    floor: Option<Mean>,
    blocks: usize,
}

impl Estimate {
    /// `None` with fewer than two blocks, an empty one, or a value that is not above 0, in the row or
    /// in its floor.
    pub(super) fn of(
        paired: &Paired,
        floor: Option<&Paired>,
        resamples: usize,
        seed: u64,
    ) -> Option<Self> {
        let blocks = paired.log_ratios()?;
        let mean = Mean::of(&blocks)?;
        let floor = match floor {
            None => None,
            Some(floor) => Some(Mean::of(&floor.log_ratios()?)?),
        };
        Some(Self {
            mean,
            resampled: bootstrap(&blocks, resamples, seed),
            floor,
            blocks: blocks.len(),
        })
    }

    /// The interval that misses the truth with probability `alpha`: the hull of the bootstrap's and
    /// Student's, and never narrower than the floor.
    ///
    /// With few blocks the bootstrap alone is too narrow and would call identical arms different more
    /// often than it promises; with skewed ratios it is the safer one. The floor is there for what
    /// both miss: a difference that identical arms have as well is one of the machine.
    fn interval(&self, alpha: f64) -> (f64, f64) {
        let half = self.mean.half_width(alpha).max(self.floor(alpha));
        let (low, high) = (self.mean.value - half, self.mean.value + half);
        let Some(last) = self.resampled.len().checked_sub(1) else {
            return (low, high);
        };
        let cut = (alpha / 2.0 * self.resampled.len() as f64) as usize;
        (
            low.min(self.resampled[cut]),
            high.max(self.resampled[last - cut]),
        )
    }

    /// How far the baseline against itself reaches from 0: its interval, and its offset where that is
    /// larger.
    fn floor(&self, alpha: f64) -> f64 {
        self.floor
            .map_or(0.0, |floor| floor.half_width(alpha).max(floor.value.abs()))
    }

    /// The `alpha` at which [`Self::interval`] just reaches 0.
    pub(super) fn p(&self) -> f64 {
        let distance = self.mean.value.abs();
        let floor = self.floor.map_or(0.0, |floor| {
            if distance <= floor.value.abs() {
                1.0
            } else {
                floor.p(distance)
            }
        });
        let count = self.resampled.len();
        let bootstrap = if count == 0 {
            0.0
        } else {
            let at_most = self.resampled.partition_point(|mean| *mean <= 0.0);
            let at_least = count - self.resampled.partition_point(|mean| *mean < 0.0);
            (2.0 * at_most.min(at_least) as f64 / count as f64).min(1.0)
        };
        self.mean.p(distance).max(floor).max(bootstrap)
    }

    /// What is known when the row is tested at `alpha`.
    pub(super) fn at(&self, alpha: f64, p_adjusted: f64, margin: f64) -> Effect {
        let (low, high) = self.interval(alpha);
        // Two one-sided tests at a level are the interval that leaves out twice as much.
        let within = self.interval((2.0 * alpha).min(1.0));
        let floor = self.floor.map(|_| self.floor(alpha));
        Effect {
            ratio: self.mean.value.exp(),
            low: low.exp(),
            high: high.exp(),
            confidence: 1.0 - alpha,
            blocks: self.blocks,
            p: self.p(),
            p_adjusted,
            detectable: self.detectable(alpha).exp(),
            floor_low: floor.map(|reach| (-reach).exp()),
            floor_high: floor.map(f64::exp),
            equivalent: -margin.ln() <= within.0 && within.1 <= margin.ln(),
        }
    }

    /// What must be exceeded is a multiple of the larger spread of the two, and the floor's offset.
    fn detectable(&self, alpha: f64) -> f64 {
        let floor = self.floor.map_or(0.0, |floor| floor.error);
        let error = self.mean.error.max(floor);
        let tested = student::detectable(self.mean.freedom, alpha, POWER) * error;
        let beyond = student::normal_quantile(2.0 * (1.0 - POWER)) * error;
        let offset = self.floor.map_or(0.0, |floor| floor.value.abs());
        tested.max(offset + beyond)
    }
}

/// `None` when it is not above 0.
pub(super) fn log(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| value.ln())
}

/// Means of blocks that are drawn with replacement, ascending.
fn bootstrap(blocks: &[f64], resamples: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    let mut resampled: Vec<f64> = (0..resamples)
        .map(|_| {
            let drawn = blocks.iter().map(|_| blocks[random.below(blocks.len())]);
            drawn.sum::<f64>() / blocks.len() as f64
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    resampled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::normal;

    #[test]
    fn unpaired_windows_of_identical_runs_are_called_different_in_at_most_five_percent() {
        let mut random = Random::new(11);
        let mut windows = |ratio: f64| -> Vec<f64> {
            let one = |_| 200.0 * ratio * (0.05 * normal(&mut random)).exp();
            (0..12).map(one).collect()
        };
        let mut different = |ratio| {
            let called = (0..1_000).filter(|_| {
                let effect = unpaired(&windows(1.0), &windows(ratio)).unwrap();
                matches!(effect.verdict(), Verdict::Higher | Verdict::Lower)
            });
            called.count() as f64 / 1_000.0
        };
        // Three standard errors of a share of 5 % in 1 000 runs are 2 %.
        assert!(different(1.0) <= 0.07);
        assert!(different(1.1) > 0.9);
    }

    #[test]
    fn unpaired_windows_without_spread_or_in_too_small_a_number_do_no_harm() {
        let effect = unpaired(&[100.0, 100.0], &[200.0, 200.0]).unwrap();
        assert!((effect.ratio - 2.0).abs() < 1e-9 && effect.verdict() == Verdict::Higher);
        assert_eq!(unpaired(&[100.0], &[200.0, 200.0]), None);
        assert_eq!(unpaired(&[100.0, 0.0], &[200.0, 200.0]), None);
    }
}
