//! Throughput over replicas, of invented figures: a store that ends it at 5.5 replicas, and strategies that
//! do not know of one.

use loadtest::results::{
    Estimate, Scale,
    scale::{
        Component, CpuSlice, DemandWindow, RefusedPoint, ReplicaChanges, ScaleControl, ScaleFit,
        ScalePoint, ScaleSubject,
    },
};

const REPLICAS: [u32; 7] = [1, 2, 3, 4, 5, 6, 8];
const STORE_END: f64 = 11_100.0;

pub(crate) fn scale(strategies: &[&str]) -> Scale {
    let subjects = strategies.iter().map(|name| subject(name)).collect();
    let points = strategies.iter().flat_map(|name| points(name)).collect();
    Scale {
        limits_set_by: Some("control groups, version 2".to_owned()),
        in_flight_per_replica: 16,
        gateway_threads: 1,
        generator_threads: 1,
        processors: 2.0,
        demand_limit: Some(1.6),
        window_seconds: 4.0,
        predicted_at: "2026-01-02T03:08:00Z".to_owned(),
        observed_from: "2026-01-02T03:08:01Z".to_owned(),
        subjects,
        points,
        refused: vec![RefusedPoint {
            strategy: "jwt".to_owned(),
            replicas: 12,
            predicted_per_second: 16_000.0,
            demand_cores: 1.71,
        }],
        controls: vec![ScaleControl {
            strategy: "jwt".to_owned(),
            replicas: 4,
            cores_each: 0.1,
            one_per_second: 10_900.0,
            several_per_second: 10_600.0,
            ratio: estimate(0.97, 0.03),
        }],
        changes: vec![ReplicaChanges {
            strategy: "jwt".to_owned(),
            from: 2,
            to: 8,
            cycles: 20,
            every_seconds: 2.0,
            rate_per_second: 1_500.0,
            requests: 720_000,
            failed: 0,
            answers: [("200".to_owned(), 720_000)].into(),
            p99_us: 31_000.0,
        }],
    }
}

fn is_session(strategy: &str) -> bool {
    strategy == "session"
}

/// Requests per second of one replica.
fn one(strategy: &str) -> f64 {
    if is_session(strategy) {
        2_000.0
    } else {
        1_400.0
    }
}

fn subject(strategy: &str) -> ScaleSubject {
    let slice = |component| CpuSlice {
        component,
        cores: 0.05,
        quota_ms: 2.0,
        period_ms: 40.0,
    };
    ScaleSubject {
        strategy: strategy.to_owned(),
        scaled: Component::Api,
        slices: vec![slice(Component::Api), slice(Component::Redis)],
        demands: (0..8).map(|index| window(strategy, index)).collect(),
        store_ends_at: is_session(strategy).then(|| estimate(5.5, 0.04)),
        fits: fits(strategy),
    }
}

fn window(strategy: &str, index: u32) -> DemandWindow {
    let replicas = 1 + index % 2;
    let total = one(strategy) * f64::from(1 + index);
    let micros = 0.05 / one(strategy) * 1e6;
    DemandWindow {
        round: index / 4,
        replicas,
        in_flight_per_replica: 16,
        rate_per_second: total,
        demand_us: [
            (Component::Api, micros - f64::from(index)),
            (
                Component::Redis,
                if is_session(strategy) { 4.5 } else { 0.2 },
            ),
            (Component::Gateway, 24.0),
            (Component::Generator, 11.0),
        ]
        .into(),
        used: [(Component::Api, 1.0), (Component::Redis, 0.2)].into(),
        throttled: [(Component::Api, 1.0), (Component::Redis, 0.01)].into(),
    }
}

fn points(strategy: &str) -> Vec<ScalePoint> {
    let point = |(place, replicas): (usize, &u32)| {
        let line = one(strategy) * f64::from(*replicas);
        let by_store = is_session(strategy) && line > STORE_END;
        let predicted = if by_store { STORE_END } else { line };
        let observed = predicted * (0.97 + 0.01 * place as f64);
        let bottleneck = if by_store {
            Component::Redis
        } else {
            Component::Api
        };
        ScalePoint {
            strategy: strategy.to_owned(),
            replicas: *replicas,
            shards: 1,
            predicted_per_second: predicted,
            of_two_per_second: Some(predicted * 0.9),
            predicted_low: Some(predicted * 0.96),
            predicted_high: Some(predicted * 1.04),
            observed_per_second: observed,
            observed_low: Some(observed * 0.98),
            observed_high: Some(observed * 1.02),
            ratio: observed / predicted,
            ratio_low: observed / predicted * 0.95,
            ratio_high: observed / predicted * 1.05,
            bottleneck,
            predicted_bottleneck: bottleneck,
            held_out: *replicas > 2,
            observations: vec![observed * 0.99, observed, observed * 1.01],
            used: [(Component::Api, 0.99), (Component::Redis, 0.6)].into(),
            throttled: [(Component::Api, 0.97), (Component::Redis, 0.02)].into(),
            demand_cores: observed * 65e-6,
            failed: 0,
            others_share: 0.01,
            next_replica_per_second: (place + 1 < REPLICAS.len()).then_some(one(strategy)),
            response_times: Vec::new(),
        }
    };
    REPLICAS.iter().enumerate().map(point).collect()
}

fn fits(strategy: &str) -> Vec<ScaleFit> {
    let fit = |model: &str, contention: Option<f64>, aicc| ScaleFit {
        model: model.to_owned(),
        per_replica: estimate(one(strategy), 0.02),
        contention: contention.map(|value| estimate(value, 0.3)),
        coherency: None,
        aicc,
        relative_error: 0.02,
    };
    let mut fits = vec![
        fit("linear", None, -160.0),
        fit("amdahl", Some(0.004), -158.0),
    ];
    if is_session(strategy) {
        fits.swap(0, 1);
    }
    fits
}

fn estimate(value: f64, off: f64) -> Estimate {
    Estimate {
        value,
        low: Some(value * (1.0 - off)),
        high: Some(value * (1.0 + off)),
        supported: true,
    }
}
