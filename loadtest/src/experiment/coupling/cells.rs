//! From single observations to cells: means over repetitions with their intervals. Pure.

use super::predicted::{Circumstances, Expected};
use crate::{
    disturb::fault::Fault,
    results::{
        self,
        coupling::{Cell, Form, Interval, Repetition},
    },
    stats::{
        effect::CONFIDENCE,
        interval::{self, Counted},
    },
};

/// One strategy in one fault, made once.
pub(super) struct Observation {
    pub(super) fault: &'static Fault,
    pub(super) strategy: String,
    pub(super) form: Form,
    pub(super) repetition: Repetition,
    pub(super) timeline: Vec<results::Slice>,
}

/// The cell of one fault, strategy and form; `None` when nothing was observed.
pub(super) fn cell(
    observed: Vec<&Observation>,
    expected: Option<&Expected>,
    at: &Circumstances,
) -> Option<Cell> {
    let first = observed.first()?;
    let repetitions: Vec<Repetition> = observed.iter().map(|one| one.repetition.clone()).collect();
    let all = |value: &dyn Fn(&Repetition) -> Option<f64>| {
        interval(&repetitions.iter().filter_map(value).collect::<Vec<_>>())
    };
    let not_negative = |found: Interval| Interval {
        low: found.low.max(0.0),
        ..found
    };
    let ms = |value: fn(&Repetition) -> Option<u64>| {
        all(&|one| value(one).map(|ms| ms as f64)).map(not_negative)
    };
    let round_trip = first.fault.round_trip();
    let mut cell = Cell {
        fault: first.fault.id.to_owned(),
        strategy: first.strategy.clone(),
        form: first.form,
        availability: availability(&repetitions)?,
        decided_ms: ms(|one| one.decided_ms),
        good_ms: ms(|one| one.good_ms),
        falls_ms: ms(|one| one.falls_ms),
        round_trips: round_trip.and_then(|trip| {
            all(&|one| {
                Some((one.p50_in_fault_us? - one.p50_before_us?) / (trip.as_secs_f64() * 1e6))
            })
        }),
        unauthorized_in_fault: repetitions
            .iter()
            .map(|one| one.unauthorized_in_fault)
            .sum(),
        predicted: "nothing".to_owned(),
        predicted_low: 0.0,
        predicted_high: 1.0,
        as_predicted: false,
        surprises: vec!["the design has no prediction".to_owned()],
        timeline: first.timeline.clone(),
        repetitions,
    };
    if let Some(expected) = expected {
        expected.judge(&mut cell, at);
    }
    Some(cell)
}

/// Of the shares of the repetitions, and never narrower than what the pooled counts say.
fn availability(repetitions: &[Repetition]) -> Option<Interval> {
    let shares: Vec<f64> = repetitions
        .iter()
        .map(|one| one.good_in_fault as f64 / one.offered_in_fault.max(1) as f64)
        .collect();
    let between = interval(&shares)?;
    let sum = |count: fn(&Repetition) -> u64| repetitions.iter().map(count).sum();
    let pooled = Counted {
        good: sum(|one| one.good_in_fault),
        total: sum(|one| one.offered_in_fault),
    };
    let (low, high) =
        interval::share(&[pooled], CONFIDENCE).map_or((0.0, 1.0), |share| (share.low, share.high));
    Some(Interval {
        low: between.low.min(low).max(0.0),
        high: between.high.max(high).min(1.0),
        ..between
    })
}

/// The mean and its interval, as it is written; of one value the ends are the value.
pub(super) fn interval(values: &[f64]) -> Option<Interval> {
    let mean = interval::arithmetic_mean(values, CONFIDENCE)?;
    Some(Interval {
        mean: mean.value,
        low: mean.low,
        high: mean.high,
        count: u32::try_from(values.len()).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repetition(good: u64, offered: u64) -> Repetition {
        Repetition {
            place: 0,
            began_ms: 0,
            restored_ms: 0,
            ended_ms: 0,
            offered_in_fault: offered,
            good_in_fault: good,
            unauthorized_in_fault: 0,
            unauthorized_after: 0,
            errors_in_fault: Vec::new(),
            p50_before_us: None,
            p50_in_fault_us: None,
            p99_before_us: None,
            p99_in_fault_us: None,
            logins_lost: 0,
            decided_ms: None,
            good_ms: None,
            falls_ms: None,
        }
    }

    #[test]
    fn repetitions_that_agree_are_not_surer_than_their_counts() {
        let all = availability(&[repetition(100, 100), repetition(100, 100)]).unwrap();
        assert!(all.low < 0.99 && all.low > 0.95, "{all:?}");
        assert!((all.high - 1.0).abs() < 1e-9);
    }

    #[test]
    fn repetitions_that_differ_are_less_sure_than_their_counts() {
        let apart = availability(&[repetition(0, 10_000), repetition(10_000, 10_000)]).unwrap();
        assert_eq!((apart.low, apart.high), (0.0, 1.0));
    }
}
