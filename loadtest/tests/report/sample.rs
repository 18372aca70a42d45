//! Results with every part filled, of invented figures.

mod distance;
mod parts;
mod scale;
mod sizes;

use std::collections::BTreeMap;

use loadtest::{
    metrics::{self, METRICS, Metric},
    results::{
        ArmInfo, Bound, Capacity, Change, Comparison, Conditions, Culprit, Drift, Environment,
        Estimate, Gate, Latency, Origin, PercentilePoint, Plan, Point, ProcessMemory, Results,
        SCHEMA_VERSION, Search, SelfCheck, Step, StepEnd, Threshold, ThresholdOutcome, Tool, Trend,
        UnitCosts, Validity, Verdict, Window,
    },
};

pub(crate) use distance::distant;

/// The baseline once more.
pub(crate) const FLOOR_ARM: &str = "jwt twice";
const LOADS: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
const REQUESTS: u64 = 60_000;

/// jwt and session, four loads, every part. The ratio of the CPU time changes its sign.
pub(crate) fn two() -> Results {
    of(&["jwt", "session"])
}

/// The four strategies whose curves cross.
pub(crate) fn four() -> Results {
    of(&["jwt", "jwt-remembered", "session", "session-cached"])
}

/// As many strategies as there are.
pub(crate) fn nine() -> Results {
    of(&loadtest::subject::strategy::KNOWN_STRATEGIES)
}

/// The arms of these names, four loads, four blocks, one fault.
fn of(names: &[&str]) -> Results {
    let conditions: Vec<Conditions> = LOADS.into_iter().map(at).collect();
    let mut points = Vec::new();
    let mut windows = Vec::new();
    for one in &conditions {
        for (index, name) in names.iter().enumerate() {
            points.push(point(index, name, one));
            windows.extend((0..4).map(|block| window(index, name, one, block)));
        }
    }
    let mut comparisons = Vec::new();
    for one in &conditions {
        for (index, name) in names.iter().enumerate().skip(1) {
            let compared = METRICS
                .iter()
                .filter(|metric| metric.id.contains("time") || is_cpu(metric));
            comparisons.extend(compared.map(|metric| comparison(index, name, metric, one)));
        }
    }
    Results {
        schema_version: SCHEMA_VERSION,
        tool: Tool {
            name: "loadtest".to_owned(),
            version: "0.1.0".to_owned(),
            build: "release".to_owned(),
        },
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        duration_seconds: 692.4,
        environment: environment(),
        plan: plan(names, conditions),
        self_check: Some(SelfCheck {
            target_latency_us: 2_000.0,
            requests: 4_000,
            measured_p50_us: 2_021.0,
            measured_p99_us: 2_040.0,
            p50_error_percent: 1.05,
            p99_error_percent: 2.0,
            cpu_us_per_request: 6.2,
        }),
        metrics: metrics::infos(),
        windows,
        points,
        comparisons,
        trends: (1..names.len())
            .map(|index| trend(index, names[index]))
            .collect(),
        capacities: (0..names.len())
            .map(|index| capacity(index, names[index]))
            .collect(),
        drifts: vec![drift("jwt", 1.02, false), drift(names[1], 1.31, true)],
        memory: [
            "redis",
            "auth-service",
            "api-jwt-1",
            "api-session-1",
            "gateway",
        ]
        .map(|process| ProcessMemory {
            process: process.to_owned(),
            idle_bytes: 9 << 20,
            highest_rate_bytes: Some(14 << 20),
        })
        .to_vec(),
        coupling: Some(parts::coupling(names)),
        freshness: Some(parts::freshness(names)),
        distance: None,
        scale: Some(scale::scale(names)),
        unit_costs: Some(unit_costs()),
        sizes: Some(sizes::sizes(names)),
        refresh_race: Some(sizes::race()),
        gates: vec![
            Gate::new(
                Culprit::Instrument,
                "send_lag_p99",
                210.0,
                Bound::AtMost,
                1_000.0,
                "µs",
            )
            .meaning(
                "The generator must send when it means to.",
                "Give it a processor.",
            ),
            Gate::new(Culprit::Machine, "steal", 0.4, Bound::AtMost, 3.0, "%").meaning(
                "The processor must be this machine's own.",
                "Use a quieter machine.",
            ),
        ],
        validity: Validity::Valid,
        thresholds: vec![threshold("p99(session) > 5ms", ThresholdOutcome::Holds)],
        findings: Vec::new(),
    }
}

