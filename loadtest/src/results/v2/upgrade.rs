//! From version 2 to version 3.

use std::collections::BTreeMap;

use super::{CapacityStep, Plan, Results, Round, StrategyResult, Sustainable};
use crate::results::{self as v3, Culprit, Estimate, StepEnd};

/// Ratios within this were called equivalent.
const MARGIN: f64 = 1.05;
/// The quantities that decided.
const HEADLINES: [&str; 3] = [
    "response_time_p50",
    "response_time_p99",
    "cpu_us_per_request",
];
/// Confidence in the quantities of version 2 that were quantiles: share of requests above it.
const ABOVE: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p99_9", 0.001)];

impl From<Results> for v3::Results {
    fn from(old: Results) -> Self {
        let conditions = v3::Conditions {
            load: None,
            rate_per_second: old.plan.rate_per_second,
            working_set: old.plan.users,
            mix: "me".to_owned(),
        };
        let mut facts = BTreeMap::new();
        facts.insert("gateway".to_owned(), old.environment.gateway);
        let requests = |arm: &str| {
            let mut strategies = old.strategies.iter();
            let found = strategies.find(|one| one.name == arm);
            found.map_or(0, |one| one.requests)
        };
        // What has too little to tell is a verdict of version 3 and no condition.
        let (gates, too_little): (Vec<_>, Vec<_>) = old
            .gates
            .into_iter()
            .partition(|gate| gate.name != "decided_comparisons" && gate.name != "pairs");
        let left_out = too_little.iter().filter(|gate| !gate.passed).map(|gate| {
            format!(
                "{} was {}, and had to be {}",
                gate.name, gate.value, gate.limit
            )
        });
        Self {
            schema_version: v3::SCHEMA_VERSION,
            tool: old.tool,
            started_at: old.started_at,
            duration_seconds: old.duration_seconds,
            environment: v3::Environment {
                cpu_model: old.environment.cpu_model,
                cpus: old.environment.cpus,
                memory_bytes: old.environment.memory_bytes,
                system: old.environment.system,
                load_average_at_start: old.environment.load_average_at_start,
                redis_version: old.environment.redis_version,
                origin: old.environment.origin,
                facts,
            },
            plan: plan(&old.plan, &old.strategies, &conditions, left_out.collect()),
            self_check: old.self_check,
            metrics: Vec::new(),
            comparisons: old
                .comparisons
                .iter()
                .map(|one| {
                    let fewer = requests(&one.baseline).min(requests(&one.candidate));
                    comparison(one, &conditions, is_supported(&one.quantity, fewer))
                })
                .collect(),
            windows: old
                .rounds
                .iter()
                .map(|round| window(round, &conditions))
                .collect(),
            points: old
                .strategies
                .iter()
                .map(|one| point(one, &conditions))
                .collect(),
            trends: Vec::new(),
            capacities: old.strategies.iter().filter_map(capacity).collect(),
            drifts: Vec::new(),
            memory: old.memory,
            coupling: None,
            freshness: old.freshness,
            distance: None,
            scale: None,
            unit_costs: None,
            sizes: None,
            refresh_race: None,
            gates: gates.into_iter().map(gate).collect(),
            validity: match old.validity {
                super::Validity::Valid => v3::Validity::Valid,
                super::Validity::Invalid => v3::Validity::Invalid,
                super::Validity::Inconclusive => v3::Validity::Inconclusive,
            },
            thresholds: Vec::new(),
            findings: old.findings,
        }
    }
}

fn plan(
    old: &Plan,
    strategies: &[StrategyResult],
    conditions: &v3::Conditions,
    left_out: Vec<String>,
) -> v3::Plan {
    let arm = |one: &StrategyResult| v3::ArmInfo {
        name: one.name.clone(),
        strategy: Some(one.name.clone()),
        credential: Some(one.credential.clone()),
        path: one.path.clone(),
        variables: BTreeMap::new(),
        own_build: false,
        replicas: None,
    };
    v3::Plan {
        arms: strategies.iter().map(arm).collect(),
        floor_arm: None,
        quick: old.quick,
        replicas: old.replicas,
        seed: old.seed,
        conditions: vec![conditions.clone()],
        rate_chosen_by: old.rate_chosen_by.clone(),
        connections: old.connections,
        max_connections: None,
        generator_threads: 1,
        blocks: old.rounds,
        window_seconds: old.window_seconds,
        warmup_seconds: old.warmup_seconds,
        deadline_ms: old.deadline_ms,
        restarts: false,
        left_out,
    }
}

fn comparison(
    old: &super::Comparison,
    conditions: &v3::Conditions,
    supported: bool,
) -> v3::Comparison {
    v3::Comparison {
        metric: old.quantity.clone(),
        conditions: conditions.clone(),
        baseline: old.baseline.clone(),
        candidate: old.candidate.clone(),
        ratio: old.ratio,
        ci_low: old.ci_low,
        ci_high: old.ci_high,
        confidence: old.confidence,
        floor_low: None,
        floor_high: None,
        // An ABBA block has two pairs.
        blocks: old.pairs / 2,
        p_adjusted: None,
        detectable_ratio: old.detectable_ratio,
        margin: MARGIN,
        verdict: old.verdict,
        headline: HEADLINES.contains(&old.quantity.as_str()),
        supported,
        reading: old.reading.clone(),
    }
}

