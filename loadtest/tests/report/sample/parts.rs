//! Faults and revocations of a sample.

use loadtest::results::{
    Coupling, ErrorCount, FaultEffect, FaultResult, Freshness, Recovery, RevocationKind,
    RevocationLag, Slice,
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
