//! Two runs against each other: what they do not have in common, and how each arm changed.
//!
//! The windows of two runs are not paired: nothing that happened in one was seen by the other. What
//! changed between the runs besides the code (another boot, another neighbour) is in the ratio and
//! not in the interval, so that only what exceeds the margin of equivalence is called a difference.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    metrics::{METRICS, Metric},
    results::{ArmInfo, Conditions, Results, Validity, Verdict},
    stats::effect::{self, EQUIVALENCE_MARGIN, Effect},
};

/// Rates that differ by less than this factor are the same: a latency changes less by it than can be
/// told.
const SAME_RATE: f64 = 1.02;
/// What must be alike in two runs to be compared, of [`crate::results::Environment::facts`].
const OF_THE_MACHINE: [&str; 8] = [
    "CPU limit",
    "SMT",
    "build",
    "clock source",
    "container",
    "frequency boost",
    "frequency governor",
    "virtual machine",
];

/// Something that two runs do not have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// In the earlier run.
    pub earlier: String,
    /// In the later one.
    pub later: String,
    /// Whether it makes the runs no comparison of two versions: the machine differs, or how was
    /// measured.
    pub obstacle: bool,
}

/// One metric of one arm under conditions that both runs have.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which arm.
    pub arm: String,
    /// Under what; those of the earlier run.
    pub conditions: Conditions,
    /// Which metric.
    pub metric: &'static Metric,
    /// Later ÷ earlier. Its interval is at least as wide as the floors of both runs together. `None`
    /// with too few blocks.
    pub effect: Option<Effect>,
}

/// Everything that differs, obstacles first.
#[must_use]
pub fn differences(earlier: &Results, later: &Results) -> Vec<Difference> {
    let (one, other) = (told(earlier), told(later));
    let names: BTreeSet<&(bool, String)> = one.keys().chain(other.keys()).collect();
    let value = |of: &BTreeMap<(bool, String), String>, name| {
        of.get(name)
            .cloned()
            .unwrap_or_else(|| "not told".to_owned())
    };
    let mut found: Vec<Difference> = names
        .into_iter()
        .map(|name| Difference {
            what: name.1.clone(),
            earlier: value(&one, name),
            later: value(&other, name),
            obstacle: !name.0,
        })
        .filter(|difference| difference.earlier != difference.later)
        .collect();
    let unusable = |run: &Results| matches!(run.validity, Validity::Invalid | Validity::Disturbed);
    if unusable(earlier) || unusable(later) {
        let name = |run: &Results| format!("{:?}", run.validity).to_uppercase();
        let difference = Difference {
            what: "validity".to_owned(),
            earlier: name(earlier),
            later: name(later),
            obstacle: true,
        };
        found.insert(0, difference);
    }
    found
}

/// Every headline metric, and the achieved rate, of every arm under all conditions that both have.
#[must_use]
pub fn changes(earlier: &Results, later: &Results) -> Vec<Change> {
    let mut changes = Vec::new();
    // The baseline once more is there for the floor.
    let is_floor = |arm: &&ArmInfo| earlier.plan.floor_arm.as_ref() == Some(&arm.name);
    for arm in earlier.plan.arms.iter().filter(|arm| !is_floor(arm)) {
        for conditions in &earlier.plan.conditions {
            let same = later.plan.conditions.iter();
            let Some(then) = same.clone().find(|one| are_same(one, conditions)) else {
                continue;
            };
            if !later.plan.arms.iter().any(|one| one.name == arm.name) {
                continue;
            }
            for metric in METRICS {
                if metric.headline || metric.id == "achieved_per_second" {
                    changes.push(Change {
                        arm: arm.name.clone(),
                        conditions: conditions.clone(),
                        metric,
                        effect: effect((earlier, conditions), (later, then), &arm.name, metric.id),
                    });
                }
            }
        }
    }
    changes
}

impl Change {
    /// What may be said.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Some(effect) = self.effect else {
            return Verdict::Inconclusive;
        };
        let within = 1.0 / EQUIVALENCE_MARGIN..=EQUIVALENCE_MARGIN;
        if within.contains(&effect.low) && within.contains(&effect.high) {
            return Verdict::Equivalent;
        }
        match effect.verdict() {
            Verdict::Higher | Verdict::Lower if within.contains(&effect.ratio) => {
                Verdict::Inconclusive
            }
            Verdict::Equivalent => Verdict::Inconclusive,
            verdict => verdict,
        }
    }
}

