//! What each strategy does when Redis loses data: the observations behind `docs/redis-loss.md`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod redis_loss {
    pub(crate) mod failover;
}

use std::time::{Duration, Instant};

use loadtest::subject::stack::{Role, StackOptions};
use redis_loss::failover::Pair;
use serde_json::json;
use system_tests::{Answer, Cluster, PATIENCE, cluster::answer, eventually, within};

const STRATEGIES: [&str; 6] = [
    "jwt",
    "session",
    "session-cached",
    "jwt-revocable",
    "introspection",
    "phantom",
];
/// The strategies that are presented with a session id.
const OPAQUE: [&str; 4] = ["session", "session-cached", "introspection", "phantom"];

fn options() -> StackOptions {
    StackOptions {
        strategies: STRATEGIES.map(str::to_owned).to_vec(),
        ..StackOptions::default()
    }
    .variable(Role::Auth, "AUTH_EXCHANGE_TTL", "3s")
}

/// A stack, and a user who logged in both ways and used both everywhere.
fn logged_in() -> (Cluster, String, String) {
    let cluster = Cluster::with(options());
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    everybody_accepts(&cluster, &token, &session);
    (cluster, token, session)
}

#[track_caller]
fn everybody_accepts(cluster: &Cluster, token: &str, session: &str) {
    for strategy in STRATEGIES {
        let credential = if OPAQUE.contains(&strategy) {
            session
        } else {
            token
        };
        assert_eq!(me(cluster, strategy, credential), 200, "{strategy}");
    }
}

fn me(cluster: &Cluster, strategy: &str, credential: &str) -> u16 {
    cluster
        .get_as(&format!("/{strategy}/me"), credential)
        .status
}

fn log_out(cluster: &Cluster, credential: &str) -> Answer {
    let request = cluster.post("/auth/logout", &json!({}));
    answer(request.bearer_auth(credential))
}

/// Waits until the answer is `last`, through nothing but `before`, and watches that it stays.
#[track_caller]
fn settles(cluster: &Cluster, strategy: &str, credential: &str, before: &[u16], last: u16) {
    within(PATIENCE, "the verdict settles", || {
        let status = me(cluster, strategy, credential);
        assert!(
            status == last || before.contains(&status),
            "{strategy} answered {status} on the way to {last}"
        );
        (status == last).then_some(())
    });
    let settled = Instant::now();
    while settled.elapsed() < Duration::from_millis(500) {
        assert_eq!(me(cluster, strategy, credential), last, "{strategy}");
    }
}

fn redis(cluster: &Cluster) -> redis::Connection {
    let client = redis::Client::open(cluster.stack.redis_url.as_str()).unwrap();
    client.get_connection().unwrap()
}

fn configure(connection: &mut redis::Connection, name: &str, value: &str) {
    redis::cmd("CONFIG")
        .arg(&["SET", name, value])
        .exec(connection)
        .unwrap();
}

/// Every opaque strategy finds the session ended; the gateway's token lasts a while.
fn sessions_are_gone(cluster: &Cluster, session: &str) {
    settles(cluster, "session", session, &[], 401);
    settles(cluster, "introspection", session, &[], 401);
    // The loss is pushed, like any other change.
    settles(cluster, "session-cached", session, &[200], 401);
    settles(cluster, "phantom", session, &[200], 401);
}

#[test]
fn after_flushall_sessions_are_gone_and_revocations_are_not() {
    let (cluster, token, session) = logged_in();
    let revoked = cluster.token("ada");
    assert_eq!(log_out(&cluster, &revoked).status, 200);
    settles(&cluster, "jwt-revocable", &revoked, &[200], 401);

    redis::cmd("FLUSHALL").exec(&mut redis(&cluster)).unwrap();

    sessions_are_gone(&cluster, &session);
    for strategy in ["jwt", "jwt-revocable"] {
        settles(&cluster, strategy, &token, &[], 200);
    }
    // Kept by the replica through the loss, and by the database for one that starts now.
    settles(&cluster, "jwt-revocable", &revoked, &[], 401);
    cluster.stack.restart("api-jwt-revocable-1").unwrap();
    cluster.stack.wait_ready("api-jwt-revocable-1").unwrap();
    cluster.stack.wait_upstreams().unwrap();
    settles(&cluster, "jwt-revocable", &revoked, &[503], 401);

    everybody_accepts(&cluster, &token, &cluster.session("ada"));
}

#[test]
fn a_full_redis_that_evicts_nothing_keeps_sessions_and_refuses_new_ones() {
    let (cluster, token, session) = logged_in();
    let (ending, revoked) = (cluster.session("ada"), cluster.token("ada"));
    let mut connection = redis(&cluster);
    configure(&mut connection, "maxmemory", "1");

    for _ in 0..10 {
        everybody_accepts(&cluster, &token, &session);
    }
    cluster.log_in("ada", "session").assert_undecided();
    assert_eq!(cluster.log_in("ada", "token").status, 200);
    // Ending needs no memory.
    assert_eq!(log_out(&cluster, &ending).status, 200);
    for strategy in OPAQUE {
        settles(&cluster, strategy, &ending, &[200], 401);
    }
    // A revocation does: it is durable and says that it is not pushed. Nobody can know any more that
    // all revocations are in the feed, so that no token is accepted beyond the maximum age.
    assert_eq!(log_out(&cluster, &revoked).status, 202);
    settles(&cluster, "jwt-revocable", &revoked, &[200], 503);
    settles(&cluster, "jwt-revocable", &token, &[], 503);

    configure(&mut connection, "maxmemory", "0");
    settles(&cluster, "jwt-revocable", &revoked, &[503], 401);
    settles(&cluster, "jwt-revocable", &token, &[503], 200);
    everybody_accepts(&cluster, &token, &cluster.session("ada"));
}

