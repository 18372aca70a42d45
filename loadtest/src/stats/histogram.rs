//! Latency histograms: 1 µs to 60 s with three significant digits, of constant size.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::results::{Latency, PercentilePoint};

/// Largest latency that is told apart; longer ones count as this.
pub const HIGHEST_US: u64 = 60_000_000;

/// A distribution of latencies in microseconds.
#[derive(Clone, Debug)]
pub struct LatencyHistogram(Histogram<u64>);

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHistogram {
    /// An empty distribution.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, HIGHEST_US, 3).expect("the bounds are valid constants"))
    }

    /// Adds one latency.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(micros(latency));
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("histograms with the same bounds can be added");
    }

    /// Values in the distribution.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in µs that the share `quantile` (0 to 1) of the values does not exceed; 0 when
    /// there is none.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        self.0.value_at_quantile(quantile) as f64
    }

    /// The figures of a report; with points for a plot when `plot` is set.
    #[must_use]
    pub fn summary(&self, plot: bool) -> Latency {
        if self.0.is_empty() {
            return Latency::default();
        }
        Latency {
            count: self.0.len(),
            mean_us: self.0.mean(),
            p50_us: self.quantile_us(0.5),
            p90_us: self.quantile_us(0.9),
            p99_us: self.quantile_us(0.99),
            p99_9_us: self.quantile_us(0.999),
            max_us: self.0.max() as f64,
            percentiles: if plot { self.points() } else { Vec::new() },
        }
    }

    /// Denser toward the tail, as far as there are values to support it.
    fn points(&self) -> Vec<PercentilePoint> {
        self.0
            .iter_quantiles(5)
            .map(|step| PercentilePoint {
                percentile: step.quantile_iterated_to() * 100.0,
                latency_us: step.value_iterated_to() as f64,
            })
            .collect()
    }
}

/// Microseconds, rounded up: a latency below one microsecond is not none.
pub(crate) fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_the_promised_precision() {
        let mut histogram = LatencyHistogram::new();
        for us in 1..=10_000u64 {
            histogram.record(Duration::from_micros(us));
        }
        for (quantile, truth) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0)] {
            let found = histogram.quantile_us(quantile);
            assert!((found / truth - 1.0).abs() < 0.001, "{found} for {truth}");
        }
    }

    #[test]
    fn a_latency_beyond_the_range_counts_as_the_longest() {
        let mut histogram = LatencyHistogram::new();
        histogram.record(Duration::from_secs(3_600));
        assert_eq!(histogram.count(), 1);
        assert!(histogram.quantile_us(1.0) >= 60_000_000.0);
    }

    #[test]
    fn an_empty_distribution_has_no_latency() {
        assert_eq!(LatencyHistogram::new().summary(true), Latency::default());
    }
}
