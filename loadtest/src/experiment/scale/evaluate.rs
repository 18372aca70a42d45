//! What is written of what was asked for and known.

use std::{collections::BTreeMap, time::Duration};

use super::{bench, calibrated::Calibrated, form::Form, options::ScaleOptions};
use crate::{
    results::{
        ArmInfo, Estimate, Plan,
        scale::{Component, CpuSlice, ScaleFit, ScalePoint, ScaleSubject},
    },
    stats::{
        interval::Interval,
        scalability::{self, Fit, Model, Place},
    },
    subject::slices::CpuLimit,
};

/// What was asked for.
pub(super) fn plan(options: &ScaleOptions, form: &Form, subjects: &[Calibrated]) -> Plan {
    let arm = |one: &Calibrated| {
        let (path, credential) = one.subject.requested();
        ArmInfo {
            name: one.subject.name().to_owned(),
            strategy: Some(one.subject.name().to_owned()),
            credential,
            path,
            variables: BTreeMap::new(),
            own_build: options.stack.bin_dir.is_some(),
            replicas: None,
        }
    };
    let first = subjects.first().map(|one| one.subject);
    let in_flight = first.map_or(0, |subject| form.in_flight(subject));
    let connections = options.replicas.last().unwrap_or(&1) * in_flight;
    let window = first.map_or(Duration::ZERO, |subject| form.window(subject));
    Plan {
        arms: subjects.iter().map(arm).collect(),
        floor_arm: None,
        quick: options.quick,
        replicas: 0,
        seed: options.seed,
        conditions: Vec::new(),
        rate_chosen_by: "as many as are answered, each connection always busy".to_owned(),
        connections: connections as u32,
        max_connections: None,
        generator_threads: options.generator_threads as u32,
        blocks: form.repetitions,
        window_seconds: window.as_secs_f64(),
        warmup_seconds: bench::WARMUP.as_secs_f64(),
        deadline_ms: bench::DEADLINE.as_millis() as u64,
        restarts: true,
        left_out: form.left_out(),
    }
}

/// One subject, with the laws that what was observed of it follows.
pub(super) fn subject(one: &Calibrated, points: &[ScalePoint], seed: u64) -> ScaleSubject {
    let slice = |(component, limit): (&Component, &CpuLimit)| CpuSlice {
        component: *component,
        cores: limit.cores(),
        quota_ms: limit.quota().as_secs_f64() * 1e3,
        period_ms: limit.period().as_secs_f64() * 1e3,
    };
    let name = one.subject.name();
    let places: Vec<Place> = points
        .iter()
        .filter(|point| point.strategy == name)
        .map(|point| Place {
            servers: f64::from(point.replicas),
            throughputs: point.observations.clone(),
        })
        .collect();
    let fits = scalability::fits(&places, seed);
    ScaleSubject {
        strategy: name.to_owned(),
        scaled: one.subject.scaled(),
        slices: one.slices.iter().map(slice).collect(),
        demands: one.windows.clone(),
        store_ends_at: one.store_ends_at,
        fits: fits.iter().map(fit).collect(),
    }
}

fn fit(found: &Fit) -> ScaleFit {
    let estimate = |interval: &Interval| Estimate {
        value: interval.value,
        low: Some(interval.low),
        high: Some(interval.high),
        supported: true,
    };
    let (model, has_contention, has_coherency) = match found.model {
        Model::Linear => ("linear", false, false),
        Model::Amdahl => ("amdahl", true, false),
        Model::Universal => ("usl", true, true),
    };
    ScaleFit {
        model: model.to_owned(),
        per_replica: estimate(&found.per_server),
        contention: has_contention.then(|| estimate(&found.contention)),
        coherency: has_coherency.then(|| estimate(&found.coherency)),
        aicc: found.aicc,
        relative_error: found.relative_error,
    }
}
