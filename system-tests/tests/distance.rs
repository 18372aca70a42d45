//! `loadtest distance` in its shortest form on a real system: what it writes must make sense. Whether its
//! figures are right is for a quiet machine.

use std::time::Duration;

use loadtest::{
    experiment::distance::{self, DistanceOptions},
    progress::Progress,
    report,
    results::{Order, Results},
    subject::stack::StackOptions,
};
use system_tests::{command, ends};

/// So long that the proxy keeps them on a busy machine too.
const ROUND_TRIPS_MS: [u64; 3] = [0, 20, 60];

#[test]
fn a_lookup_waits_for_one_round_trip_and_a_signature_for_none() {
    let stack = StackOptions {
        strategies: ["jwt", "session"].map(str::to_owned).to_vec(),
        ..StackOptions::default()
    };
    let round_trips = ROUND_TRIPS_MS.map(Duration::from_millis).to_vec();
    let options = DistanceOptions {
        users: 4,
        blocks: 3,
        window: Duration::from_millis(500),
        hop: Some(Duration::from_millis(120)),
        restarts: true,
        ..DistanceOptions::quick(stack, round_trips, 200.0, 1)
    };
    let progress = Progress::start(options.expected());
    let results = distance::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));
    progress.finish();

    let folder = tempfile::tempdir().unwrap();
    let (json, page) = report::write(&results, folder.path()).unwrap();
    let read = Results::read(&json).unwrap();
    assert_eq!(read.validity, results.validity);
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .contains("Round trips per request")
    );

    let found = read.distance.unwrap();
    let at = |strategy: &str, rtt_ms: f64| {
        let mut points = found.points.iter();
        points
            .find(|one| one.strategy == strategy && one.rtt_ms == rtt_ms)
            .unwrap_or_else(|| panic!("{strategy} at {rtt_ms} ms: {:?}", read.gates))
    };
    assert_eq!(found.points.len(), 2 * ROUND_TRIPS_MS.len());
    for point in &found.points {
        assert!(point.good > 0.9, "{point:?}");
        assert!(point.cpu_us.is_some_and(|us| us > 0.0), "{point:?}");
    }
    // A request cannot be answered sooner than what it waits for.
    assert!(at("session", 60.0).p50_us > 59_000.0, "{found:?}");
    assert!(at("session", 60.0).in_flight > 11.0, "{found:?}");
    assert!(at("jwt", 60.0).p50_us < 59_000.0, "{found:?}");
    assert!(at("session", 0.0).p50_us < 59_000.0, "{found:?}");

    // A window that another test disturbs moves a slope by a tenth or two.
    let slope = |strategy: &str| {
        let mut slopes = found.slopes.iter();
        let slope = slopes.find(|one| one.strategy == strategy).unwrap();
        assert!(slope.low <= slope.round_trips && slope.round_trips <= slope.high);
        slope.round_trips
    };
    assert!((slope("session") - 1.0).abs() < 0.4, "{:?}", found.slopes);
    assert!(slope("jwt").abs() < 0.4, "{:?}", found.slopes);

    let in_latency = found.break_even.iter().find(|one| one.metric == "p50");
    let order = in_latency.unwrap().order;
    // Far away it is the signature that costs less, whatever is true nearby.
    assert!(
        !matches!(order, Order::B | Order::AThenB),
        "{:?}",
        found.break_even
    );
    assert!(
        found.break_even.iter().any(|one| one.metric == "cpu"),
        "{:?}",
        found.break_even
    );
    let far = found.hop.iter().find(|one| one.point.strategy == "session");
    assert!(far.unwrap().point.p50_us > 119_000.0, "{:?}", found.hop);
}

#[test]
fn one_round_trip_time_alone_is_no_line_and_is_refused() {
    let output = ends(command("loadtest").args(["distance", "--rtt", "2"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("two round-trip times"), "{said}");
}
