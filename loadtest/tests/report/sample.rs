//! A result with every part filled, of invented figures.

use loadtest::results::v2::{
    Bound, CapacityStep, Comparison, ComponentCpu, Coupling, Environment, ErrorCount, FaultEffect,
    FaultResult, Freshness, Gate, Latency, Origin, PercentilePoint, Plan, ProcessMemory, Recovery,
    Results, RevocationKind, RevocationLag, Round, SCHEMA_VERSION, SelfCheck, Slice, StatusCount,
    StrategyResult, Sustainable, Tool, Validity, Verdict,
};

/// Two strategies, four windows, one fault.
pub(crate) fn results() -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        tool: Tool {
            name: "loadtest".to_owned(),
            version: "0.1.0".to_owned(),
            build: "release".to_owned(),
        },
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        duration_seconds: 92.4,
        environment: environment(),
        plan: plan(),
        self_check: Some(SelfCheck {
            target_latency_us: 2_000.0,
            requests: 4_000,
            measured_p50_us: 2_021.0,
            measured_p99_us: 2_040.0,
            p50_error_percent: 1.05,
            p99_error_percent: 2.0,
            cpu_us_per_request: 6.2,
        }),
        strategies: vec![
            strategy(
                "jwt",
                "token",
                182.0,
                &[
                    ("generator", 6.1),
                    ("gateway", 21.0),
                    ("api", 58.3),
                    ("redis", 0.0),
                ],
            ),
            strategy(
                "session",
                "session",
                201.6,
                &[
                    ("generator", 6.0),
                    ("gateway", 21.4),
                    ("api", 24.2),
                    ("redis", 7.8),
                ],
            ),
        ],
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
        rounds: rounds(),
        comparisons: vec![
            comparison("response_time_p50", 1.108, (1.05, 1.17), Verdict::Higher),
            comparison(
                "response_time_p99",
                1.04,
                (0.91, 1.19),
                Verdict::Inconclusive,
            ),
            comparison("cpu_us_per_request", 0.673, (0.66, 0.69), Verdict::Lower),
        ],
        coupling: Some(coupling(&["jwt", "session"])),
        freshness: Some(freshness(&["jwt", "session"])),
        gates: vec![
            Gate::new("send_lag_p99", 210.0, Bound::AtMost, 1_000.0, "µs")
                .meaning("The generator must send when it means to."),
            Gate::new("pairs", 4.0, Bound::AtLeast, 4.0, "pairs").or_inconclusive(),
        ],
        validity: Validity::Valid,
        findings: Vec::new(),
    }
}

fn environment() -> Environment {
    Environment {
        cpu_model: "Example CPU at 3.00 GHz".to_owned(),
        cpus: 2,
        memory_bytes: 8 << 30,
        system: "Linux 6.1".to_owned(),
        load_average_at_start: 0.12,
        redis_version: Some("7.0.15".to_owned()),
        origin: Origin::Started,
        gateway: "the stack's own".to_owned(),
    }
}

fn plan() -> Plan {
    Plan {
        strategies: vec!["jwt".to_owned(), "session".to_owned()],
        quick: true,
        replicas: 1,
        seed: 7,
        rate_per_second: 3_000.0,
        rate_chosen_by: "40 % of the slower strategy's closed loop".to_owned(),
        connections: 64,
        users: 50,
        rounds: 4,
        window_seconds: 2.0,
        warmup_seconds: 0.5,
        deadline_ms: 1_000,
    }
}

fn latency(p50_us: f64, plotted: bool) -> Latency {
    let point = |percentile: f64| PercentilePoint {
        percentile,
        latency_us: p50_us * (0.6 + 0.35 / (1.0 - percentile / 100.0).powf(0.45)),
    };
    let percentiles = [
        0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99,
    ];
    Latency {
        count: 24_000,
        mean_us: p50_us * 1.2,
        p50_us,
        p90_us: point(90.0).latency_us,
        p99_us: point(99.0).latency_us,
        p99_9_us: point(99.9).latency_us,
        max_us: point(99.99).latency_us * 1.5,
        percentiles: if plotted {
            percentiles.map(point).to_vec()
        } else {
            Vec::new()
        },
    }
}

fn strategy(name: &str, credential: &str, p50_us: f64, cpu: &[(&str, f64)]) -> StrategyResult {
    let step = |asked: f64, p99_us: f64, held| CapacityStep {
        asked_per_second: asked,
        achieved_per_second: if held { asked } else { asked * 0.93 },
        p99_us,
        errors: 0,
        held,
    };
    let best = 900_000.0 / p50_us;
    StrategyResult {
        name: name.to_owned(),
        credential: credential.to_owned(),
        path: format!("/{name}/me"),
        requests: 24_000,
        asked_per_second: 3_000.0,
        achieved_per_second: 2_998.7,
        response_time: latency(p50_us, true),
        service_time: latency(p50_us * 0.93, true),
        send_lag: latency(12.0, false),
        answers: vec![StatusCount {
            status: 200,
            count: 24_000,
        }],
        errors: Vec::new(),
        cpu: cpu
            .iter()
            .map(|(component, us)| ComponentCpu {
                component: (*component).to_owned(),
                us_per_request: *us,
            })
            .collect(),
        redis_commands_per_request: Some(if name == "jwt" { 0.0 } else { 1.004 }),
        request_bytes: if name == "jwt" { 842.0 } else { 143.0 },
        response_bytes: 231.0,
        highest_sustainable: Some(Sustainable {
            rate_per_second: best,
            ended_by: "p99 above 20 ms".to_owned(),
            steps: vec![
                step(best * 0.4, 700.0, true),
                step(best * 0.8, 1_900.0, true),
                step(best * 1.3, 84_000.0, false),
                step(best, 6_100.0, true),
            ],
        }),
        closed_loop_per_second: Some(best * 1.1),
    }
}

