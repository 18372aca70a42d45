//! What a comparison is going to do, and what its results say of that.

use std::{collections::BTreeMap, time::Duration};

use super::{
    CompareOptions, Comparison, DEADLINE, Rounds, besides,
    pace::{self, Pace},
};
use crate::{
    results::{ArmInfo, Capacity, Conditions, Plan, ProcessMemory},
    subject::login,
};

impl Comparison<'_> {
    /// Every load with every working set.
    pub(super) fn conditions(&self, capacities: &[Capacity]) -> Vec<Conditions> {
        let highest = capacities.iter().map(|one| one.rate_per_second.value);
        let slower = highest.fold(f64::INFINITY, f64::min);
        let loads: Vec<(Option<f64>, f64)> = match self.options.rate {
            Some(rate) => vec![(None, rate)],
            None => {
                let loads = self.pace.loads.iter();
                loads
                    .map(|load| (Some(*load), pace::preferred(slower * load)))
                    .collect()
            }
        };
        let usual = [self.pace.users as u32];
        let working_sets: &[u32] = match self.options.working_sets.as_slice() {
            [] => &usual,
            given => given,
        };
        let mut conditions = Vec::new();
        for mix in &self.options.mixes {
            for working_set in working_sets {
                for (load, rate_per_second) in &loads {
                    conditions.push(Conditions {
                        load: *load,
                        rate_per_second: *rate_per_second,
                        working_set: *working_set,
                        mix: mix.to_string(),
                    });
                }
            }
        }
        conditions
    }

    fn left_out(&self) -> Vec<String> {
        let mut left_out = self.pace.left_out(self.options.rate.is_some());
        if self.options.hashes_cheaply() {
            left_out.push(login::CHEAP_HASHING_NOTE.to_owned());
        }
        left_out
    }

    pub(super) fn plan(
        &self,
        conditions: Vec<Conditions>,
        blocks: u32,
        floor_arm: Option<String>,
    ) -> Plan {
        let options = self.options;
        let arms = self.systems.arms.iter().take(options.arms.len());
        let arms: Vec<ArmInfo> = arms
            .map(|arm| ArmInfo {
                replicas: self.systems.replicas(arm),
                ..arm.spec.info()
            })
            .collect();
        Plan {
            replicas: arms.first().and_then(|arm| arm.replicas).unwrap_or(0),
            arms,
            floor_arm,
            quick: options.quick,
            seed: options.seed,
            conditions,
            rate_chosen_by: match options.rate {
                Some(_) => "--rate".to_owned(),
                None => "shares of the slower arm's highest rate, each rounded to the nearest \
                         preferred number (ISO 3, series R10), so that different runs meet the same \
                         rates"
                    .to_owned(),
            },
            connections: options.connections as u32,
            max_connections: options.max_connections.map(|most| most as u32),
            generator_threads: options.generator_threads as u32,
            blocks,
            window_seconds: self.pace.window.as_secs_f64(),
            warmup_seconds: self.pace.warmup.as_secs_f64(),
            deadline_ms: DEADLINE.as_millis() as u64,
            restarts: self.pace.restarts,
            left_out: self.left_out(),
        }
    }
}

pub(super) fn memory(
    idle: &BTreeMap<String, u64>,
    peak: &BTreeMap<String, u64>,
) -> Vec<ProcessMemory> {
    idle.iter()
        .map(|(process, bytes)| ProcessMemory {
            process: process.clone(),
            idle_bytes: *bytes,
            highest_rate_bytes: peak.get(process).copied(),
        })
        .collect()
}

/// For the progress bar.
pub(super) fn expected(options: &CompareOptions, pace: &Pace) -> Duration {
    let arms = u32::try_from(options.arms.len()).unwrap_or(1);
    let searches = match options.rate {
        Some(_) => Duration::ZERO,
        None => pace.search() * arms * pace.searches as u32,
    };
    let loads = options.rate.map_or(pace.loads.len(), |_| 1)
        * options.working_sets.len().max(1)
        * options.mixes.len();
    let block = (pace.warmup + pace.window) * (arms + 1) * u32::try_from(loads).unwrap_or(1);
    let blocks = match options.rounds {
        Rounds::Usual => block * pace.blocks,
        Rounds::Fixed(count) => block * count,
        Rounds::Auto { at_most, .. } => at_most,
    };
    Duration::from_secs(5) + pace.self_check + searches + blocks + besides::expected(options)
}
