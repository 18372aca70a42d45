//! Several threads send what one would have sent.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use loadtest::load::{
    self, Arm, ArmOutcome, Arrivals, EngineOutcome, Load, Options, Share, Variant,
};

use super::{
    OK, arm, options, outcomes,
    server::{Server, answer},
};

const CONNECTIONS: usize = 7;

fn drive(threads: usize, load: Load) -> (Server, EngineOutcome) {
    let server = Server::start(|_| answer(200));
    let run = drive_part(&server, threads, load, (Share::WHOLE, None));
    (server, run)
}

fn drive_part(
    server: &Server,
    threads: usize,
    load: Load,
    (share, start_at): (Share, Option<SystemTime>),
) -> EngineOutcome {
    let arm = Arm {
        variants: ["a", "b", "c", "d"]
            .map(|user| Variant::default().header("X-User", user))
            .to_vec(),
        ..arm(server.url(), load)
    };
    let options = Options {
        threads,
        connections: CONNECTIONS,
        trace_ratio: 0.5,
        seed: 3,
        share,
        start_at,
        ..options(1_000)
    };
    load::run(options, vec![arm]).unwrap()
}

/// What tells requests apart: whose they are, and their trace ids.
fn sent(server: &Server) -> BTreeSet<String> {
    let heads = server.heads.lock().unwrap();
    let own = heads
        .iter()
        .map(|head| head.split_once("X-User").unwrap().1);
    own.map(str::to_owned).collect()
}

#[test]
fn the_requests_of_all_threads_are_the_one_schedule_and_none_is_lost_in_the_sum() {
    let load = Load::Open {
        rate: 300.0,
        arrivals: Arrivals::Poisson,
    };
    let (alone, of_one) = drive(1, load);
    let (shared, of_three) = drive(3, load);
    assert_eq!((of_one.threads, of_three.threads), (1, 3));
    assert!(
        sent(&alone) == sent(&shared),
        "they sent different requests"
    );

    let offered =
        |arm: &ArmOutcome| -> Vec<u64> { arm.timeline.iter().map(load::Slice::offered).collect() };
    let (one, three) = (&of_one.arms[0], &of_three.arms[0]);
    assert!(one.scheduled > 200);
    assert_eq!(three.outcomes, outcomes([(OK, one.scheduled)]));
    assert_eq!(offered(one), offered(three));
    for histogram in [
        &three.response_time,
        &three.service_time,
        &three.send_lag,
        &three.connection_wait,
    ] {
        assert_eq!(histogram.count(), one.scheduled);
    }
    assert_eq!(three.request_bytes, one.request_bytes);
    assert_eq!(three.connections_open, CONNECTIONS as u64);
    assert_eq!(three.connections_opened, CONNECTIONS as u64);
}

#[test]
fn the_requests_of_all_shards_are_the_one_schedule_at_the_same_moments() {
    let load = Load::Open {
        rate: 300.0,
        arrivals: Arrivals::Poisson,
    };
    let (alone, whole) = drive(1, load);
    let server = Server::start(|_| answer(200));
    let start_at = SystemTime::now() + Duration::from_secs(1);
    let shards = std::thread::scope(|scope| {
        let server = &server;
        let run = |index| {
            let share = Share { index, of: 3 };
            move || drive_part(server, 2, load, (share, Some(start_at)))
        };
        let started = [0, 1, 2].map(|index| scope.spawn(run(index)));
        started.map(|one| one.join().unwrap())
    });
    let heads = server.heads.lock().unwrap().len();
    assert!(
        sent(&alone) == sent(&server) && heads == sent(&server).len(),
        "they sent different requests, or one twice"
    );
    let begun = shards.each_ref().map(|shard| shard.measured_from);
    let apart = begun
        .iter()
        .max()
        .unwrap()
        .duration_since(*begun.iter().min().unwrap());
    assert!(apart < Duration::from_millis(5), "{apart:?}");
    for shard in &shards {
        assert_eq!(shard.threads, 2);
        assert!(shard.punctuality.late.is_zero(), "{:?}", shard.punctuality);
    }

    let [mut merged, second, third] = shards;
    merged.merge(second);
    merged.merge(third);
    let (one, three) = (&whole.arms[0], &merged.arms[0]);
    assert_eq!(three.outcomes, outcomes([(OK, one.scheduled)]));
    assert_eq!(three.request_bytes, one.request_bytes);
    assert_eq!(three.connections_open, CONNECTIONS as u64);
}

#[test]
fn the_connections_of_a_closed_loop_are_shared_among_the_threads() {
    let load = Load::Closed {
        connections: CONNECTIONS,
    };
    let (server, run) = drive(2, load);
    let found = &run.arms[0];
    assert_eq!(run.threads, 2);
    assert_eq!(found.connections_open, CONNECTIONS as u64);
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    let used: BTreeSet<u64> = server.served_on.lock().unwrap().iter().copied().collect();
    assert_eq!(used.len(), CONNECTIONS);
    assert_eq!(sent(&server).len() as u64, found.requests_with_warmup);
}

#[test]
fn a_thread_without_a_connection_is_not_started() {
    let load = Load::Closed { connections: 2 };
    let (_, run) = drive(5, load);
    assert_eq!(run.threads, 2);
}
