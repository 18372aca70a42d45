//! How sure a single figure is: a mean, a share, a quantile of few values. Pure.

use statrs::distribution::{Beta, Binomial, ContinuousCDF as _, DiscreteCDF};

use super::{
    effect::log,
    student::{self, Mean},
};

/// A quantile with fewer values above it says more of the machine than of the system.
const NEEDED_ABOVE: f64 = 100.0;

/// A figure, and between what it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Good ones of a total, as one repetition counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How many were good.
    pub good: u64,
    /// How many there were.
    pub total: u64,
}

/// Geometric mean of independent values (searches, restarts, blocks), with Student's interval of the
/// mean logarithm. `None` with fewer than two values, or when one is not above 0.
#[must_use]
pub fn mean(values: &[f64], confidence: f64) -> Option<Interval> {
    let logs: Option<Vec<f64>> = values.iter().map(|value| log(*value)).collect();
    let mean = Mean::of(&logs?)?;
    let half = mean.half_width(1.0 - confidence);
    Some(Interval {
        value: mean.value.exp(),
        low: (mean.value - half).exp(),
        high: (mean.value + half).exp(),
    })
}

/// Arithmetic mean of independent values, with Student's interval. Of one value the ends are the value;
/// `None` of none.
#[must_use]
pub fn arithmetic_mean(values: &[f64], confidence: f64) -> Option<Interval> {
    let (value, half) = match (values, Mean::of(values)) {
        ([only], _) => (*only, 0.0),
        (_, mean) => {
            let mean = mean?;
            (mean.value, mean.half_width(1.0 - confidence))
        }
    };
    Some(Interval {
        value,
        low: value - half,
        high: value + half,
    })
}

/// Share of good ones over all repetitions, with Wilson's interval (1927). `None` without any.
///
/// Requests of one repetition share its fate. Where the repetitions differ by more than as many
/// independent requests would, the interval is that of correspondingly fewer requests (Rao and Scott,
/// 1992), with Student's quantile for the number of repetitions in place of the normal one.
#[must_use]
pub fn share(repetitions: &[Counted], confidence: f64) -> Option<Interval> {
    let sum = |of: fn(&Counted) -> u64| repetitions.iter().map(of).sum::<u64>() as f64;
    let (good, total) = (sum(|one| one.good), sum(|one| one.total));
    if total == 0.0 {
        return None;
    }
    let (value, alpha) = (good / total, 1.0 - confidence);
    let count = repetitions.len() as f64;
    let squares: f64 = repetitions
        .iter()
        .map(|one| (one.good as f64 - value * one.total as f64).powi(2))
        .sum();
    // Variance of the share as the repetitions show it ÷ that of independent requests.
    let between = count / (count - 1.0) * squares / total.powi(2);
    let inflation = between / (value * (1.0 - value) / total);
    let (effective, critical) = if inflation.is_finite() && inflation > 1.0 {
        (total / inflation, student::quantile(count - 1.0, alpha))
    } else {
        (total, student::normal_quantile(alpha))
    };
    let square = critical.powi(2) / effective;
    let middle = (value + square / 2.0) / (1.0 + square);
    let spread = value * (1.0 - value) / effective + square / effective / 4.0;
    let half = critical * spread.sqrt() / (1.0 + square);
    Some(Interval {
        value,
        // Rounding must not put the ends beyond the figure where it is 0 or 1.
        low: (middle - half).clamp(0.0, value),
        high: (middle + half).clamp(value, 1.0),
    })
}

/// What the share of cases is at most, with this one-sided confidence, when `seen` of `of`
/// independent ones were of the kind (Clopper and Pearson, 1934). For none of many that is 3 ÷ `of`
/// at 95 %, the "rule of three". `None` without any case.
#[must_use]
pub fn highest_share(seen: u64, of: u64, confidence: f64) -> Option<f64> {
    if seen >= of {
        return (of > 0).then_some(1.0);
    }
    let distribution = Beta::new(seen as f64 + 1.0, (of - seen) as f64).ok()?;
    Some(distribution.inverse_cdf(confidence))
}

/// Between which of some independent values a quantile lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Lower end; `None` where there are too few values to bound it from below.
    pub low: Option<f64>,
    /// Upper end; `None` where there are too few values to bound it from above.
    pub high: Option<f64>,
}

/// The interval of a quantile (0 to 1) by the order of few independent values, which are ascending.
/// Exact for any distribution: how many values lie below the quantile is binomial.
#[must_use]
pub fn between(ascending: &[f64], quantile: f64, confidence: f64) -> Bounds {
    let tail = (1.0 - confidence) / 2.0;
    let count = ascending.len() as u64;
    let below = Binomial::new(quantile, count).expect("a quantile is from 0 to 1");
    // Value number `rank`, from 1, is above the quantile when fewer values than that are below it.
    let is_low = |rank: &u64| below.cdf(rank - 1) <= tail;
    let is_high = |rank: &u64| below.sf(rank - 1) <= tail;
    let value = |rank: u64| ascending[rank as usize - 1];
    Bounds {
        low: (1..=count).rev().find(is_low).map(value),
        high: (1..=count).find(is_high).map(value),
    }
}

