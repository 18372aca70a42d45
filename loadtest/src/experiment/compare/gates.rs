//! What must hold for a comparison to mean anything.

use super::rounds::Rounds;
use crate::results::{Bound, Comparison, Gate, SelfCheck, Verdict};

/// Limits. Beyond them, what is measured is the instrument.
const MEDIAN_ERROR_PERCENT: f64 = 5.0;
const SEND_LAG_P99_US: f64 = 2_000.0;
const GENERATOR_CPU_PERCENT: f64 = 80.0;
const ACHIEVED_PERCENT: f64 = 99.0;
const FAILED_PERCENT: f64 = 0.1;

pub(super) fn of(check: &SelfCheck, rounds: &Rounds, comparisons: &[Comparison]) -> Vec<Gate> {
    let worst = |value: fn(&super::totals::Totals) -> f64| {
        rounds
            .totals
            .iter()
            .map(|(_, totals)| value(totals))
            .fold(0.0, f64::max)
    };
    let lag_us = worst(|totals| totals.send_lag.quantile_us(0.99));
    let achieved = rounds
        .totals
        .iter()
        .map(|(_, totals)| totals.good_in_window as f64 / totals.scheduled.max(1) as f64 * 100.0)
        .fold(f64::INFINITY, f64::min);
    let decided = comparisons
        .iter()
        .filter(|comparison| comparison.verdict != Verdict::Inconclusive)
        .count();
    let mut gates = vec![
        Gate::new(
            "self_check_p50_error",
            check.p50_error_percent.abs(),
            Bound::AtMost,
            MEDIAN_ERROR_PERCENT,
            "%",
        )
        .meaning("The generator must see a known latency as it is."),
        Gate::new("send_lag_p99", lag_us, Bound::AtMost, SEND_LAG_P99_US, "µs")
            .meaning("The generator must send when it means to."),
        Gate::new(
            "generator_cpu",
            worst(super::totals::Totals::generator_percent),
            Bound::AtMost,
            GENERATOR_CPU_PERCENT,
            "%",
        )
        .meaning("The generator's threads must not be the bottleneck."),
        Gate::new(
            "achieved_rate",
            achieved,
            Bound::AtLeast,
            ACHIEVED_PERCENT,
            "%",
        )
        .meaning("What was asked for must have been sent and answered in time."),
        Gate::new(
            "failed_requests",
            worst(super::totals::Totals::failed_percent),
            Bound::AtMost,
            FAILED_PERCENT,
            "%",
        )
        .or_inconclusive()
        .meaning("The latency of answers says little when requests fail."),
    ];
    if !comparisons.is_empty() {
        gates.push(
            Gate::new(
                "decided_comparisons",
                decided as f64,
                Bound::AtLeast,
                1.0,
                "quantities",
            )
            .or_inconclusive()
            .meaning("At least one quantity must be told apart or be shown to be equal."),
        );
    }
    gates
}
