//! Replicas go away under load, and no client notices.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::time::Duration;

use loadtest::load::EngineOutcome;
use system_tests::{Cluster, PATIENCE, eventually};

/// Requests a second and strategy: modest, so that a machine with two cores has rest.
const RATE: f64 = 50.0;
/// Length of one run of the generator.
const RUN: Duration = Duration::from_secs(2);

#[test]
fn a_killed_replica_costs_no_request() {
    under_load(|cluster, name| {
        cluster.stack.kill9(name).unwrap();
    });
}

#[test]
fn a_replica_that_is_told_to_end_costs_no_request_and_ends_cleanly() {
    under_load(|cluster, name| {
        cluster.stack.terminate(name).unwrap();
        let status = cluster.stack.wait_exit(name, PATIENCE).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{name}");
    });
}

/// Ends each replica of each strategy in turn, and starts it again, while both strategies are used.
fn under_load(end: impl Fn(&Cluster, &str) + Send) {
    let cluster = Cluster::start(3);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    std::thread::scope(|scope| {
        let rolling = scope.spawn(|| roll(&cluster, end));
        // One run after the other, for as long as the rolling takes on this machine.
        while !rolling.is_finished() {
            let running = cluster.load(&token, &session, RATE, RUN);
            no_failure(&cluster, &running.join().unwrap());
        }
        rolling.join().unwrap();
    });
}

fn roll(cluster: &Cluster, end: impl Fn(&Cluster, &str)) {
    for number in 1..=3 {
        let names = ["jwt", "session"].map(|strategy| format!("api-{strategy}-{number}"));
        for name in &names {
            end(cluster, name);
        }
        eventually("the gateway sees that they are gone", || {
            (cluster.missing_upstreams() == 2).then_some(())
        });
        for name in &names {
            cluster.stack.restart(name).unwrap();
            cluster.stack.wait_ready(name).unwrap();
        }
        cluster.stack.wait_upstreams().unwrap();
    }
}

#[track_caller]
fn no_failure(cluster: &Cluster, outcome: &EngineOutcome) {
    for arm in &outcome.arms {
        assert!(arm.good() > 50, "{}: only {:?}", arm.name, arm.outcomes);
        let said = || {
            format!(
                "{}: {:?}
{}",
                arm.name,
                arm.outcomes,
                cluster.log("gateway")
            )
        };
        assert_eq!(arm.failed(), 0, "{}", said());
    }
}
