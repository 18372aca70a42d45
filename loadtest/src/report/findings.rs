//! The few sentences that a reader should meet first.

use super::{compared, freshness, numbers};
use crate::results::v2::{Comparison, Coupling, FaultEffect, FaultResult, Results, Verdict};

/// What was found, one sentence a finding. A comparison that cannot tell says so.
#[must_use]
pub fn findings(results: &Results) -> Vec<String> {
    let mut found = comparisons(results);
    found.extend(highest_rates(results));
    if results
        .comparisons
        .iter()
        .all(|one| one.verdict == Verdict::Inconclusive)
        && !results.comparisons.is_empty()
    {
        found.push(
            "This run cannot tell the strategies apart in anything: run longer, or on a quieter machine."
                .to_owned(),
        );
    }
    if let Some(freshness) = &results.freshness {
        found.extend(freshness::findings(freshness));
    }
    if let Some(coupling) = &results.coupling {
        found.extend(
            coupling
                .faults
                .iter()
                .map(|fault| fault_sentence(coupling, fault)),
        );
    }
    found
}

/// A sentence for each comparison of two strategies, and one for each quantity of more.
fn comparisons(results: &Results) -> Vec<String> {
    let of = |quantity: &'static str| {
        let comparisons = results.comparisons.iter();
        comparisons.filter(move |one| one.quantity == quantity)
    };
    if compared::pair(results).is_some() {
        let all = compared::DECIDING.into_iter().flat_map(of);
        return all.map(|one| one.reading.clone()).collect();
    }
    let sentence = |quantity: &'static str| {
        let parts: Vec<String> = of(quantity)
            .map(|one| format!("{} {}", one.candidate, against(one)))
            .collect();
        let baseline = &of(quantity).next()?.baseline;
        let label = compared::label(quantity);
        Some(format!("{label} against {baseline}: {}.", parts.join("; ")))
    };
    compared::DECIDING
        .into_iter()
        .filter_map(sentence)
        .collect()
}

fn against(one: &Comparison) -> String {
    match one.verdict {
        Verdict::Higher | Verdict::Lower => format!("{:.2} times", one.ratio),
        Verdict::Equivalent => "the same".to_owned(),
        Verdict::Inconclusive => "cannot be told".to_owned(),
    }
}

/// The cost belongs to the rate of the comparison: a request costs less where more are answered at
/// once, so it says nothing about the highest rate.
fn highest_rates(results: &Results) -> Option<String> {
    let rates: Vec<String> = results
        .strategies
        .iter()
        .filter_map(|strategy| {
            let highest = strategy.highest_sustainable.as_ref()?;
            Some(format!(
                "{} took {} µs and held {} requests/s at most",
                strategy.name,
                numbers::significant(compared::system_cpu(strategy)),
                numbers::grouped(highest.rate_per_second),
            ))
        })
        .collect();
    (!rates.is_empty()).then(|| {
        format!(
            "CPU of the system a request at {} requests/s, and the highest rate: {}.",
            numbers::grouped(results.plan.rate_per_second),
            rates.join("; ")
        )
    })
}

fn fault_sentence(coupling: &Coupling, fault: &FaultResult) -> String {
    let effects: Vec<String> = fault
        .effects
        .iter()
        .map(|effect| {
            format!(
                "{} {} available{}",
                effect.strategy,
                numbers::percent(effect.availability_in_fault),
                recovery(coupling, effect)
            )
        })
        .collect();
    format!("{}: {}.", fault.title, effects.join("; "))
}

fn recovery(coupling: &Coupling, effect: &FaultEffect) -> String {
    match effect.recovery.decided_ms {
        // Within one slice of the end of the fault there was nothing to recover from.
        Some(after) if after <= coupling.slice_ms => String::new(),
        Some(after) => format!(" and decided again after {}", numbers::duration_ms(after)),
        None => " and not recovered while it was watched".to_owned(),
    }
}
