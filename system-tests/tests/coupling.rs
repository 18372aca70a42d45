//! The faults, made in a system of real processes.

use std::time::Duration;

use loadtest::{
    disturb::fault::Fault,
    experiment::coupling::{self, CouplingOptions},
    progress::Progress,
    results::coupling::{Cell, Coupling},
    subject::stack::StackOptions,
};

fn cell<'a>(found: &'a Coupling, fault: &str, strategy: &str) -> &'a Cell {
    let mut cells = found.cells.iter();
    let cell = cells.find(|cell| cell.fault == fault && cell.strategy == strategy);
    cell.unwrap_or_else(|| panic!("{fault} and {strategy} are missing in {found:?}"))
}

#[test]
fn a_fault_of_redis_reaches_who_asks_it_and_nobody_is_refused_for_it() {
    const RATE: f64 = 100.0;
    const SEED: u64 = 1;
    let faults = ["redis_hung", "redis_refusing", "redis_slow"];
    let stack = StackOptions {
        replicas: 2,
        ..StackOptions::default()
    };
    let options = CouplingOptions {
        faults: faults.map(|id| Fault::named(id).unwrap()).to_vec(),
        users: 2,
        recovery: Duration::from_secs(2),
        ..CouplingOptions::quick(stack, RATE, SEED)
    };
    let progress = Progress::start(options.expected());
    let found = coupling::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.cells.len(), faults.len() * 2);

    for cell in &found.cells {
        assert_eq!(cell.unauthorized_in_fault, 0, "{cell:?}");
        assert!(!cell.predicted.is_empty(), "{cell:?}");
        assert!(!cell.timeline.is_empty(), "{cell:?}");
    }
    for fault in ["redis_hung", "redis_refusing"] {
        let session = cell(&found, fault, "session");
        assert!(session.availability.mean < 0.2, "{session:?}");
        assert!(
            session.good_ms.is_some(),
            "it did not come back: {session:?}"
        );
        let jwt = cell(&found, fault, "jwt");
        assert!(jwt.availability.mean > 0.8, "{jwt:?}");
    }
    // A lookup is later by one round trip: none waits for the answer to the one before it.
    let slow = cell(&found, "redis_slow", "session");
    let trips = slow.round_trips.map(|trips| trips.mean);
    assert!(
        trips.is_some_and(|trips| (0.9..1.3).contains(&trips)),
        "{slow:?}"
    );
}
