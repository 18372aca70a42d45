//! What was asked for, by what, and where it ran.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Name of the program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `debug` or `release`: figures of a debug build say nothing about the design.
    pub build: String,
}

impl Tool {
    /// This program.
    #[must_use]
    pub fn this() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
        }
    }
}

/// Where the measured system came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Started for this run and ended after it.
    Started,
    /// It ran already.
    Found,
}

/// What the generator measures of a target whose latency is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SelfCheck {
    /// The target's latency: the median of what it recorded of itself.
    pub target_latency_us: f64,
    /// Requests that were sent to it.
    pub requests: u64,
    /// What the generator says of the median.
    pub measured_p50_us: f64,
    /// What the generator says of the 99th percentile.
    pub measured_p99_us: f64,
    /// The median's error in percent of the target's latency.
    pub p50_error_percent: f64,
    /// The 99th percentile's error in percent of the target's latency.
    pub p99_error_percent: f64,
    /// Own CPU time per request.
    pub cpu_us_per_request: f64,
}

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Name of the processor as the system gives it.
    pub cpu_model: String,
    /// Logical processors that this process may use.
    pub cpus: u32,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
    /// Load average over one minute before the first request.
    pub load_average_at_start: f64,
    /// Version of the Redis server, if it told.
    pub redis_version: Option<String>,
    /// Whether the system was started for this run.
    pub origin: Origin,
    /// Everything else that two runs must have in common to be comparable, by name: commit, build,
    /// algorithm, threads, limits, and every variable that the services were given as
    /// `ARM role VARIABLE`. A secret has its name here and no value.
    pub facts: BTreeMap<String, String>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The arms in the order in which they were named. The first is the baseline.
    pub arms: Vec<ArmInfo>,
    /// The arm that is the baseline once more, whose spread is the floor of every interval.
    pub floor_arm: Option<String>,
    /// The short form.
    pub quick: bool,
    /// Replicas of the baseline's API; 0 where they are not known. Each arm has its own number.
    pub replicas: u32,
    /// Where all randomness begins: the same seed, the same schedule.
    pub seed: u64,
    /// Conditions under which every arm was measured.
    pub conditions: Vec<super::Conditions>,
    /// How the rates were chosen.
    pub rate_chosen_by: String,
    /// Connections of the generator to each arm.
    pub connections: u32,
    /// Connections up to which the pool may grow; absent: it is fixed.
    pub max_connections: Option<u32>,
    /// Threads of the generator.
    pub generator_threads: u32,
    /// Blocks that were measured.
    pub blocks: u32,
    /// Measured length of one window.
    pub window_seconds: f64,
    /// Discarded at the start of each window.
    pub warmup_seconds: f64,
    /// A later answer counts as failed.
    pub deadline_ms: u64,
    /// Whether all processes were restarted between blocks.
    pub restarts: bool,
    /// What this form of the run leaves out, one sentence each.
    pub left_out: Vec<String>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArmInfo {
    /// Name, such as `jwt`.
    pub name: String,
    /// The strategy behind it; absent for a server that is not ours.
    pub strategy: Option<String>,
    /// What was presented: `token`, `session` or nothing.
    pub credential: Option<String>,
    /// Path that was requested.
    pub path: String,
    /// Variables that this arm's processes have besides the usual ones.
    pub variables: BTreeMap<String, String>,
    /// Whether its programs are those of a folder that was named.
    pub own_build: bool,
    /// Replicas of its API, where they are known.
    #[serde(default)]
    pub replicas: Option<u32>,
}

impl Plan {
    /// How many replicas of the API the arms have, in words: `2 replicas each`, or `replicas: 3 of
    /// jwt, 2 of phantom`.
    #[must_use]
    pub fn replicas_in_words(&self) -> String {
        let arms = self.arms.iter();
        let told =
            arms.filter(|arm| arm.strategy.is_some() && self.floor_arm.as_ref() != Some(&arm.name));
        let of_baseline = (self.replicas > 0).then_some(self.replicas);
        let told: Vec<(&str, Option<u32>)> = told
            .map(|arm| (arm.name.as_str(), arm.replicas.or(of_baseline)))
            .collect();
        let first = told.first().and_then(|(_, replicas)| *replicas);
        match first.or(of_baseline) {
            None => "replicas unknown".to_owned(),
            Some(all) if told.iter().all(|(_, replicas)| *replicas == Some(all)) => {
                format!("{all} replica{} each", if all == 1 { "" } else { "s" })
            }
            _ => {
                let parts = told.iter().map(|(name, replicas)| match replicas {
                    Some(replicas) => format!("{replicas} of {name}"),
                    None => format!("unknown of {name}"),
                });
                format!("replicas: {}", parts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What a metric id means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricInfo {
    /// Id, as in every map of metrics.
    pub id: String,
    /// Shorter id, as `--fail-if` takes it too.
    pub alias: String,
    /// As in a table: short, and without the unit.
    pub label: String,
    /// As in a sentence.
    pub title: String,
    /// Unit: `µs`, `1/s`, `bytes`, `share` (0 to 1) or empty.
    pub unit: String,
    /// Which direction is better.
    pub better: Better,
    /// Whether a run is unclear when a comparison in this metric is.
    pub headline: bool,
}

/// Which direction of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A smaller value.
    Lower,
    /// A larger value.
    Higher,
    /// It depends.
    Neither,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(replicas: &[(&str, Option<u32>)], of_baseline: u32) -> String {
        let arm = |(name, replicas): &(&str, Option<u32>)| ArmInfo {
            name: (*name).to_owned(),
            strategy: Some("jwt".to_owned()),
            credential: None,
            path: "/me".to_owned(),
            variables: BTreeMap::new(),
            own_build: false,
            replicas: *replicas,
        };
        let plan = Plan {
            arms: replicas.iter().map(arm).collect(),
            floor_arm: None,
            quick: true,
            replicas: of_baseline,
            seed: 1,
            conditions: Vec::new(),
            rate_chosen_by: String::new(),
            connections: 1,
            max_connections: None,
            generator_threads: 1,
            blocks: 1,
            window_seconds: 1.0,
            warmup_seconds: 1.0,
            deadline_ms: 1,
            restarts: false,
            left_out: Vec::new(),
        };
        plan.replicas_in_words()
    }

    #[test]
    fn replicas_are_told_of_each_arm_where_they_differ() {
        let told = words(&[("jwt", Some(3)), ("phantom", Some(2))], 3);
        assert_eq!(told, "replicas: 3 of jwt, 2 of phantom");
        assert_eq!(
            words(&[("jwt", Some(2)), ("b", Some(2))], 2),
            "2 replicas each"
        );
        // As older files have it, and a system that does not tell.
        assert_eq!(words(&[("jwt", None), ("b", None)], 2), "2 replicas each");
        assert_eq!(words(&[("jwt", None)], 0), "replicas unknown");
        assert_eq!(words(&[("jwt", Some(1))], 1), "1 replica each");
    }
}