fn are_same(one: &Conditions, other: &Conditions) -> bool {
    let ratio = one.rate_per_second / other.rate_per_second;
    (1.0 / SAME_RATE..=SAME_RATE).contains(&ratio)
        && one.working_set == other.working_set
        && one.mix == other.mix
}

fn effect(
    earlier: (&Results, &Conditions),
    later: (&Results, &Conditions),
    arm: &str,
    metric: &str,
) -> Option<Effect> {
    let blocks = |(results, conditions)| blocks(results, arm, conditions, metric);
    let mut found = effect::unpaired(&blocks(earlier), &blocks(later))?;
    let floor = |(results, conditions)| floor(results, conditions, metric).powi(2);
    let half = (floor(earlier) + floor(later)).sqrt();
    found.low = found.low.min(found.ratio * (-half).exp());
    found.high = found.high.max(found.ratio * half.exp());
    found.floor_low = (half > 0.0).then(|| (-half).exp());
    found.floor_high = (half > 0.0).then(|| half.exp());
    Some(found)
}

/// Geometric means of the windows of each block.
fn blocks(results: &Results, arm: &str, conditions: &Conditions, metric: &str) -> Vec<f64> {
    let mut blocks: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for window in &results.windows {
        if window.arm == arm
            && window.conditions == *conditions
            && let Some(value) = window.metrics.get(metric)
        {
            blocks.entry(window.block).or_default().push(value.ln());
        }
    }
    let mean = |logs: Vec<f64>| (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    blocks.into_values().map(mean).collect()
}

/// What the baseline of a run shows against itself, as the logarithm of a ratio; 0 without an A/A arm.
fn floor(results: &Results, conditions: &Conditions, metric: &str) -> f64 {
    let rows = results.comparisons.iter();
    rows.filter(|row| row.metric == metric && row.conditions == *conditions)
        .filter_map(|row| Some(row.floor_high?.max(1.0 / row.floor_low?)))
        .map(f64::ln)
        .fold(0.0, f64::max)
}

/// Everything that a run is known by, by name; `false` before what must be alike.
fn told(results: &Results) -> BTreeMap<(bool, String), String> {
    let (place, plan) = (&results.environment, &results.plan);
    let must = |what: &str, value: String| ((false, what.to_owned()), value);
    let may = |what: String, value: String| ((true, what), value);
    let mut told = BTreeMap::from([
        must("processor", place.cpu_model.clone()),
        must("number of processors", place.cpus.to_string()),
        must("system", place.system.clone()),
        must(
            "origin of the system under test",
            format!("{:?}", place.origin),
        ),
        must("build of the load test", results.tool.build.clone()),
        must("replicas", plan.replicas_in_words()),
        must("connections", plan.connections.to_string()),
        must(
            "connections up to which the pool grows",
            plan.max_connections
                .map_or("fixed".to_owned(), |most| most.to_string()),
        ),
        must(
            "threads of the generator",
            plan.generator_threads.to_string(),
        ),
        must("deadline", format!("{} ms", plan.deadline_ms)),
        may(
            "Redis".to_owned(),
            place.redis_version.clone().unwrap_or_default(),
        ),
        may(
            "version of the load test".to_owned(),
            results.tool.version.clone(),
        ),
        may(
            "restarts between blocks".to_owned(),
            plan.restarts.to_string(),
        ),
        may(
            "length of a window".to_owned(),
            format!("{} s", plan.window_seconds),
        ),
    ]);
    for (name, value) in &place.facts {
        let is_alike = OF_THE_MACHINE.contains(&name.as_str());
        told.insert((!is_alike, name.clone()), value.clone());
    }
    for arm in &plan.arms {
        told.insert((true, format!("arm {}", arm.name)), described(arm));
    }
    told
}

fn described(arm: &ArmInfo) -> String {
    let strategy = arm
        .strategy
        .as_deref()
        .unwrap_or("a server of somebody else's");
    let variables = arm.variables.iter();
    let variables = variables.map(|(name, value)| format!(" {name}={value}"));
    let build = if arm.own_build { " own build" } else { "" };
    format!("{strategy}{build}{}", variables.collect::<String>())
}