/// Whether `count` values are enough for a quantile that the share `above` of them exceeds.
#[must_use]
pub fn supported(count: u64, above: f64) -> bool {
    // 10 000 values have 99.999… above their 99th percentile in binary.
    count as f64 * above >= NEEDED_ABOVE - 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::{Random, normal};

    fn covered(runs: u32, truth: f64, mut interval: impl FnMut() -> Interval) -> f64 {
        let covers = (0..runs).filter(|_| {
            let found = interval();
            found.low <= truth && truth <= found.high
        });
        covers.count() as f64 / f64::from(runs)
    }

    #[test]
    fn the_mean_of_three_searches_lies_in_its_interval_in_95_of_100_runs() {
        let mut random = Random::new(6);
        let share = covered(2_000, 20_000.0, || {
            let search = |_| 20_000.0 * (0.1 * normal(&mut random)).exp();
            let searches: Vec<f64> = (0..3).map(search).collect();
            mean(&searches, 0.95).unwrap()
        });
        assert!((share - 0.95).abs() < 0.015, "{share}");
        assert_eq!(mean(&[20_000.0], 0.95), None);
        assert_eq!(mean(&[20_000.0, 0.0], 0.95), None);
    }

    #[test]
    fn the_interval_of_few_values_is_that_of_student() {
        let found = arithmetic_mean(&[1.0, 2.0, 3.0], 0.95).unwrap();
        assert!((found.value - 2.0).abs() < 1e-9);
        assert!((found.high - found.value - 4.3027 / 3_f64.sqrt()).abs() < 1e-3);
        let only = Interval {
            value: 7.0,
            low: 7.0,
            high: 7.0,
        };
        assert_eq!(arithmetic_mean(&[7.0], 0.95), Some(only));
        assert_eq!(arithmetic_mean(&[], 0.95), None);
    }

    /// Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I.
    #[test]
    fn a_share_of_one_repetition_has_the_interval_of_wilson() {
        for (good, total, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = share(&[Counted { good, total }], 0.95).unwrap();
            assert!((found.low - low).abs() < 5e-5, "{found:?}");
            assert!((found.high - high).abs() < 5e-5, "{found:?}");
        }
        let all = share(
            &[Counted {
                good: 500,
                total: 500,
            }],
            0.95,
        )
        .unwrap();
        assert!(
            all.value == 1.0 && all.high == 1.0 && all.low > 0.99,
            "{all:?}"
        );
        assert_eq!(share(&[], 0.95), None);
    }

    #[test]
    fn repetitions_that_differ_make_the_interval_of_a_share_as_wide_as_they_do() {
        let mut random = Random::new(12);
        // Each repetition has a share of its own, between 0.3 and 0.7.
        let share_of = |random: &mut Random| {
            let repetitions = [(); 6].map(|()| {
                let own = 0.3 + 0.4 * random.unit();
                let good = (0..2_000).filter(|_| random.unit() < own).count() as u64;
                Counted { good, total: 2_000 }
            });
            share(&repetitions, 0.95).unwrap()
        };
        let found = covered(400, 0.5, || share_of(&mut random));
        assert!(found > 0.92, "{found}");
    }

    #[test]
    fn repetitions_that_agree_are_as_good_as_one_long_one() {
        let part = Counted {
            good: 99,
            total: 100,
        };
        let parts = share(&[part; 5], 0.95).unwrap();
        assert_eq!(
            Some(parts),
            share(
                &[Counted {
                    good: 495,
                    total: 500
                }],
                0.95
            )
        );
    }

    #[test]
    fn few_values_bound_a_quantile_as_far_as_they_can() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        // As in tables of order statistics: ranks 86 and 115 for the median of 200.
        let median = between(&values, 0.5, 0.95);
        assert_eq!((median.low, median.high), (Some(86.0), Some(115.0)));
        // 0.99²⁰⁰ is 13 %: the 99th percentile may well be above all of them.
        let p99 = between(&values, 0.99, 0.95);
        assert_eq!((p99.low, p99.high), (Some(195.0), None));
        let values: Vec<f64> = (1..=368).map(f64::from).collect();
        assert_eq!(between(&values, 0.99, 0.95).high, Some(368.0));
        let nothing = Bounds {
            low: None,
            high: None,
        };
        assert_eq!(between(&[], 0.5, 0.95), nothing);
    }

    #[test]
    fn a_quantile_needs_a_hundred_values_on_either_side() {
        assert!(supported(10_000, 1.0 - 0.99) && !supported(9_999, 0.01));
    }

    #[test]
    fn none_of_many_leaves_a_share_of_three_divided_by_their_number() {
        let high = highest_share(0, 200, 0.95).unwrap();
        // 1 − 0.05 to the power of 1 ÷ 200.
        assert!((high - 0.014_867).abs() < 1e-6, "{high}");
        assert_eq!(highest_share(5, 5, 0.95), Some(1.0));
        assert_eq!(highest_share(0, 0, 0.95), None);
    }

    #[test]
    fn the_highest_share_covers_the_true_one_as_often_as_it_says() {
        let mut random = Random::new(3);
        let covered = (0..1_000).filter(|_| {
            let seen = (0..60).filter(|_| random.unit() < 0.1).count() as u64;
            highest_share(seen, 60, 0.95).is_some_and(|high| high >= 0.1)
        });
        // It is exact, so rather more often; three standard errors are 2 %.
        assert!(covered.count() > 930);
    }
}
