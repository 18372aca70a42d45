//! What experiments have in common that drive one strategy at a time at one rate.

use std::collections::BTreeMap;

use crate::{
    load::Options,
    results::{ArmInfo, Conditions, Plan},
    subject::{found, stack::StackOptions, strategy::Strategy},
};

/// Such an experiment.
pub(super) struct OneByOne<'a> {
    /// The system, with the strategies.
    pub(super) stack: &'a StackOptions,
    pub(super) quick: bool,
    pub(super) seed: u64,
    /// Requests per second.
    pub(super) rate: f64,
    /// Logins whose credentials are presented in turn.
    pub(super) logins: usize,
    pub(super) blocks: u32,
    pub(super) restarts: bool,
    /// How a window is driven.
    pub(super) window: Options,
    pub(super) left_out: Vec<String>,
}

impl OneByOne<'_> {
    /// What the results say of it.
    pub(super) fn plan(self) -> Plan {
        let (stack, window) = (self.stack, self.window);
        let arm = |name: &String| ArmInfo {
            name: name.clone(),
            strategy: Some(name.clone()),
            credential: Strategy::named(name).map(|one| one.credential().name().to_owned()),
            path: found::path(name),
            variables: BTreeMap::new(),
            own_build: stack.bin_dir.is_some(),
            replicas: u32::try_from(stack.replicas).ok(),
        };
        Plan {
            arms: stack.strategies.iter().map(arm).collect(),
            floor_arm: None,
            quick: self.quick,
            replicas: u32::try_from(stack.replicas).unwrap_or_default(),
            seed: self.seed,
            conditions: vec![Conditions {
                load: None,
                rate_per_second: self.rate,
                working_set: u32::try_from(self.logins).unwrap_or(u32::MAX),
                mix: "me".to_owned(),
            }],
            rate_chosen_by: "--rate".to_owned(),
            connections: u32::try_from(window.connections).unwrap_or(u32::MAX),
            max_connections: None,
            generator_threads: u32::try_from(window.threads).unwrap_or(u32::MAX),
            blocks: self.blocks,
            window_seconds: window.duration.as_secs_f64(),
            warmup_seconds: window.warmup.as_secs_f64(),
            deadline_ms: u64::try_from(window.deadline.as_millis()).unwrap_or(u64::MAX),
            restarts: self.restarts,
            left_out: self.left_out,
        }
    }
}
