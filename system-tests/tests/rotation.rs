//! The signing key changes every second, and no request fails.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use loadtest::{
    load::{self, Arm, Arrivals, Load, Options, Variant},
    subject::stack::{Role, StackOptions},
    subject::strategy::Credential,
};
use system_tests::{Cluster, PATIENCE, cluster::answer};

/// Every strategy; the key matters to those with a token in them, and must not to the others.
const STRATEGIES: [&str; 6] = [
    "jwt",
    "jwt-revocable",
    "phantom",
    "session",
    "session-cached",
    "introspection",
];
/// Requests a second and strategy: modest, so that a machine with two cores has rest.
const RATE: f64 = 25.0;
/// Length of one run of the generator; then the newest token joins.
const RUN: Duration = Duration::from_secs(2);
/// As long as the services wait for one another here.
const PATIENT: Duration = Duration::from_secs(20);
/// Keys that have to sign, or nothing was shown.
const SIGNERS: usize = 4;
/// Tokens in use, from the oldest that still lives to the newest.
const TOKENS: usize = 6;

#[test]
fn a_key_that_changes_every_second_costs_no_request() {
    // Verifiers fetch the keys every second: four times before a key signs.
    rotates_every_second("4s", &[("API_JWKS_REFRESH", "1s")], 12);
}

/// Verifiers as they are by default: the next fetch on schedule comes after the test, so each new
/// key is found by the first token that names it, outside of the cool-down of the last such fetch.
#[test]
fn a_key_that_changes_every_second_is_found_by_verifiers_that_fetch_only_when_they_must() {
    if long() {
        // 10s is the default; an announcement is longer, with time to spare for a busy machine.
        rotates_every_second("15s", &[], 30);
    } else {
        rotates_every_second("6s", &[("API_JWKS_COOLDOWN", "2s")], 16);
    }
}

/// A minute when asked for; long enough for a dozen keys otherwise.
fn long() -> bool {
    std::env::var_os("STATEWISE_LONG").is_some()
}

#[expect(clippy::print_stderr, reason = "what a test says of itself")]
fn rotates_every_second(announce: &str, api: &[(&str, &str)], seconds: u64) {
    let length = Duration::from_secs(if long() { 60 } else { seconds });
    let mut options = StackOptions {
        strategies: STRATEGIES.map(str::to_owned).to_vec(),
        replicas: 2,
        ..StackOptions::default()
    };
    for (name, value) in [
        ("AUTH_KEY_ROTATE_EVERY", "1s"),
        ("AUTH_KEY_ANNOUNCE", announce),
        ("AUTH_ACCESS_TOKEN_TTL", "30s"),
        ("AUTH_KEY_RETAIN", "60s"),
    ] {
        options = options.variable(Role::Auth, name, value);
    }
    // It is about keys: a machine that is busy with other tests must not look like a lost store.
    for name in [
        "AUTH_REDIS_TIMEOUT",
        "API_REDIS_TIMEOUT",
        "API_INTROSPECTION_TIMEOUT",
        "API_REVOCATION_MAX_AGE",
        "GATEWAY_EXCHANGE_TIMEOUT",
    ] {
        options = options.variable_everywhere(name, "20s");
    }
    for (name, value) in api {
        options = options.variable(Role::Api, name, value);
    }
    let cluster = Cluster::with(options);
    cluster.register("ada");
    let session = cluster.session("ada");
    let mut tokens = Vec::new();
    let mut signers = BTreeSet::new();
    let mut good = 0;
    let started = Instant::now();
    // Each round has one signer, and on a busy machine few rounds fit into the length.
    while started.elapsed() < length || (signers.len() < SIGNERS && started.elapsed() < PATIENCE) {
        let token = cluster.token("ada");
        signers.insert(token.split('.').next().unwrap_or_default().to_owned());
        tokens.push(token);
        if tokens.len() > TOKENS {
            tokens.remove(0);
        }
        good += no_failure(&cluster, &tokens, &session);
    }
    assert!(
        signers.len() >= SIGNERS,
        "only {} keys signed",
        signers.len()
    );
    let jwks = answer(cluster.get("/auth/.well-known/jwks.json")).json;
    let published = jwks["keys"].as_array().map_or(0, Vec::len);
    assert!(
        published > signers.len(),
        "only {published} keys are published"
    );
    eprintln!(
        "{good} requests over {} signing keys in {:.0} s, none failed",
        signers.len(),
        started.elapsed().as_secs_f64()
    );
}

/// Drives every strategy for a while; how many requests were answered.
fn no_failure(cluster: &Cluster, tokens: &[String], session: &str) -> u64 {
    let arm = |strategy: &str| Arm {
        name: strategy.to_owned(),
        url: format!("{}/{strategy}/me", cluster.stack.gateway_url)
            .parse()
            .expect("the gateway has a valid URL"),
        variants: match Credential::of(strategy) {
            Some(Credential::Token) => tokens.iter().map(|one| Variant::bearer(one)).collect(),
            _ => vec![Variant::bearer(session)],
        },
        load: Load::Open {
            rate: RATE,
            arrivals: Arrivals::Uniform,
        },
    };
    let options = Options {
        duration: RUN,
        deadline: PATIENT,
        drain: PATIENT,
        ..Options::default()
    };
    let running = load::start(options, STRATEGIES.map(arm).to_vec());
    let outcome = running.unwrap_or_else(|error| panic!("{error}")).join();
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    for arm in &outcome.arms {
        assert_eq!(arm.failed(), 0, "{}: {:?}", arm.name, arm.outcomes);
        assert!(arm.good() > 20, "{}: only {:?}", arm.name, arm.outcomes);
    }
    outcome.arms.iter().map(load::ArmOutcome::good).sum()
}
