//! The revocation lag, measured in a system of real processes.

use loadtest::{
    experiment::freshness::{self, FoundSystem, FreshnessOptions},
    progress::Progress,
    results::{RevocationKind, RevocationLag},
    subject::stack::StackOptions,
};
use system_tests::{Cluster, cluster::PASSWORD};

#[test]
fn a_logout_ends_a_session_at_once_and_a_token_when_it_expires() {
    let options = FreshnessOptions {
        stack: StackOptions {
            replicas: 2,
            ..StackOptions::default()
        },
        found: None,
        revocations: 8,
        kinds: vec![RevocationKind::Logout],
        quick: true,
        seed: 1,
    };
    let progress = Progress::start(freshness::expected(&options));
    let found = freshness::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));
    let of = |strategy: &str| -> &RevocationLag {
        let mut lags = found.lags.iter();
        let lag = lags.find(|lag| lag.strategy == strategy);
        lag.unwrap_or_else(|| panic!("{strategy} is missing in {found:?}"))
    };

    let session = of("session");
    assert_eq!(session.revocations, 8, "{session:?}");
    assert_eq!(
        session.accepted_after, 0,
        "a session was accepted after its end: {session:?}"
    );

    let token = of("jwt");
    assert!(token.revocations > 0, "{token:?}");
    assert_eq!(token.accepted_after, token.revocations, "{token:?}");
    assert_eq!(token.unended, 0, "{token:?}");
    // Moments in a token are whole seconds (RFC 7519 §2).
    let longest = found.access_token_ttl_seconds + found.leeway_seconds + 1.0;
    assert!(token.max_ms <= longest * 1_000.0, "{token:?}");
}

#[test]
fn of_a_system_that_runs_an_administrator_lets_every_kind_be_measured_at_each_replica() {
    let cluster = Cluster::with(StackOptions {
        strategies: vec!["session".to_owned()],
        replicas: 2,
        ..StackOptions::default()
    });
    let url = |text: &str| {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let options = FreshnessOptions {
        stack: StackOptions {
            strategies: vec!["session".to_owned()],
            ..StackOptions::default()
        },
        found: Some(FoundSystem {
            gateway: url(&cluster.stack.gateway_url),
            gateway_admin: url(&cluster.stack.gateway_admin_url),
            administrator: Some(("root".to_owned(), PASSWORD.to_owned())),
        }),
        revocations: 8,
        kinds: RevocationKind::ALL.to_vec(),
        quick: true,
        seed: 1,
    };
    let progress = Progress::start(freshness::expected(&options));
    let found = freshness::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.replicas, 2);
    // As the running system says, and not as a system of its own would have it.
    assert_eq!(found.access_token_ttl_seconds, 900.0);
    let measured: Vec<_> = found
        .lags
        .iter()
        .map(|lag| (lag.kind, lag.revocations))
        .collect();
    let wanted = [
        (RevocationKind::Logout, 8),
        (RevocationKind::Ban, 2),
        (RevocationKind::RoleChange, 2),
    ];
    assert_eq!(measured, wanted);
    for lag in &found.lags {
        assert_eq!(lag.accepted_after, 0, "{lag:?}");
    }
    // The system is not ours, and runs on.
    assert_eq!(cluster.log_in("root", "session").status, 200);
}
