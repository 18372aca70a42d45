//! Two runs of the comparison against each other, strategy by strategy.
//!
//! The windows of two runs are not paired: nothing that happened in one was seen by the other. What
//! changed between the runs besides the code (another boot, another neighbour) is in the ratio and
//! not in the interval, so that only what exceeds the margin of equivalence is called a difference.

use crate::results::v2::{Environment, Results, Round, Verdict};
use crate::stats::effect::{self, EQUIVALENCE_MARGIN, Effect};

/// One quantity of one strategy in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which strategy.
    pub strategy: String,
    /// Which quantity.
    pub quantity: &'static str,
    /// Later ÷ earlier, with its interval; `None` with too few windows.
    pub effect: Option<Effect>,
}

type Value = fn(&Round) -> Option<f64>;
type Fact = fn(&Environment) -> String;

/// What can be compared: the columns of a window.
const QUANTITIES: [(&str, Value); 4] = [
    ("response time p50", |round| Some(round.p50_us)),
    ("response time p99", |round| Some(round.p99_us)),
    ("achieved rate", |round| Some(round.achieved_per_second)),
    ("CPU of the system", |round| round.system_cpu_us_per_request),
];

/// Every quantity of every strategy that both runs have.
#[must_use]
pub fn changes(earlier: &Results, later: &Results) -> Vec<Change> {
    let strategies = earlier.plan.strategies.iter();
    let both = strategies.filter(|name| later.plan.strategies.contains(name));
    both.flat_map(|strategy| {
        QUANTITIES.map(|(quantity, value)| Change {
            strategy: strategy.clone(),
            quantity,
            effect: effect::unpaired(
                &windows(earlier, strategy, value),
                &windows(later, strategy, value),
            ),
        })
    })
    .collect()
}

impl Change {
    /// What may be said.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Some(effect) = self.effect else {
            return Verdict::Inconclusive;
        };
        let beyond = !(1.0 / EQUIVALENCE_MARGIN..=EQUIVALENCE_MARGIN).contains(&effect.ratio);
        match effect.verdict() {
            Verdict::Higher | Verdict::Lower if !beyond => Verdict::Inconclusive,
            verdict => verdict,
        }
    }
}

/// Why two runs are no comparison of two versions; empty when they are.
#[must_use]
pub fn obstacles(earlier: &Results, later: &Results) -> Vec<String> {
    let (one, other) = (&earlier.environment, &later.environment);
    let facts: [(&str, Fact); 4] = [
        ("processor", |place| place.cpu_model.clone()),
        ("number of processors", |place| place.cpus.to_string()),
        ("system", |place| place.system.clone()),
        ("origin of the system under test", |place| {
            format!("{:?}", place.origin)
        }),
    ];
    let mut found: Vec<String> = facts
        .iter()
        .filter(|(_, fact)| fact(one) != fact(other))
        .map(|(name, fact)| format!("the {name} differs: {} and {}", fact(one), fact(other)))
        .collect();
    let rates = (earlier.plan.rate_per_second, later.plan.rate_per_second);
    // A latency belongs to its rate; 2 % of rate changes it by less than what can be told.
    if (rates.0 / rates.1 - 1.0).abs() > 0.02 {
        found.push(format!(
            "the rate differs: {:.0} and {:.0} requests/s; give both runs the same --rate",
            rates.0, rates.1
        ));
    }
    if earlier.plan.replicas != later.plan.replicas {
        found.push(format!(
            "the number of replicas differs: {} and {}",
            earlier.plan.replicas, later.plan.replicas
        ));
    }
    if earlier.tool.build != later.tool.build {
        found.push(format!(
            "the build differs: {} and {}",
            earlier.tool.build, later.tool.build
        ));
    }
    found
}

fn windows(results: &Results, strategy: &str, value: Value) -> Vec<f64> {
    let rounds = results.rounds.iter();
    let own = rounds.filter(|round| round.strategy == strategy);
    own.filter_map(value).collect()
}