fn rounds() -> Vec<Round> {
    ["jwt", "session", "session", "jwt"]
        .iter()
        .zip(0u32..)
        .map(|(strategy, place)| Round {
            block: 0,
            place,
            strategy: (*strategy).to_owned(),
            started_at_seconds: 10.0 + f64::from(place) * 2.5,
            requests: 6_000,
            achieved_per_second: 2_999.0,
            p50_us: 190.0,
            p90_us: 260.0,
            p99_us: 600.0,
            p99_9_us: 1_900.0,
            errors: 0,
            system_cpu_us_per_request: Some(74.0),
        })
        .collect()
}

fn freshness(strategies: &[&str]) -> Freshness {
    let lag = |(index, strategy): (u32, &&str), kind| {
        let scale = 10f64.powi((index % 4).cast_signed() - 1);
        let lags: Vec<f64> = (0..200)
            .map(|place| f64::from(place) * scale * if index == 1 { 0.0 } else { 0.05 })
            .collect();
        RevocationLag {
            strategy: (*strategy).to_owned(),
            kind,
            revocations: 200,
            accepted_after: if index == 1 { 0 } else { 199 },
            unended: u32::from(index == 2),
            skipped: index,
            spacing_ms: 5.0,
            p50_ms: lags[99],
            p99_ms: lags[197],
            max_ms: lags[199],
            lags_ms: lags,
            until: (index == 0).then(|| "expiry of the token: life 10 s, leeway 2 s".to_owned()),
        }
    };
    let kinds = [RevocationKind::Logout, RevocationKind::Ban];
    Freshness {
        replicas: 3,
        access_token_ttl_seconds: 10.0,
        leeway_seconds: 2.0,
        exchange_ttl_seconds: 10.0,
        lags: kinds
            .into_iter()
            .flat_map(|kind| (0..).zip(strategies).map(move |one| lag(one, kind)))
            .collect(),
    }
}

/// As many strategies as there are.
pub(crate) fn nine() -> Results {
    let names = loadtest::subject::strategy::KNOWN_STRATEGIES;
    let mut results = results();
    results.plan.strategies = names.map(str::to_owned).to_vec();
    results.strategies = (1u32..)
        .zip(names)
        .map(|(number, name)| {
            let cost = f64::from(number);
            let cpu = [
                ("generator", 6.0),
                ("gateway", 20.0 + cost),
                ("api", 10.0 * cost),
                ("redis", cost),
                ("auth", cost * 2.0),
            ];
            strategy(name, "session", 150.0 + 20.0 * cost, &cpu)
        })
        .collect();
    results.comparisons = names[1..]
        .iter()
        .flat_map(|name| {
            [
                ("response_time_p50", Verdict::Higher),
                ("response_time_p99", Verdict::Inconclusive),
                ("cpu_us_per_request", Verdict::Equivalent),
                ("cpu_us_per_request_api", Verdict::Lower),
            ]
            .map(|(quantity, verdict)| Comparison {
                candidate: (*name).to_owned(),
                ..comparison(quantity, 1.108, (1.05, 1.17), verdict)
            })
        })
        .collect();
    results.coupling = Some(coupling(&names));
    results.freshness = Some(freshness(&names));
    results
}

fn comparison(quantity: &str, ratio: f64, (low, high): (f64, f64), verdict: Verdict) -> Comparison {
    Comparison {
        quantity: quantity.to_owned(),
        baseline: "jwt".to_owned(),
        candidate: "session".to_owned(),
        ratio,
        ci_low: low,
        ci_high: high,
        confidence: 0.95,
        pairs: 4,
        detectable_ratio: Some(1.05),
        verdict,
        reading: format!("{quantity} of session is {ratio} times that of jwt ({verdict:?})."),
    }
}

fn coupling(strategies: &[&str]) -> Coupling {
    Coupling {
        rate_per_second: 1_000.0,
        deadline_ms: 1_000,
        slice_ms: 100,
        faults: vec![FaultResult {
            fault: "redis_killed".to_owned(),
            title: "Redis killed".to_owned(),
            action: "kill -9, started again empty 2.5 s later".to_owned(),
            began_ms: 1_500,
            ended_ms: 4_000,
            effects: strategies
                .iter()
                .map(|strategy| effect(strategy, *strategy != "jwt"))
                .collect(),
        }],
    }
}

fn effect(strategy: &str, hit: bool) -> FaultEffect {
    let slice = |index: u64| {
        let at_ms = index * 100;
        let kind = match at_ms {
            _ if !hit => "200",
            1_500..4_000 => "503",
            4_000..4_200 => "timeout",
            4_200..5_000 => "401",
            _ => "200",
        };
        Slice {
            at_ms,
            answers: [(kind.to_owned(), 100 - index % 7)].into(),
        }
    };
    FaultEffect {
        strategy: strategy.to_owned(),
        offered_in_fault: 2_500,
        good_in_fault: if hit { 0 } else { 2_500 },
        availability_in_fault: if hit { 0.0 } else { 1.0 },
        unauthorized_in_fault: 0,
        unauthorized_after_fault: if hit { 800 } else { 0 },
        errors_in_fault: if hit {
            vec![ErrorCount {
                kind: "503".to_owned(),
                count: 2_500,
            }]
        } else {
            Vec::new()
        },
        p99_before_us: Some(620.0),
        p99_in_fault_us: Some(if hit { 900.0 } else { 640.0 }),
        recovery: Recovery {
            decided_ms: Some(if hit { 200 } else { 0 }),
            good_ms: hit.then_some(1_000).or(Some(0)),
        },
        timeline: (0..65).map(slice).collect(),
    }
}
