//! Sizes and races of a sample.

use loadtest::results::{
    Carried, HeaderLimit, Holders, Order, Race, RefreshRace, SizeBreakEven, SizePoint, SizeRefused,
    Sizes,
};

/// Each strategy with 10 and 100 roles, and with data that the first one cannot carry all of.
pub(super) fn sizes(strategies: &[&str]) -> Sizes {
    let mut points = Vec::new();
    for (index, strategy) in (0u32..).zip(strategies) {
        for roles in [10, 100] {
            points.push(point(index, strategy, Carried::Roles, roles));
        }
        for bytes in [300, 3_000, 30_000] {
            if index > 0 || bytes < 3_000 {
                points.push(point(index, strategy, Carried::Record, bytes));
            }
        }
    }
    let (first, second) = (strategies[0], strategies[1]);
    let even = |carries, metric: &str, size: Option<f64>, order| SizeBreakEven {
        a: first.to_owned(),
        b: second.to_owned(),
        carries,
        metric: metric.to_owned(),
        size,
        low: size.map(|size| size * 0.8),
        high: size.map(|size| size * 1.25),
        range: match carries {
            Carried::Roles => (10.0, 100.0),
            _ => (300.0, 30_000.0),
        },
        order,
        decided: Vec::new(),
    };
    Sizes {
        rate_per_second: 1_000.0,
        points,
        break_even: vec![
            even(Carried::Roles, "cpu", Some(40.0), Order::AThenB),
            even(Carried::Roles, "request_bytes", None, Order::B),
            even(Carried::Record, "cpu", None, Order::Unclear),
            even(Carried::Record, "bytes", Some(3_000.0), Order::BThenA),
        ],
        refused: vec![SizeRefused {
            strategy: first.to_owned(),
            carries: Carried::Record,
            roles: None,
            record_bytes: Some(30_000),
            request: format!("PUT /{first}/cart"),
            status: 413,
        }],
        limits: vec![
            HeaderLimit {
                server: "our gateway".to_owned(),
                of: "head".to_owned(),
                bytes: 32_768,
                status: Some(431),
                documented: None,
            },
            HeaderLimit {
                server: "nginx".to_owned(),
                of: "field".to_owned(),
                bytes: 8_192,
                status: Some(400),
                documented: Some("large_client_header_buffers 4 8k".to_owned()),
            },
        ],
    }
}

fn point(index: u32, strategy: &str, carries: Carried, size: u32) -> SizePoint {
    let us = 80.0 + 20.0 * f64::from(index) + f64::from(size) / 100.0;
    let of = |roles: bool| (carries == Carried::Roles) == roles;
    SizePoint {
        strategy: strategy.to_owned(),
        carries,
        roles: of(true).then_some(size),
        record_bytes: of(false).then_some(size.into()),
        credential_bytes: 43 + u64::from(size),
        request_bytes: 200.0 + f64::from(size),
        response_bytes: 400.0,
        store_bytes: (index > 0).then_some(250.0),
        cpu_us: Some(us),
        cpu_low_us: Some(us * 0.95),
        cpu_high_us: Some(us * 1.05),
        cpu_gateway_us: Some(us * 0.5),
        cpu_api_us: Some(us * 0.4),
        cpu_redis_us: Some(us * 0.1),
        p50_us: us * 2.0,
        p50_low_us: Some(us * 1.9),
        p50_high_us: Some(us * 2.1),
        p99_us: us * 9.0,
        p99_supported: index != 1,
        requests: 8_000,
        good: 1.0,
    }
}

pub(super) fn race() -> RefreshRace {
    let race = |holders, grace_seconds: f64, lost: u32| Race {
        holders,
        grace_seconds,
        token_seconds: 4.0,
        requests: 100,
        logins: 20,
        unauthorized: 2_000,
        refreshes_sent: if holders == Holders::Each { 2_000 } else { 20 },
        renewed: 20,
        refused: u64::from(lost) * 99,
        undecided: 0,
        successors: 1,
        recovered: 2_000 - u64::from(lost) * 99,
        given_up: u64::from(lost) * 99,
        logins_lost: lost,
        refresh_p50_ms: 12.0,
        refresh_max_ms: 80.0,
        recovery_p50_ms: 20.0,
        recovery_max_ms: 95.0,
    };
    RefreshRace {
        usual: race(Holders::Each, 30.0, 0),
        others: vec![
            race(Holders::Shared, 30.0, 0),
            race(Holders::Each, 0.0, 20),
            race(Holders::Shared, 0.0, 0),
        ],
    }
}
