//! What the size of what is carried costs, and the race at the end of a token, in their shortest forms on
//! real systems.

use std::{sync::LazyLock, time::Duration};

use loadtest::{
    experiment::{
        race::{self, RaceOptions},
        sizes::{self, SizesOptions},
    },
    progress::Progress,
    results::{Carried, Holders, Order, RefreshRace, SizePoint, SizeRefused, Sizes},
    subject::stack::StackOptions,
};

/// One run for all tests of it.
static MEASURED: LazyLock<Sizes> = LazyLock::new(|| {
    let options = SizesOptions {
        rate: 100.0,
        logins: 2,
        blocks: 2,
        window: Duration::from_millis(500),
        self_check: Duration::from_millis(600),
        ..SizesOptions::quick(
            StackOptions::default(),
            vec![10, 100, 101],
            vec![300, 30_000],
            1,
        )
    };
    let progress = Progress::start(options.expected());
    let results = sizes::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));
    results.sizes.expect("sizes were measured")
});

#[test]
fn a_token_grows_with_what_it_carries_and_a_session_does_not() {
    let sizes: &Sizes = &MEASURED;
    let point = |strategy: &str, carries, size: f64| {
        let mut points = sizes.points.iter();
        let found = points.find(|one| {
            one.strategy == strategy && one.carries == carries && (one.size() - size).abs() < 0.5
        });
        found.unwrap_or_else(|| panic!("{strategy} with {size} is missing in {sizes:?}"))
    };
    for one in &sizes.points {
        assert!(one.good > 0.9, "{one:?}");
        assert!(one.cpu_us.is_some_and(|us| us > 0.0), "{one:?}");
        assert!(one.p50_us > 0.0 && one.p50_us <= one.p99_us, "{one:?}");
        assert!(one.request_bytes > one.credential_bytes as f64, "{one:?}");
    }
    let ascending = |strategy: &str| {
        let of = |one: &&SizePoint| one.strategy == strategy && one.carries == Carried::Record;
        let sizes: Vec<f64> = sizes
            .points
            .iter()
            .filter(of)
            .map(SizePoint::size)
            .collect();
        sizes.len() == 3 && sizes.is_sorted()
    };
    assert!(ascending("session"), "{sizes:?}");
    // 90 roles more, of 12 characters, with quotes and a comma, in base64.
    let grown = |strategy| {
        let of = |roles| point(strategy, Carried::Roles, roles).credential_bytes as f64;
        of(100.0) - of(10.0)
    };
    assert!(
        (grown("jwt") - 90.0 * 15.0 * 4.0 / 3.0).abs() < 8.0,
        "{sizes:?}"
    );
    assert!(grown("session").abs() < 1.0, "{sizes:?}");
    // The roles of a session come from the store, and its data when they are asked for.
    let stored = |strategy, carries, size| {
        let bytes = point(strategy, carries, size).store_bytes;
        bytes.expect("Redis can be asked")
    };
    let roles = |count| stored("session", Carried::Roles, count);
    assert!(roles(100.0) - roles(10.0) > 90.0 * 15.0 * 0.8, "{sizes:?}");
    assert!(
        stored("session", Carried::Record, 30_000.0) > 30_000.0 * 0.8,
        "{sizes:?}"
    );
    assert!(stored("jwt", Carried::Roles, 100.0) < 200.0, "{sizes:?}");
    let in_bytes = sizes
        .break_even
        .iter()
        .find(|one| one.metric == "request_bytes" && one.carries == Carried::Roles);
    let in_bytes = in_bytes.expect("sizes of requests are compared");
    assert_eq!(
        (in_bytes.order, in_bytes.size),
        (Order::B, None),
        "{in_bytes:?}"
    );
}

#[test]
fn what_is_too_large_is_refused_by_whoever_says_so() {
    let sizes: &Sizes = &MEASURED;
    let refused = |strategy: &str, carries| {
        let of = |one: &&SizeRefused| one.strategy == strategy && one.carries == carries;
        let mut found: Vec<(&str, u16, f64)> = Vec::new();
        for one in sizes.refused.iter().filter(of) {
            found.push((&one.request, one.status, one.size()));
        }
        found
    };
    let roles = [("PATCH /auth/users/{username}", 400, 101.0)];
    assert_eq!(refused("jwt", Carried::Roles), roles);
    assert_eq!(refused("session", Carried::Roles), roles);
    assert_eq!(
        refused("jwt", Carried::Record),
        [("PUT /jwt/cart", 413, 30_000.0)]
    );
    assert!(refused("session", Carried::Record).is_empty());
    let limit = |server: &str, of: &str| {
        let mut limits = sizes.limits.iter();
        let found =
            limits.find(|one| one.server == server && one.of == of && one.documented.is_none());
        let found = found.unwrap_or_else(|| panic!("{server} is missing in {:?}", sizes.limits));
        (found.bytes, found.status)
    };
    assert_eq!(limit("our gateway", "head").1, Some(431));
    assert_eq!(limit("our api-service", "token"), (8 * 1024, Some(401)));
    // Whatever the gateway lets through, the services take.
    let gateway = limit("our gateway", "head").0;
    assert!(gateway >= 16 * 1024, "{:?}", sizes.limits);
    for service in ["our api-service", "our auth-service"] {
        assert!(limit(service, "head").0 > gateway, "{:?}", sizes.limits);
    }
}

#[test]
fn of_many_who_renew_at_once_nobody_is_logged_out() {
    let options = RaceOptions {
        stack: StackOptions::default(),
        requests: 30,
        logins: 2,
        quick: true,
    };
    let progress = Progress::start(options.expected());
    let results = race::run(&options, &progress).unwrap_or_else(|error| panic!("{error}"));
    let found: RefreshRace = results.refresh_race.expect("races were run");
    let all = u64::from(options.requests * options.logins);
    for race in found.races() {
        assert_eq!(race.unauthorized, all, "{race:?}");
        assert_eq!(race.recovered + race.given_up, all, "{race:?}");
        assert_eq!(race.successors, 1, "{race:?}");
        if race.holders == Holders::Shared {
            assert_eq!((race.refused, race.logins_lost), (0, 0), "{race:?}");
            assert!(race.renewed >= u64::from(options.logins), "{race:?}");
            assert!(race.refreshes_sent < all, "{race:?}");
        }
    }
    let usual = &found.usual;
    assert_eq!(
        (usual.holders, usual.logins_lost),
        (Holders::Each, 0),
        "{usual:?}"
    );
    assert_eq!((usual.refused, usual.given_up), (0, 0), "{usual:?}");
    assert!(usual.refreshes_sent >= all, "{usual:?}");
    // Without the grace a refresh token that is presented twice is in two hands.
    let strict = found
        .others
        .iter()
        .find(|race| race.holders == Holders::Each && race.grace_seconds == 0.0);
    let strict = strict.expect("the strict rule is raced too");
    assert_eq!(strict.logins_lost, options.logins, "{strict:?}");
}
