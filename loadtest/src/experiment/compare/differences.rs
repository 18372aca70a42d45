//! What the rounds say of each strategy against the first one, quantity by quantity.

use std::collections::BTreeMap;

use super::rounds::Rounds;
use crate::{
    results::v2::{Comparison, Round, Verdict},
    stats::{
        effect::{EQUIVALENCE_MARGIN, Effect, Paired},
        family::{Row, Settings, family},
    },
};

/// A quantile with fewer requests above it says more of the machine than of the system.
const NEEDED_ABOVE: f64 = 100.0;

/// The value of a window; `None` where it was not measured.
type Value = Box<dyn Fn(&Rounds, usize) -> Option<f64>>;

struct Quantity {
    name: String,
    /// As in a sentence.
    title: String,
    /// Share of requests above it; 1 for what is not a quantile.
    above: f64,
    value: Value,
}

/// Every quantity of every strategy against the first strategy: one family.
pub(super) fn of(rounds: &Rounds, strategies: &[String], seed: u64) -> Vec<Comparison> {
    let Some((baseline, candidates)) = strategies.split_first() else {
        return Vec::new();
    };
    let fewest = fewest_requests(rounds, strategies);
    let (mut rows, mut titles) = (Vec::new(), Vec::new());
    for candidate in candidates {
        for quantity in quantities() {
            let Some(paired) = paired(rounds, baseline, candidate, &quantity) else {
                continue;
            };
            rows.push(Row {
                paired,
                floor: None,
            });
            titles.push((candidate, quantity));
        }
    }
    let effects = family(&rows, &Settings::new(seed));
    let told = titles.iter().zip(rows.iter().zip(effects));
    told.filter_map(|((candidate, quantity), (row, effect))| {
        let supported = fewest * quantity.above >= NEEDED_ABOVE;
        let pairs = row.paired.blocks.iter().map(Vec::len).sum();
        Some(tell(
            baseline, candidate, quantity, supported, pairs, &effect?,
        ))
    })
    .collect()
}

fn quantities() -> Vec<Quantity> {
    let latency = |name: &str, title: &str, above, of: fn(&Round) -> f64| Quantity {
        name: format!("response_time_{name}"),
        title: format!("{title} of the response time"),
        above,
        value: Box::new(move |rounds, index| Some(of(&rounds.rounds[index]))),
    };
    let cpu = |component: &'static str| Quantity {
        name: format!("cpu_us_per_request_{component}"),
        title: format!("CPU time of {component} per request"),
        above: 1.0,
        value: Box::new(move |rounds, index| {
            let found = rounds.cpu[index].iter().find(|(name, _)| name == component);
            found.map(|(_, us)| *us)
        }),
    };
    vec![
        latency("p50", "median", 0.5, |round| round.p50_us),
        latency("p90", "90th percentile", 0.1, |round| round.p90_us),
        latency("p99", "99th percentile", 0.01, |round| round.p99_us),
        latency("p99_9", "99.9th percentile", 0.001, |round| round.p99_9_us),
        cpu("gateway"),
        cpu("api"),
        Quantity {
            name: "cpu_us_per_request".to_owned(),
            title: "CPU time of the whole system per request".to_owned(),
            above: 1.0,
            value: Box::new(|rounds, index| rounds.rounds[index].system_cpu_us_per_request),
        },
    ]
}

fn fewest_requests(rounds: &Rounds, strategies: &[String]) -> f64 {
    let of = |name: &String| {
        let found = rounds.totals.iter().find(|(strategy, _)| strategy == name);
        found.map_or(0, |(_, totals)| totals.scheduled)
    };
    strategies.iter().map(of).min().unwrap_or(0) as f64
}

/// `None` where a window has no value.
fn paired(rounds: &Rounds, baseline: &str, candidate: &str, quantity: &Quantity) -> Option<Paired> {
    let mut blocks: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for (left, right) in rounds.pairs(baseline, candidate) {
        let pair = (
            (quantity.value)(rounds, left)?,
            (quantity.value)(rounds, right)?,
        );
        let block = rounds.rounds[left].block;
        blocks.entry(block).or_default().push(pair);
    }
    Some(Paired {
        blocks: blocks.into_values().collect(),
    })
}

fn tell(
    baseline: &str,
    candidate: &str,
    quantity: &Quantity,
    supported: bool,
    pairs: usize,
    effect: &Effect,
) -> Comparison {
    let verdict = if supported {
        effect.verdict()
    } else {
        Verdict::Inconclusive
    };
    Comparison {
        quantity: quantity.name.clone(),
        baseline: baseline.to_owned(),
        candidate: candidate.to_owned(),
        ratio: effect.ratio,
        ci_low: effect.low,
        ci_high: effect.high,
        confidence: effect.confidence,
        pairs: u32::try_from(pairs).unwrap_or(u32::MAX),
        detectable_ratio: Some(effect.detectable),
        verdict,
        reading: if supported {
            reading(&quantity.title, baseline, candidate, effect, verdict)
        } else {
            format!(
                "The {} cannot be compared: fewer than {NEEDED_ABOVE:.0} requests of a strategy lie above it.",
                quantity.title
            )
        },
    }
}

fn reading(
    title: &str,
    baseline: &str,
    candidate: &str,
    effect: &Effect,
    verdict: Verdict,
) -> String {
    let interval = format!(
        "{:.3} % CI {:.2} to {:.2}",
        effect.confidence * 100.0,
        effect.low,
        effect.high
    );
    match verdict {
        Verdict::Higher | Verdict::Lower => format!(
            "The {title} of {candidate} is {:.2} times that of {baseline} ({interval}).",
            effect.ratio
        ),
        Verdict::Equivalent => format!(
            "The {title} of {candidate} and {baseline} is the same to within {:.0} % ({interval}).",
            (EQUIVALENCE_MARGIN - 1.0) * 100.0
        ),
        Verdict::Inconclusive => format!(
            "The {title} of {candidate} and {baseline} cannot be told apart ({interval}); a ratio of {:.2} would have been found.",
            effect.detectable
        ),
    }
}