#[test]
fn a_full_redis_that_evicts_ends_sessions() {
    let (cluster, token, session) = logged_in();
    let mut connection = redis(&cluster);
    configure(&mut connection, "maxmemory-policy", "allkeys-lru");
    configure(&mut connection, "maxmemory", "6mb");
    let junk = "x".repeat(10_000);
    let mut written = 0;
    eventually("the session is evicted", || {
        for _ in 0..100 {
            written += 1;
            redis::cmd("SET")
                .arg(format!("junk:{written}"))
                .arg(&junk)
                .exec(&mut connection)
                .unwrap();
        }
        let kept: Vec<String> = redis::cmd("KEYS")
            .arg("statewise:*session:*")
            .query(&mut connection)
            .unwrap();
        kept.is_empty().then_some(())
    });

    // No fault that a service could see: the store says that there is no such session.
    sessions_are_gone(&cluster, &session);
    for strategy in ["jwt", "jwt-revocable"] {
        settles(&cluster, strategy, &token, &[], 200);
    }
}

#[test]
fn a_failover_loses_the_last_writes_logins_and_logouts_alike() {
    let pair = Pair::start();
    let mut options = options();
    options.redis = loadtest::subject::stack::RedisSource::Url(pair.url());
    let cluster = Cluster::with(options);
    cluster.register("ada");
    let (token, before) = (cluster.token("ada"), cluster.session("ada"));
    let (logged_out, revoked) = (cluster.session("ada"), cluster.token("ada"));
    everybody_accepts(&cluster, &token, &before);
    pair.wait_until_replicated();

    // The replica is promoted while the primary still takes writes: what an asynchronous failover
    // loses, without a race.
    pair.promote();
    let lost = cluster.session("ada");
    assert_eq!(log_out(&cluster, &logged_out).status, 200);
    assert_eq!(log_out(&cluster, &revoked).status, 200);
    settles(&cluster, "session", &lost, &[], 200);
    settles(&cluster, "session", &logged_out, &[], 401);
    settles(&cluster, "jwt-revocable", &revoked, &[200], 401);
    pair.fail_over();

    for strategy in OPAQUE {
        settles(&cluster, strategy, &before, &[503], 200);
    }
    for strategy in ["jwt", "jwt-revocable"] {
        settles(&cluster, strategy, &token, &[503], 200);
    }
    for strategy in OPAQUE {
        // A login that the promoted replica never heard of.
        settles(&cluster, strategy, &lost, &[200, 503], 401);
    }
    for strategy in OPAQUE {
        // A logout that it never heard of: the session is back.
        settles(&cluster, strategy, &logged_out, &[503], 200);
    }
    // A revoked token is not back: the replica remembers, and the database tells one that starts.
    settles(&cluster, "jwt-revocable", &revoked, &[503], 401);
    cluster.stack.restart("api-jwt-revocable-1").unwrap();
    cluster.stack.wait_ready("api-jwt-revocable-1").unwrap();
    cluster.stack.wait_upstreams().unwrap();
    settles(&cluster, "jwt-revocable", &revoked, &[503], 401);
    everybody_accepts(&cluster, &token, &cluster.session("ada"));
}

/// From a failover to when answers are right again.
const RIGHT_AGAIN_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_failover_that_closes_no_connection_is_followed_and_told() {
    let pair = Pair::start();
    let mut options = options();
    options.redis = loadtest::subject::stack::RedisSource::Url(pair.url());
    let cluster = Cluster::with(options);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    let (ended, revoked) = (cluster.session("ada"), cluster.token("ada"));
    everybody_accepts(&cluster, &token, &session);
    pair.wait_until_replicated();

    pair.switch_over();
    let began = Instant::now();
    within(RIGHT_AGAIN_WITHIN, "sessions are made again", || {
        let status = cluster.log_in("ada", "session").status;
        assert!([200, 503].contains(&status), "{status}");
        (status == 200).then_some(())
    });
    assert!([200, 202].contains(&log_out(&cluster, &revoked).status));
    settles(&cluster, "jwt-revocable", &revoked, &[200, 503], 401);
    within(RIGHT_AGAIN_WITHIN, "the session is ended", || {
        let status = log_out(&cluster, &ended).status;
        assert!([200, 503].contains(&status), "{status}");
        (status == 200).then_some(())
    });
    for strategy in OPAQUE {
        settles(&cluster, strategy, &ended, &[200, 503], 401);
    }
    for (strategy, credential) in [
        ("jwt-revocable", &token),
        ("session", &session),
        ("session-cached", &session),
        ("introspection", &session),
    ] {
        settles(&cluster, strategy, credential, &[503], 200);
    }
    // Each of the waits above watches for half a second that nothing changes.
    let watched = Duration::from_millis(500) * 9;
    let elapsed = began.elapsed();
    assert!(elapsed < RIGHT_AGAIN_WITHIN + watched, "{elapsed:?}");
    for name in ["auth-service", "api-session-1"] {
        let log = cluster.log(name);
        let told = log
            .lines()
            .filter(|line| line.contains("redis at") && line.contains("READONLY"));
        // Once in an outage; the auth-service has a connection for requests and one for the feed,
        // which may notice it one after the other.
        assert!((1..=2).contains(&told.count()), "{log}");
        assert!(log.contains("can be used again"), "{log}");
    }
}
