//! Two arms, measured in pairs of windows: ratio, interval, verdict. Pure.
//!
//! The unit is the pair of neighbouring windows and not the request: requests of one window share
//! whatever else the machine did at that time, so that a million of them are not a million
//! observations.

use crate::{results::Verdict, stats::random::Random};

/// Confidence level of all intervals.
pub const CONFIDENCE: f64 = 0.95;
/// Ratios between 1 ÷ this and this are called equivalent.
pub const EQUIVALENCE_MARGIN: f64 = 1.05;
const RESAMPLES: usize = 4_000;

/// The ratio of two arms, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Geometric mean of the paired ratios: candidate ÷ baseline.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Pairs.
    pub pairs: usize,
    /// The smallest ratio above 1 that would be found in four of five such runs.
    pub detectable: f64,
}

/// Compares pairs of (baseline, candidate). `None` with fewer than two pairs, or when a value is
/// not above 0.
///
/// The interval is the hull of the percentile bootstrap over pairs and Student's interval of the
/// mean log ratio. With few pairs the bootstrap alone is too narrow and would call identical arms
/// different more often than it promises; with many, or with skewed ratios, it is the safer one.
#[must_use]
pub fn effect(pairs: &[(f64, f64)], seed: u64) -> Option<Effect> {
    let usable = |value: f64| value > 0.0 && value.is_finite();
    if pairs.len() < 2 || !pairs.iter().all(|pair| usable(pair.0) && usable(pair.1)) {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().map(|pair| (pair.1 / pair.0).ln()).collect();
    let mean = mean(&logs);
    let standard_error = deviation(&logs, mean) / (logs.len() as f64).sqrt();
    let freedom = logs.len() - 1;
    let half = student(&STUDENT_975, freedom, 1.96) * standard_error;
    let (low, high) = bootstrap(&logs, seed);
    let detectable = half + student(&STUDENT_800, freedom, 0.842) * standard_error;
    Some(Effect {
        ratio: mean.exp(),
        low: low.min(mean - half).exp(),
        high: high.max(mean + half).exp(),
        pairs: logs.len(),
        detectable: detectable.exp(),
    })
}

/// Compares windows that are not paired: `later` ÷ `earlier`. `None` with fewer than two windows on a
/// side, or when a value is not above 0.
///
/// Welch's interval of the difference of the mean logarithms: the spreads need not be equal.
#[must_use]
pub fn unpaired(earlier: &[f64], later: &[f64]) -> Option<Effect> {
    let usable = |values: &[f64]| {
        values.len() >= 2 && values.iter().all(|value| *value > 0.0 && value.is_finite())
    };
    if !usable(earlier) || !usable(later) {
        return None;
    }
    // Mean and squared standard error of one side, with its degrees of freedom.
    let side = |values: &[f64]| {
        let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        let mean = mean(&logs);
        let squared_error = deviation(&logs, mean).powi(2) / logs.len() as f64;
        (mean, squared_error, (logs.len() - 1) as f64)
    };
    let ((mean_a, error_a, free_a), (mean_b, error_b, free_b)) = (side(earlier), side(later));
    let squared = error_a + error_b;
    let parts = error_a.powi(2) / free_a + error_b.powi(2) / free_b;
    // Welch and Satterthwaite; without any spread the smaller side decides.
    let freedom = if parts > 0.0 {
        squared.powi(2) / parts
    } else {
        free_a.min(free_b)
    };
    let freedom = freedom.floor() as usize;
    let (log_ratio, standard_error) = (mean_b - mean_a, squared.sqrt());
    let half = student(&STUDENT_975, freedom, 1.96) * standard_error;
    let detectable = half + student(&STUDENT_800, freedom, 0.842) * standard_error;
    Some(Effect {
        ratio: log_ratio.exp(),
        low: (log_ratio - half).exp(),
        high: (log_ratio + half).exp(),
        pairs: earlier.len().min(later.len()),
        detectable: detectable.exp(),
    })
}

impl Effect {
    /// What may be said.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.low > 1.0 {
            Verdict::Higher
        } else if self.high < 1.0 {
            Verdict::Lower
        } else if self.low >= 1.0 / EQUIVALENCE_MARGIN && self.high <= EQUIVALENCE_MARGIN {
            Verdict::Equivalent
        } else {
            Verdict::Inconclusive
        }
    }
}

