//! Student's t: what the mean of a few independent values may be.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Mean of independent values, with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) value: f64,
    pub(super) error: f64,
    /// Degrees of freedom of the standard error.
    pub(super) freedom: f64,
}

impl Mean {
    /// `None` with fewer than two values, which have no spread.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let count = values.len() as f64;
        let value = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|one| (one - value).powi(2)).sum();
        Some(Self {
            value,
            error: (squares / (count - 1.0) / count).sqrt(),
            freedom: count - 1.0,
        })
    }

    /// The interval that misses the truth with probability `alpha` reaches this far to both sides.
    pub(super) fn half_width(&self, alpha: f64) -> f64 {
        quantile(self.freedom, alpha) * self.error
    }

    /// Probability of a mean that lies at least `distance` from a truth of 0, to either side.
    pub(super) fn p(&self, distance: f64) -> f64 {
        if distance == 0.0 {
            return 1.0;
        }
        if self.error == 0.0 {
            return 0.0;
        }
        2.0 * distribution(self.freedom).sf((distance / self.error).abs())
    }
}

/// What Student's t exceeds, to either side, with probability `alpha`.
pub(super) fn quantile(freedom: f64, alpha: f64) -> f64 {
    -distribution(freedom).inverse_cdf(alpha / 2.0)
}

/// What the standard normal distribution exceeds, to either side, with probability `alpha`.
pub(super) fn normal_quantile(alpha: f64) -> f64 {
    -Normal::standard().inverse_cdf(alpha / 2.0)
}

/// The true mean, in standard errors of this sample, that a two-sided test at `alpha` of another such
/// sample finds with probability `power`.
///
/// Abramowitz and Stegun's approximation of the noncentral t distribution (26.7.10), with the same
/// term once more because the true standard error is only known as this sample knows it. The sum of
/// two quantiles that is often used in its place takes it for known, and promises too much to a
/// handful of blocks: with three, two in three are found where four in five were promised.
pub(super) fn detectable(freedom: f64, alpha: f64, power: f64) -> f64 {
    let critical = quantile(freedom, alpha);
    let beyond = Normal::standard().inverse_cdf(power) / (1.0 - 1.0 / (4.0 * freedom));
    // detectable = critical + beyond × √(1 + (critical² + detectable²) ÷ 2 freedom), solved.
    let rest = 1.0 - beyond.powi(2) / (2.0 * freedom);
    let root = critical.powi(2) - rest * (critical.powi(2) * rest - beyond.powi(2));
    (critical + root.sqrt()) / rest
}

fn distribution(freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are above 0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::{Random, normal};

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        for (freedom, alpha, table) in [
            (1.0, 0.05, 12.706),
            (2.0, 0.05, 4.303),
            (7.0, 0.05, 2.365),
            (30.0, 0.05, 2.042),
            (2.0, 0.001, 31.599),
            (11.0, 0.001, 4.437),
        ] {
            let found = quantile(freedom, alpha);
            assert!((found - table).abs() < 6e-4, "{freedom} {alpha}: {found}");
        }
        assert!((normal_quantile(0.05) - 1.959_964).abs() < 1e-5);
    }

    #[test]
    fn the_probability_of_the_half_width_is_the_level() {
        let mean = Mean::of(&[1.0, 2.0, 4.0, 3.5]).unwrap();
        for alpha in [0.2, 0.05, 0.05 / 56.0, 1e-6] {
            let p = mean.p(mean.half_width(alpha));
            assert!((p / alpha - 1.0).abs() < 1e-6, "{alpha}: {p}");
        }
    }

    #[test]
    fn values_without_spread_are_certain_and_a_single_one_is_nothing() {
        let mean = Mean::of(&[2.0, 2.0]).unwrap();
        assert_eq!(
            (mean.half_width(0.05), mean.p(2.0), mean.p(0.0)),
            (0.0, 0.0, 1.0)
        );
        assert_eq!(Mean::of(&[1.0]), None);
    }

    #[test]
    fn what_is_called_detectable_is_found_as_often_as_was_asked() {
        let mut random = Random::new(2);
        for count in [3, 4, 6, 12, 30] {
            for alpha in [0.05, 0.05 / 7.0, 0.05 / 56.0] {
                let mut sample = |truth: f64| {
                    let values = (0..count).map(|_| truth + normal(&mut random));
                    Mean::of(&values.collect::<Vec<f64>>()).unwrap()
                };
                let factor = detectable(f64::from(count) - 1.0, alpha, 0.8);
                let found = (0..4_000).filter(|_| {
                    let truth = factor * sample(0.0).error;
                    let again = sample(truth);
                    again.value > again.half_width(alpha)
                });
                let share = found.count() as f64 / 4_000.0;
                assert!((0.77..0.83).contains(&share), "{count} {alpha}: {share}");
            }
        }
    }
}
