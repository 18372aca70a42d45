//! The revocation lag, measured in a system of real processes.

use loadtest::{
    experiment::freshness::{self, FreshnessOptions},
    progress::Progress,
    results::{RevocationKind, RevocationLag},
    subject::stack::StackOptions,
};

#[test]
fn a_logout_ends_a_session_at_once_and_a_token_when_it_expires() {
    let options = FreshnessOptions {
        stack: StackOptions {
            replicas: 2,
            ..StackOptions::default()
        },
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