fn window(old: &Round, conditions: &v3::Conditions) -> v3::Window {
    let good = old.requests.saturating_sub(old.errors);
    let mut metrics = BTreeMap::from([
        ("response_time_p50".to_owned(), old.p50_us),
        ("response_time_p90".to_owned(), old.p90_us),
        ("response_time_p99".to_owned(), old.p99_us),
        ("response_time_p99_9".to_owned(), old.p99_9_us),
        ("achieved_per_second".to_owned(), old.achieved_per_second),
        ("good".to_owned(), share(good, old.requests)),
    ]);
    let cpu = old.system_cpu_us_per_request;
    metrics.extend(cpu.map(|us| ("cpu_us_per_request".to_owned(), us)));
    v3::Window {
        arm: old.strategy.clone(),
        block: old.block,
        place: old.place,
        started_at_seconds: old.started_at_seconds,
        conditions: conditions.clone(),
        requests: old.requests,
        metrics,
        answers: BTreeMap::new(),
        histograms: BTreeMap::new(),
    }
}

fn point(old: &StrategyResult, conditions: &v3::Conditions) -> v3::Point {
    let statuses = old
        .answers
        .iter()
        .map(|one| (one.status.to_string(), one.count));
    // An error that is a status is among the answers already.
    let errors = old
        .errors
        .iter()
        .filter(|one| one.kind.parse::<u16>().is_err())
        .map(|one| (one.kind.clone(), one.count));
    let failed: u64 = old.errors.iter().map(|one| one.count).sum();
    let good = old.requests.saturating_sub(failed);
    let mut metrics = BTreeMap::new();
    let mut add = |id: &str, value: f64| {
        let supported = is_supported(id, old.requests);
        let estimate = Estimate {
            value,
            low: None,
            high: None,
            supported,
        };
        metrics.insert(id.to_owned(), estimate);
    };
    for (name, latency) in [
        ("response_time", &old.response_time),
        ("service_time", &old.service_time),
    ] {
        add(&format!("{name}_p50"), latency.p50_us);
        add(&format!("{name}_p99"), latency.p99_us);
    }
    add("response_time_p90", old.response_time.p90_us);
    add("response_time_p99_9", old.response_time.p99_9_us);
    add("send_lag_p99", old.send_lag.p99_us);
    add("achieved_per_second", old.achieved_per_second);
    add("good", share(good, old.requests));
    add("request_bytes", old.request_bytes);
    add("response_bytes", old.response_bytes);
    if let Some(commands) = old.redis_commands_per_request {
        add("redis_commands_per_request", commands);
    }
    for cpu in &old.cpu {
        add(
            &format!("cpu_us_per_request_{}", cpu.component),
            cpu.us_per_request,
        );
    }
    let system = old.cpu.iter().filter(|cpu| cpu.component != "generator");
    if old.cpu.iter().any(|cpu| cpu.component == "gateway") {
        add(
            "cpu_us_per_request",
            system.map(|cpu| cpu.us_per_request).sum(),
        );
    }
    v3::Point {
        arm: old.name.clone(),
        conditions: conditions.clone(),
        requests: old.requests,
        metrics,
        answers: statuses.chain(errors).collect(),
        response_time: old.response_time.clone(),
        service_time: old.service_time.clone(),
        send_lag: old.send_lag.clone(),
    }
}

fn capacity(old: &StrategyResult) -> Option<v3::Capacity> {
    let found: &Sustainable = old.highest_sustainable.as_ref()?;
    let step = |one: &CapacityStep| v3::Step {
        asked_per_second: one.asked_per_second,
        achieved_per_second: one.achieved_per_second,
        p99_us: one.p99_us,
        errors: one.errors,
        answers_per_core_second: None,
        end: if one.held {
            StepEnd::Held
        } else {
            StepEnd::Failed
        },
    };
    Some(v3::Capacity {
        arm: old.name.clone(),
        rate_per_second: Estimate {
            value: found.rate_per_second,
            low: None,
            high: None,
            supported: true,
        },
        indicative: true,
        answers_per_core_second: None,
        searches: vec![v3::Search {
            rate_per_second: Some(found.rate_per_second),
            ended_by: found.ended_by.clone(),
            culprit: None,
            steps: found.steps.iter().map(step).collect(),
        }],
    })
}

fn gate(old: super::Gate) -> v3::Gate {
    v3::Gate {
        name: old.name,
        value: old.value,
        limit: old.limit,
        unit: old.unit,
        bound: old.bound,
        passed: old.passed,
        // Version 2 held the instrument to be at fault in all that made a run invalid.
        culprit: match old.on_failure {
            super::Validity::Inconclusive => Culprit::System,
            super::Validity::Valid | super::Validity::Invalid => Culprit::Instrument,
        },
        meaning: old.meaning,
        advice: String::new(),
    }
}

/// A quantile needs a hundred requests above it.
fn is_supported(quantity: &str, requests: u64) -> bool {
    let quantile = quantity.split_once("_time_").map(|(_, quantile)| quantile);
    let known = ABOVE.iter().find(|(name, _)| Some(*name) == quantile);
    known.is_none_or(|(_, above)| requests as f64 * above >= 100.0)
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
