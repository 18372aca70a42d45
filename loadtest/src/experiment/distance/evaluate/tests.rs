use std::time::Duration;

use super::*;
use crate::{
    experiment::distance::blocks::Measured,
    load::Outcome,
    results::{Decided, Order},
    stats::random::Random,
    subject::stack::StackOptions,
};

const ROUND_TRIPS_MS: [u64; 4] = [0, 1, 2, 20];

fn options() -> DistanceOptions {
    let stack = StackOptions {
        strategies: ["jwt", "session"].map(str::to_owned).to_vec(),
        ..StackOptions::default()
    };
    let round_trips = ROUND_TRIPS_MS.map(Duration::from_millis).to_vec();
    DistanceOptions::quick(stack, round_trips, 1_000.0, 1)
}

/// A window whose requests all took about as long.
fn window(strategy: usize, place: Place, block: u32, took: Duration) -> Measured {
    let mut seen = Observation::default();
    (seen.scheduled, seen.good_in_window) = (100, 100);
    seen.window = Duration::from_secs(1);
    for _ in 0..100 {
        seen.response_time.record(took);
    }
    seen.outcomes.insert(Outcome::Status(200), 100);
    Measured {
        strategy,
        place,
        block,
        seen,
    }
}

/// jwt takes 250 µs wherever it is; session `near` µs and a round trip. Each a few µs more or less.
fn blocks(near: u64) -> Blocks {
    let mut random = Random::new(5);
    let mut measured = Vec::new();
    for block in 0..4 {
        for ms in ROUND_TRIPS_MS.into_iter().chain([120]) {
            let place = Place::at(Duration::from_millis(ms));
            let mut noise = || random.below(5) as u64;
            let jwt = Duration::from_micros(250 + noise());
            let session = Duration::from_micros(near + ms * 1_000 + noise());
            measured.push(window(0, place, block, jwt));
            measured.push(window(1, place, block, session));
        }
        let near = Duration::from_micros(near);
        measured.push(window(1, Place::CONTROL, block, near * 2));
    }
    Blocks {
        measured,
        during: None,
    }
}

fn between(near: u64) -> BreakEven {
    let (options, blocks) = (options(), blocks(near));
    let evaluation = Evaluation {
        options: &options,
        blocks: &blocks,
    };
    let found = evaluation.break_even();
    // Nothing tells of CPU time here.
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn a_line_is_found_through_every_distance_but_the_hop_and_the_control() {
    let (options, blocks) = (options(), blocks(150));
    let evaluation = Evaluation {
        options: &options,
        blocks: &blocks,
    };
    let slopes = evaluation.slopes();
    let [jwt, session] = slopes.as_slice() else {
        panic!("{slopes:?}");
    };
    assert!(jwt.round_trips.abs() < 0.002, "{jwt:?}");
    assert!((session.round_trips - 1.0).abs() < 0.002, "{session:?}");
    assert!((session.at_zero_us - 152.0).abs() < 5.0, "{session:?}");
    assert!(session.low <= session.round_trips && session.round_trips <= session.high);
    let points = evaluation.points();
    assert_eq!(points.len(), 2 * ROUND_TRIPS_MS.len());
    let hop = evaluation.hop(&slopes);
    let far = &hop[1];
    assert!((far.predicted_p50_us.unwrap() / far.point.p50_us - 1.0).abs() < 0.01);
    assert!((far.point.in_flight - 120.15).abs() < 0.2, "{far:?}");
}

#[test]
fn a_break_even_lies_where_a_round_trip_is_what_the_other_costs_more() {
    let found = between(150);
    assert_eq!(found.order, Order::BThenA);
    let at = found.rtt_ms.unwrap();
    assert!((at - 0.1).abs() < 0.005, "{found:?}");
    assert!(found.low.unwrap() <= at && at <= found.high.unwrap());
}

#[test]
fn who_is_the_quicker_one_nearby_and_far_away_breaks_even_nowhere() {
    let found = between(400);
    assert_eq!((found.order, found.rtt_ms), (Order::A, None), "{found:?}");
}

#[test]
fn who_cannot_be_told_apart_nearby_is_told_apart_from_the_first_distance_where_it_can() {
    // At no distance both take as long.
    let found = between(250);
    assert_eq!(
        (found.order, found.rtt_ms),
        (Order::Unclear, None),
        "{found:?}"
    );
    let (order, from, to) = (Order::A, 1.0, 20.0);
    assert_eq!(found.decided, [Decided { order, from, to }], "{found:?}");
}

#[test]
fn the_throughput_through_the_proxy_is_that_of_the_strategy_that_asks() {
    let (options, blocks) = (options(), blocks(150));
    let evaluation = Evaluation {
        options: &options,
        blocks: &blocks,
    };
    assert_eq!(evaluation.throughput(), Some((100.0, 100.0)));
    let none = Blocks::default();
    let evaluation = Evaluation {
        options: &options,
        blocks: &none,
    };
    assert_eq!(evaluation.throughput(), None);
    assert!(evaluation.points().is_empty() && evaluation.slopes().is_empty());
    assert!(evaluation.break_even().is_empty() && evaluation.hop(&[]).is_empty());
}