/// The middle [`CONFIDENCE`] of the means of resampled values.
fn bootstrap(values: &[f64], seed: u64) -> (f64, f64) {
    let mut random = Random::new(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sum: f64 = values
                .iter()
                .map(|_| values[random.below(values.len())])
                .sum();
            sum / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = ((1.0 - CONFIDENCE) / 2.0 * RESAMPLES as f64) as usize;
    (means[tail], means[RESAMPLES - 1 - tail])
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a sample: divided by one less than its size.
fn deviation(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Quantiles of Student's distribution for 1 to 30 degrees of freedom.
const STUDENT_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];
const STUDENT_800: [f64; 30] = [
    1.376, 1.061, 0.978, 0.941, 0.920, 0.906, 0.896, 0.889, 0.883, 0.879, 0.876, 0.873, 0.870,
    0.868, 0.866, 0.865, 0.863, 0.862, 0.861, 0.860, 0.859, 0.858, 0.858, 0.857, 0.856, 0.856,
    0.855, 0.855, 0.854, 0.854,
];

/// Beyond the table the quantile lies between its last value and `normal`; the last value is the
/// careful one.
fn student(table: &[f64; 30], freedom: usize, normal: f64) -> f64 {
    if freedom > 200 {
        return normal;
    }
    table[freedom.clamp(1, table.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Box and Muller.
    fn normal(random: &mut Random) -> f64 {
        let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * random.unit()).cos()
    }

    /// Pairs with common noise of 20 %, own noise of 5 % and the given true ratio.
    fn pairs(random: &mut Random, count: usize, ratio: f64) -> Vec<(f64, f64)> {
        (0..count)
            .map(|_| {
                let common = (0.2 * normal(random)).exp();
                let own = |random: &mut Random| common * (0.05 * normal(random)).exp();
                (200.0 * own(random), 200.0 * ratio * own(random))
            })
            .collect()
    }

    fn called_different(count: usize, ratio: f64, runs: u64) -> f64 {
        let mut random = Random::new(99);
        let different = (0..runs)
            .filter(|run| {
                let effect = effect(&pairs(&mut random, count, ratio), *run).unwrap();
                matches!(effect.verdict(), Verdict::Higher | Verdict::Lower)
            })
            .count();
        different as f64 / runs as f64
    }

    #[test]
    fn identical_arms_are_called_different_in_at_most_five_percent_of_runs() {
        for count in [3, 6, 12, 24] {
            let share = called_different(count, 1.0, 1_000);
            // Three standard errors of a share of 5 % in 1 000 runs are 2 %.
            assert!(share <= 0.07, "{share} with {count} pairs");
        }
    }

    #[test]
    fn a_real_difference_is_found() {
        assert!(called_different(24, 1.05, 300) > 0.8);
        assert!(called_different(6, 1.25, 300) > 0.95);
    }

    #[test]
    fn the_detectable_ratio_is_found_in_four_of_five_runs() {
        let mut random = Random::new(5);
        let typical = effect(&pairs(&mut random, 2_000, 1.0), 1).unwrap();
        let spread = typical.detectable.ln() * (2_000.0f64 / 12.0).sqrt();
        let share = called_different(12, spread.exp(), 500);
        assert!((0.6..=0.95).contains(&share), "{share}");
    }

    #[test]
    fn arms_that_differ_by_nothing_are_equivalent_once_there_is_enough_data() {
        let mut random = Random::new(3);
        let effect = effect(&pairs(&mut random, 100, 1.0), 1).unwrap();
        assert!((0.97..1.03).contains(&effect.ratio), "{effect:?}");
        assert_ne!(effect.verdict(), Verdict::Inconclusive);
    }

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

    #[test]
    fn the_same_data_and_seed_give_the_same_interval() {
        let data = pairs(&mut Random::new(1), 8, 1.1);
        assert_eq!(effect(&data, 4), effect(&data, 4));
    }

    #[test]
    fn nothing_is_said_of_one_pair_or_of_zeros() {
        assert_eq!(effect(&[(1.0, 2.0)], 1), None);
        assert_eq!(effect(&[(1.0, 2.0), (0.0, 2.0)], 1), None);
    }
}
