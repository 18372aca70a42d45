//! Faults and revocations of a sample.

use loadtest::results::{
    Coupling, ErrorCount, Freshness, RevocationKind, RevocationLag, Slice,
    coupling::{Cell, FaultInfo, Form, Interval, ProxyError, Repetition},
};

pub(super) fn freshness(strategies: &[&str]) -> Freshness {
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
            resolution_ms: Some(5.0),
            stale_share_high: Some(if index == 1 { 0.0149 } else { 1.0 }),
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

pub(super) fn coupling(strategies: &[&str]) -> Coupling {
    Coupling {
        rate_per_second: 1_000.0,
        deadline_ms: 1_000,
        slice_ms: 100,
        baseline_ms: 1_500,
        fault_ms: 2_500,
        recovery_ms: 2_500,
        replicas: 2,
        users: 8,
        repetitions: 1,
        seed: 1,
        proxy: ProxyError {
            round_trip_ms: 2.0,
            p50_us: 60.0,
            p99_us: 140.0,
        },
        faults: vec![FaultInfo {
            id: "redis_killed".to_owned(),
            title: "Redis killed".to_owned(),
            kind: "killed".to_owned(),
            target: "redis".to_owned(),
            dose: None,
            action: "kill -9, started again empty 2.5 s later".to_owned(),
        }],
        cells: strategies
            .iter()
            .map(|strategy| cell(strategy, *strategy != "jwt"))
            .collect(),
        new_replicas: Vec::new(),
        short_lives: None,
    }
}

fn interval(mean: f64) -> Interval {
    Interval {
        mean,
        low: mean,
        high: mean,
        count: 1,
    }
}

fn cell(strategy: &str, hit: bool) -> Cell {
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
    let available = if hit { 0.0 } else { 1.0 };
    Cell {
        fault: "redis_killed".to_owned(),
        strategy: strategy.to_owned(),
        form: Form::AllAtOnce,
        availability: interval(available),
        decided_ms: Some(interval(if hit { 200.0 } else { 0.0 })),
        good_ms: Some(interval(if hit { 1_000.0 } else { 0.0 })),
        falls_ms: hit.then(|| interval(10.0)),
        round_trips: None,
        unauthorized_in_fault: 0,
        predicted: if hit { "503" } else { "does not notice" }.to_owned(),
        predicted_low: available,
        predicted_high: available,
        as_predicted: true,
        surprises: Vec::new(),
        repetitions: vec![Repetition {
            place: 0,
            began_ms: 1_500,
            restored_ms: 4_000,
            ended_ms: 4_000,
            offered_in_fault: 2_500,
            good_in_fault: if hit { 0 } else { 2_500 },
            unauthorized_in_fault: 0,
            unauthorized_after: if hit { 800 } else { 0 },
            errors_in_fault: if hit {
                vec![ErrorCount {
                    kind: "503".to_owned(),
                    count: 2_500,
                }]
            } else {
                Vec::new()
            },
            p50_before_us: Some(210.0),
            p50_in_fault_us: Some(220.0),
            p99_before_us: Some(620.0),
            p99_in_fault_us: Some(if hit { 900.0 } else { 640.0 }),
            logins_lost: 0,
            decided_ms: Some(if hit { 200 } else { 0 }),
            good_ms: Some(if hit { 1_000 } else { 0 }),
            falls_ms: hit.then_some(10),
        }],
        timeline: (0..65).map(slice).collect(),
    }
}
