//! A run at several distances.

use loadtest::results::{
    BreakEven, DelayErrorAt, DelayProxy, Distance, DistancePoint, Hop, Order, Results, Slope,
};

use super::bare;

fn point(strategy: &str, rtt_ms: f64, trips: f64, near_us: f64) -> DistancePoint {
    let p50_us = near_us + trips * rtt_ms * 1e3;
    DistancePoint {
        strategy: strategy.to_owned(),
        rtt_ms,
        p50_us,
        p50_low_us: Some(p50_us * 0.98),
        p50_high_us: Some(p50_us * 1.02),
        p99_us: p50_us * 2.0,
        p99_low_us: None,
        p99_high_us: None,
        p99_supported: strategy == "jwt",
        mean_us: p50_us * 1.1,
        cpu_us: Some(near_us / 2.0),
        cpu_low_us: Some(near_us / 2.1),
        cpu_high_us: Some(near_us / 1.9),
        in_flight: p50_us * 1.1 / 1e3,
        requests: 8_000,
        good: 1.0,
    }
}

/// Two strategies of which one asks on each request and is the quicker one nearby.
pub(crate) fn distant() -> Results {
    let strategies = [("jwt", 0.0, 240.0), ("session", 1.0, 160.0)];
    let points = strategies.iter().flat_map(|(strategy, trips, near)| {
        [0.0, 0.25, 20.0].map(|rtt_ms| point(strategy, rtt_ms, *trips, *near))
    });
    let slopes = strategies.map(|(strategy, trips, near)| Slope {
        strategy: strategy.to_owned(),
        round_trips: trips + 0.0004,
        low: trips - 0.002,
        high: trips + 0.003,
        at_zero_us: near,
        mean_round_trips: trips,
        mean_low: trips,
        mean_high: trips,
    });
    let hop = strategies.map(|(strategy, trips, near)| Hop {
        point: point(strategy, 120.0, trips, near),
        predicted_p50_us: Some(near + trips * 120_000.0),
    });
    let between = |metric: &str, order, rtt_ms: Option<f64>| BreakEven {
        a: "jwt".to_owned(),
        b: "session".to_owned(),
        metric: metric.to_owned(),
        rtt_ms,
        low: rtt_ms.map(|ms| ms * 0.9),
        high: rtt_ms.map(|ms| ms * 1.1),
        order,
        decided: Vec::new(),
    };
    Results {
        distance: Some(Distance {
            rate_per_second: 1_000.0,
            proxy: DelayProxy {
                own_us: 48.0,
                errors: vec![DelayErrorAt {
                    rtt_ms: 0.25,
                    p50_us: -1.5,
                    p99_us: 31.0,
                }],
                throughput_of: "session".to_owned(),
                achieved_through_per_second: Some(999.0),
                achieved_direct_per_second: Some(1_000.0),
                highest_through_per_second: 11_000.0,
                highest_direct_per_second: 18_000.0,
            },
            points: points.collect(),
            slopes: slopes.to_vec(),
            break_even: vec![
                between("p50", Order::BThenA, Some(0.08)),
                between("cpu", Order::B, None),
            ],
            hop: hop.to_vec(),
        }),
        ..bare()
    }
}
