//! `login-storm` in its shortest form, on a real system.

use std::time::Duration;

use loadtest::{
    experiment::storm::{self, StormOptions},
    progress::Progress,
    subject::stack::StackOptions,
};

#[test]
fn everybody_is_logged_in_or_told_to_come_back_while_the_others_are_answered() {
    let options = StormOptions {
        stack: StackOptions {
            replicas: 1,
            ..StackOptions::default()
        },
        rate: 50.0,
        logins: 8,
        blocks: 1,
        window: Duration::from_secs(1),
        auth_cpu: None,
        seed: 1,
    };
    let progress = Progress::start(Duration::from_secs(30));
    let found = storm::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));

    let strategies: Vec<&str> = found
        .strategies
        .iter()
        .map(|one| one.strategy.as_str())
        .collect();
    assert_eq!(strategies, ["jwt", "session"]);
    for effect in &found.strategies {
        assert!(effect.storm_requests > 0, "{effect:?}");
        assert!(effect.storm_failed < effect.storm_requests, "{effect:?}");
        assert!(
            effect.quiet_p99_us > 0.0 && effect.storm_p99_us > 0.0,
            "{effect:?}"
        );
    }
    // 503 with a time to come back is how a login gives way; 0 stands for no answer before the end.
    let statuses: Vec<u16> = found.login_answers.iter().map(|one| one.status).collect();
    assert!(statuses.contains(&200), "{found:?}");
    assert!(
        statuses.iter().all(|status| [0, 200, 503].contains(status)),
        "{found:?}"
    );
    assert!(
        found.login_p50_ms > 0.0 && found.login_p50_ms <= found.login_p99_ms,
        "{found:?}"
    );
    assert!(
        found.auth_memory_peak_bytes >= found.auth_memory_before_bytes,
        "{found:?}"
    );
}