fn unit_costs() -> UnitCosts {
    let estimate = |value: f64| Estimate {
        value,
        low: Some(value * 0.98),
        high: Some(value * 1.02),
        supported: true,
    };
    UnitCosts {
        logins: 40,
        renewals: 400,
        session_bytes: Some(estimate(730.0)),
        login_cpu_us: Some(estimate(26_000.0)),
        renewal_cpu_us: Some(estimate(1_000.0)),
        exchange_cpu_us: Some(estimate(900.0)),
        key_set_bytes: Some(estimate(462.0)),
    }
}

/// A threshold with an outcome.
pub(crate) fn threshold(expression: &str, outcome: ThresholdOutcome) -> Threshold {
    Threshold {
        expression: expression.to_owned(),
        outcome,
        reading: "p99 of session is 1.02 ms [0.91 ms, 1.20 ms] at 0.8 of the knee".to_owned(),
    }
}

fn at(load: f64) -> Conditions {
    Conditions {
        load: Some(load),
        rate_per_second: (load * 20_000.0).round(),
        working_set: 32,
        mix: "me".to_owned(),
    }
}

fn is_cpu(metric: &Metric) -> bool {
    metric.id.starts_with("cpu_")
}

fn environment() -> Environment {
    let facts = [("commit", "0123abc"), ("jwt api API_STRATEGY", "jwt")];
    Environment {
        cpu_model: "Example CPU at 3.00 GHz".to_owned(),
        cpus: 2,
        memory_bytes: 8 << 30,
        system: "Linux 6.1".to_owned(),
        load_average_at_start: 0.12,
        redis_version: Some("7.0.15".to_owned()),
        origin: Origin::Started,
        facts: facts
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

fn plan(names: &[&str], conditions: Vec<Conditions>) -> Plan {
    let arm = |name: &&str| ArmInfo {
        name: (*name).to_owned(),
        strategy: Some((*name).to_owned()),
        credential: Some("token".to_owned()),
        path: format!("/{name}/me"),
        variables: BTreeMap::new(),
        own_build: false,
        replicas: None,
    };
    Plan {
        arms: names.iter().chain([&FLOOR_ARM]).map(arm).collect(),
        floor_arm: Some(FLOOR_ARM.to_owned()),
        quick: false,
        replicas: 2,
        seed: 7,
        conditions,
        rate_chosen_by: "shares of the slower arm's highest rate".to_owned(),
        connections: 32,
        max_connections: None,
        generator_threads: 1,
        blocks: 4,
        window_seconds: 2.0,
        warmup_seconds: 0.5,
        deadline_ms: 1_000,
        restarts: true,
        left_out: vec!["No mix was measured.".to_owned()],
    }
}

/// How an arm's value moves: odd arms fall with load, others are nearly flat.
fn factor(index: usize, conditions: &Conditions) -> f64 {
    let load = conditions.load.unwrap_or(0.5);
    let step = index as f64;
    match index {
        0 => 1.0,
        _ if index % 2 == 1 => 1.25 - 0.5 * load + 0.03 * step,
        _ => 0.6 + 0.05 * step,
    }
}

/// What a metric is of the first arm.
fn base(metric: &Metric, conditions: &Conditions) -> f64 {
    let load = conditions.load.unwrap_or(0.5);
    match metric.id {
        "response_time_p50" => 180.0 * (1.0 + load),
        "response_time_p90" => 300.0 * (1.0 + load),
        "response_time_p99" => 600.0 / (1.05 - load),
        "response_time_p99_9" => 2_500.0 / (1.05 - load),
        "service_time_p50" => 150.0 * (1.0 + load),
        "service_time_p99" => 500.0 / (1.05 - load),
        "cpu_us_per_request" => 97.0 - 25.0 * load,
        "cpu_us_per_request_gateway" => 40.0 - 10.0 * load,
        "cpu_us_per_request_api" => 45.0 - 12.0 * load,
        "cpu_us_per_request_redis" => 11.0 - 3.0 * load,
        "cpu_us_per_request_auth" => 0.3,
        "cpu_us_per_request_generator" => 20.0 - 5.0 * load,
        "achieved_per_second" => conditions.rate_per_second * 0.9997,
        "good" => 0.999_95,
        "redis_commands_per_request" => 1.004,
        "send_lag_p99" => 40.0,
        _ => 385.0,
    }
}

fn value(index: usize, metric: &Metric, conditions: &Conditions) -> f64 {
    let scaled = metric.id.contains("time") || is_cpu(metric);
    base(metric, conditions)
        * if scaled {
            factor(index, conditions)
        } else {
            1.0
        }
}

fn point(index: usize, name: &str, conditions: &Conditions) -> Point {
    let estimate = |metric: &Metric| {
        let value = value(index, metric, conditions);
        Estimate {
            value,
            low: Some(value * 0.97),
            high: Some(value * 1.03),
            supported: metric.is_supported(REQUESTS),
        }
    };
    let metrics = METRICS.iter();
    let response_time = latency(180.0 * factor(index, conditions));
    Point {
        arm: name.to_owned(),
        conditions: conditions.clone(),
        requests: REQUESTS,
        metrics: metrics
            .map(|metric| (metric.id.to_owned(), estimate(metric)))
            .collect(),
        answers: [("200".to_owned(), REQUESTS - 3), ("timeout".to_owned(), 3)].into(),
        service_time: latency(response_time.p50_us * 0.9),
        response_time,
        send_lag: Latency::default(),
    }
}

fn window(index: usize, name: &str, conditions: &Conditions, block: u32) -> Window {
    let metrics = METRICS.iter().map(|metric| {
        let drift = 1.0 + f64::from(block) * 0.02;
        (
            metric.id.to_owned(),
            value(index, metric, conditions) * drift,
        )
    });
    let load = conditions.load.unwrap_or_default() * 10.0;
    Window {
        arm: name.to_owned(),
        block,
        place: index as u32,
        started_at_seconds: 20.0 + f64::from(block) * 100.0 + load * 8.0 + index as f64,
        conditions: conditions.clone(),
        requests: REQUESTS / 4,
        metrics: metrics.collect(),
        answers: [("200".to_owned(), REQUESTS / 4)].into(),
        histograms: BTreeMap::new(),
    }
}

fn latency(p50_us: f64) -> Latency {
    let point = |percentile: f64| PercentilePoint {
        percentile,
        latency_us: p50_us * (0.6 + 0.35 / (1.0 - percentile / 100.0).powf(0.45)),
    };
    let percentiles = [
        0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99,
    ];
    Latency {
        count: REQUESTS,
        mean_us: p50_us * 1.2,
        p50_us,
        p90_us: point(90.0).latency_us,
        p99_us: point(99.0).latency_us,
        p99_9_us: point(99.9).latency_us,
        max_us: point(99.99).latency_us * 1.5,
        percentiles: percentiles.map(point).to_vec(),
    }
}

fn comparison(index: usize, name: &str, metric: &Metric, conditions: &Conditions) -> Comparison {
    let ratio = factor(index, conditions);
    let width = if metric.id.contains("p99") {
        1.12
    } else {
        1.03
    };
    let floor = if metric.id.contains("p99") {
        1.09
    } else {
        1.02
    };
    let (ci_low, ci_high) = (ratio / width, ratio * width);
    let verdict = match (ci_low, ci_high) {
        (low, _) if low > 1.0 => Verdict::Higher,
        (_, high) if high < 1.0 => Verdict::Lower,
        (low, high) if low > 1.0 / 1.05 && high < 1.05 => Verdict::Equivalent,
        _ => Verdict::Inconclusive,
    };
    Comparison {
        metric: metric.id.to_owned(),
        conditions: conditions.clone(),
        baseline: "jwt".to_owned(),
        candidate: name.to_owned(),
        ratio,
        ci_low,
        ci_high,
        confidence: if metric.headline { 0.983 } else { 0.95 },
        floor_low: Some(1.0 / floor),
        floor_high: Some(floor),
        blocks: 4,
        p_adjusted: Some(0.01),
        detectable_ratio: Some(width),
        margin: 1.05,
        verdict,
        headline: metric.headline,
        supported: metric.is_supported(REQUESTS),
        reading: format!(
            "{} of {name} is {ratio:.2} times that of jwt.",
            metric.title
        ),
    }
}

fn trend(index: usize, name: &str) -> Trend {
    let crosses = index % 2 == 1;
    let estimate = |value: f64, width: f64| Estimate {
        value,
        low: Some(value - width),
        high: Some(value + width),
        supported: true,
    };
    Trend {
        metric: "cpu_us_per_request".to_owned(),
        baseline: "jwt".to_owned(),
        candidate: name.to_owned(),
        axis: "load".to_owned(),
        change: if crosses {
            Change::Sign
        } else {
            Change::Unclear
        },
        crossing: crosses.then(|| estimate(0.5 + 0.06 * index as f64, 0.07)),
        last_to_first: Some(estimate(0.74, 0.05)),
        reading: String::new(),
    }
}

fn capacity(index: usize, name: &str) -> Capacity {
    let best = 20_000.0 + 1_500.0 * index as f64;
    let step = |share: f64, p99_us: f64, end| Step {
        asked_per_second: best * share,
        achieved_per_second: best * share.min(1.0),
        p99_us,
        errors: 0,
        answers_per_core_second: Some(12_500.0),
        end,
    };
    let search = |off: f64| Search {
        rate_per_second: Some(best * off),
        ended_by: "p99 above 50 ms".to_owned(),
        culprit: Some(Culprit::System),
        steps: vec![
            step(0.4 * off, 700.0, StepEnd::Held),
            step(0.8 * off, 1_900.0, StepEnd::Held),
            step(1.2 * off, 84_000.0, StepEnd::Failed),
            step(1.1 * off, 9_000_000.0, StepEnd::Spoiled),
            step(off, 6_100.0, StepEnd::Held),
        ],
    };
    let estimate = |value: f64| Estimate {
        value,
        low: Some(value * 0.93),
        high: Some(value * 1.06),
        supported: true,
    };
    Capacity {
        arm: name.to_owned(),
        rate_per_second: estimate(best),
        indicative: false,
        answers_per_core_second: Some(estimate(12_500.0)),
        searches: [0.95, 1.0, 1.04].map(search).to_vec(),
    }
}

fn drift(arm: &str, by: f64, drifted: bool) -> Drift {
    Drift {
        arm: arm.to_owned(),
        conditions: at(0.2),
        metric: "response_time_p50".to_owned(),
        last_to_first: Estimate {
            value: by,
            low: Some(by - 0.03),
            high: Some(by + 0.03),
            supported: true,
        },
        drifted,
    }
}

/// Two arms of which next to nothing is known.
pub(crate) fn bare() -> Results {
    let mut results = two();
    results.self_check = None;
    results.plan.floor_arm = None;
    results.plan.arms.truncate(2);
    results.plan.conditions.clear();
    results.plan.left_out.clear();
    results.environment.facts.clear();
    results.metrics.clear();
    results.windows.clear();
    results.points.clear();
    results.comparisons.clear();
    results.trends.clear();
    results.capacities.clear();
    results.drifts.clear();
    results.memory.clear();
    results.coupling = None;
    results.freshness = None;
    results.unit_costs = None;
    results.sizes = None;
    results.refresh_race = None;
    results.gates.clear();
    results.thresholds.clear();
    results
}
