//! The highest rate of each arm, by independent searches, the steps of all arms in turn.

use super::{CompareError, Comparison};
use crate::{
    experiment::capacity::{Criteria, Search},
    load::{Arrivals, Load},
    results::{Capacity, Estimate, StepEnd},
    stats::{effect::CONFIDENCE, interval},
};

/// First step, as a share of what the arm answers in a closed loop.
const FIRST_STEP: f64 = 0.7;
/// How far below the highest rate that was held a step still counts as saturation.
const NEAR: f64 = 0.85;

/// Searches for the highest rate of each of `arms` (indices).
pub(super) fn find(
    comparison: &mut Comparison<'_>,
    arms: &[usize],
) -> Result<Vec<Capacity>, CompareError> {
    let pace = comparison.pace;
    let mut found: Vec<Vec<crate::results::Search>> = arms.iter().map(|_| Vec::new()).collect();
    for number in 0..pace.searches {
        if number > 0 && pace.restarts {
            comparison.restart()?;
        }
        let mut searches = Vec::new();
        for arm in arms {
            let closed = probe(comparison, *arm)?;
            searches.push(Search::new(
                (closed * FIRST_STEP).max(1.0),
                pace.search_steps,
            ));
        }
        while searches.iter().any(|search| search.next_rate().is_some()) {
            for (arm, search) in arms.iter().zip(&mut searches) {
                if let Some(rate) = search.next_rate() {
                    step(comparison, *arm, search, rate, number)?;
                }
            }
        }
        for (found, search) in found.iter_mut().zip(searches) {
            found.push(search.found());
        }
    }
    let named = arms.iter().zip(found);
    Ok(named
        .map(|(arm, searches)| capacity(&comparison.systems.arms[*arm].spec.name, searches))
        .collect())
}

/// Answers per second with every connection busy.
fn probe(comparison: &mut Comparison<'_>, arm: usize) -> Result<f64, CompareError> {
    let name = comparison.systems.arms[arm].spec.name.clone();
    comparison
        .progress
        .step(&format!("highest rate: probing {name} in a closed loop"));
    let connections = comparison.options.connections;
    let load = Load::Closed { connections };
    let (warmup, window) = (comparison.pace.probe / 3, comparison.pace.probe);
    let seen = comparison.observe(arm, load, (warmup, window), comparison.options.seed)?;
    if seen.good() == 0 {
        let came: Vec<String> = seen
            .answers()
            .into_iter()
            .map(|(kind, count)| format!("{kind} × {count}"))
            .collect();
        return Err(CompareError::NoAnswer {
            arm: name,
            came: came.join(", "),
        });
    }
    Ok(seen.achieved_per_second())
}

fn step(
    comparison: &mut Comparison<'_>,
    arm: usize,
    search: &mut Search,
    rate: f64,
    number: usize,
) -> Result<(), CompareError> {
    let pace = comparison.pace;
    comparison.progress.step(&format!(
        "highest rate, search {} of {}: {} at {rate:.0} requests/s",
        number + 1,
        pace.searches,
        comparison.systems.arms[arm].spec.name
    ));
    let load = Load::Open {
        rate,
        arrivals: Arrivals::Poisson,
    };
    let seed = comparison.options.seed.wrapping_add(number as u64);
    let seen = comparison.observe(arm, load, (pace.search_warmup, pace.search_window), seed)?;
    let verdict = Criteria::default().verdict(&seen, rate);
    search.record(rate, &seen, verdict);
    Ok(())
}

fn capacity(arm: &str, searches: Vec<crate::results::Search>) -> Capacity {
    let rates: Vec<f64> = searches
        .iter()
        .filter_map(|search| search.rate_per_second)
        .collect();
    let saturated: Vec<f64> = searches.iter().filter_map(at_saturation).collect();
    Capacity {
        arm: arm.to_owned(),
        rate_per_second: estimate(&rates).unwrap_or(Estimate {
            value: 0.0,
            low: None,
            high: None,
            supported: false,
        }),
        indicative: rates.len() < 3,
        answers_per_core_second: estimate(&saturated),
        searches,
    }
}

/// Mean answers per core and second of the steps near the highest rate that was held.
fn at_saturation(search: &crate::results::Search) -> Option<f64> {
    let highest = search.rate_per_second?;
    let near: Vec<f64> = search
        .steps
        .iter()
        .filter(|step| step.end == StepEnd::Held && step.asked_per_second >= highest * NEAR)
        .filter_map(|step| step.answers_per_core_second)
        .collect();
    (!near.is_empty()).then(|| near.iter().sum::<f64>() / near.len() as f64)
}

/// Geometric mean; with an interval from three searches on.
fn estimate(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let logs: f64 = values.iter().map(|value| value.ln()).sum();
    let spread = interval::mean(values, CONFIDENCE).filter(|_| values.len() >= 3);
    Some(Estimate {
        value: (logs / values.len() as f64).exp(),
        low: spread.map(|spread| spread.low),
        high: spread.map(|spread| spread.high),
        supported: spread.is_some(),
    })
}
