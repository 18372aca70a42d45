//! What the rounds say of each strategy against the first one, quantity by quantity.

use super::rounds::Rounds;
use crate::{
    results::v2::{Comparison, Round, Verdict},
    stats::effect::{self, CONFIDENCE, EQUIVALENCE_MARGIN},
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

/// Every quantity of every strategy against the first strategy.
pub(super) fn of(rounds: &Rounds, strategies: &[String], seed: u64) -> Vec<Comparison> {
    let Some((baseline, candidates)) = strategies.split_first() else {
        return Vec::new();
    };
    candidates
        .iter()
        .flat_map(|candidate| {
            quantities()
                .into_iter()
                .filter_map(move |quantity| compare(rounds, baseline, candidate, &quantity, seed))
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

fn compare(
    rounds: &Rounds,
    baseline: &str,
    candidate: &str,
    quantity: &Quantity,
    seed: u64,
) -> Option<Comparison> {
    let pairs = rounds.pairs(baseline, candidate);
    let values: Option<Vec<(f64, f64)>> = pairs
        .iter()
        .map(|(left, right)| {
            Some((
                (quantity.value)(rounds, *left)?,
                (quantity.value)(rounds, *right)?,
            ))
        })
        .collect();
    let effect = effect::effect(&values?, seed)?;
    let requests = |name: &str| {
        let found = rounds.totals.iter().find(|(strategy, _)| strategy == name);
        found.map_or(0, |(_, totals)| totals.scheduled)
    };
    let fewest = requests(baseline).min(requests(candidate)) as f64;
    let supported = fewest * quantity.above >= NEEDED_ABOVE;
    let verdict = if supported {
        effect.verdict()
    } else {
        Verdict::Inconclusive
    };
    Some(Comparison {
        quantity: quantity.name.clone(),
        baseline: baseline.to_owned(),
        candidate: candidate.to_owned(),
        ratio: effect.ratio,
        ci_low: effect.low,
        ci_high: effect.high,
        confidence: CONFIDENCE,
        pairs: u32::try_from(effect.pairs).unwrap_or(u32::MAX),
        detectable_ratio: Some(effect.detectable),
        verdict,
        reading: if supported {
            reading(&quantity.title, baseline, candidate, &effect, verdict)
        } else {
            format!(
                "The {} cannot be compared: fewer than {NEEDED_ABOVE:.0} requests of a strategy lie above it.",
                quantity.title
            )
        },
    })
}

fn reading(
    title: &str,
    baseline: &str,
    candidate: &str,
    effect: &crate::stats::effect::Effect,
    verdict: Verdict,
) -> String {
    let interval = format!("95 % CI {:.2} to {:.2}", effect.low, effect.high);
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
