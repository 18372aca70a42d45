//! The few sentences that a reader should meet first.

use super::{compared, numbers};
use crate::results::{Coupling, FaultEffect, FaultResult, Results, Verdict};

/// What was found, one sentence a finding. A comparison that cannot tell says so.
#[must_use]
pub fn findings(results: &Results) -> Vec<String> {
    let mut found: Vec<String> = results
        .comparisons
        .iter()
        .filter(|comparison| {
            [
                "response_time_p50",
                "response_time_p99",
                "cpu_us_per_request",
            ]
            .contains(&comparison.quantity.as_str())
        })
        .map(|comparison| comparison.reading.clone())
        .collect();
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

fn highest_rates(results: &Results) -> Option<String> {
    let rates: Vec<String> = results
        .strategies
        .iter()
        .filter_map(|strategy| {
            let highest = strategy.highest_sustainable.as_ref()?;
            Some(format!(
                "{} held {} requests/s with {} µs of CPU a request",
                strategy.name,
                numbers::grouped(highest.rate_per_second),
                numbers::significant(compared::system_cpu(strategy)),
            ))
        })
        .collect();
    (!rates.is_empty()).then(|| format!("{}.", rates.join("; ")))
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
