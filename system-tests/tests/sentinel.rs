//! What callers see while the primary behind sentinels is replaced: it is killed, it hangs, or an
//! operator has another one promoted. Each test prints the figures of `docs/redis-loss.md`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod sentinel {
    pub(crate) mod observed;
}

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use loadtest::subject::stack::{Role, StackOptions};
use sentinel::observed::Observed;
use serde_json::json;
use system_tests::{Answer, Cluster, cluster::answer, eventually, within};
use testkit::sentinels::Sentinels;

/// The strategies and what they are presented with.
const STRATEGIES: [(&str, Kind); 6] = [
    ("jwt", Kind::Token),
    ("jwt-revocable", Kind::Token),
    ("session", Kind::Session),
    ("session-cached", Kind::Session),
    ("introspection", Kind::Session),
    ("phantom", Kind::Session),
];
/// How long a token that was revoked may be accepted: the maximum age of the copies.
const MAX_AGE: Duration = Duration::from_secs(5);
/// How long it may take until all is well. What a failover takes is up to the sentinels.
const WELL_AGAIN_WITHIN: Duration = Duration::from_secs(20);
/// How long it is watched after that.
const WATCHED_AFTER: Duration = Duration::from_millis(1_500);
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Token,
    Session,
}

/// What is presented while the primary is replaced.
struct Credentials {
    token: String,
    session: String,
    /// Ended before, and the replicas know.
    ended: String,
    /// Revoked when the fault began.
    revoked: String,
}

fn start() -> (Cluster, Sentinels) {
    let redis = Sentinels::start();
    let mut options = StackOptions {
        strategies: STRATEGIES.map(|(name, _)| name.to_owned()).to_vec(),
        ..StackOptions::default()
    };
    let url = redis.url();
    for (role, name, value) in [
        (Role::Auth, "AUTH_REDIS_URL", url.as_str()),
        (Role::Api, "API_REDIS_URL", url.as_str()),
        (Role::Auth, "AUTH_EXCHANGE_TTL", "3s"),
        (Role::Auth, "AUTH_LOGINS_PER_USER", "1000"),
        // Logins are counted here, not hashed.
        (Role::Auth, "AUTH_ARGON2_MEMORY_KIB", "64"),
        (Role::Auth, "AUTH_ARGON2_ITERATIONS", "1"),
    ] {
        options = options.variable(role, name, value);
    }
    (Cluster::with(options), redis)
}

fn log_out(cluster: &Cluster, credential: &str) -> Answer {
    let request = cluster.post("/auth/logout", &json!({}));
    answer(request.bearer_auth(credential))
}

fn me(cluster: &Cluster, strategy: &str, credential: &str) -> u16 {
    let path = format!("/{strategy}/me");
    cluster.get_as(&path, credential).status
}

/// A user logs in, is known everywhere, goes on by a refresh, logs out and is known nowhere.
fn logins_live_and_end(cluster: &Cluster) {
    let login = cluster.log_in("ada", "token");
    let refresh = format!(
        "grant_type=refresh_token&refresh_token={}",
        login.json["refresh_token"].as_str().unwrap()
    );
    let url = format!("{}/auth/oauth/token", cluster.stack.gateway_url);
    let request = cluster.client.post(url).body(refresh);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let refreshed = answer(request.header(form.0, form.1));
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let token = refreshed.json["access_token"].as_str().unwrap();
    let session = cluster.session("ada");
    let credential = |kind| if kind == Kind::Token { token } else { &session };
    for (strategy, kind) in STRATEGIES {
        assert_eq!(me(cluster, strategy, credential(kind)), 200, "{strategy}");
    }
    assert_eq!(log_out(cluster, &session).status, 200);
    assert!([200, 202].contains(&log_out(cluster, token).status));
    for (strategy, kind) in STRATEGIES {
        if strategy != "jwt" {
            eventually(&format!("{strategy} knows that it ended"), || {
                (me(cluster, strategy, credential(kind)) == 401).then_some(())
            });
        }
    }
}

/// Has the primary replaced by `fault` while clients of every strategy go on, and watches until all is
/// well again.
fn observe(
    cluster: &Cluster,
    redis: &mut Sentinels,
    fault: impl FnOnce(&mut Sentinels, usize),
) -> Observed {
    cluster.register("ada");
    cluster.register("eve");
    logins_live_and_end(cluster);
    let credentials = Credentials {
        token: cluster.token("ada"),
        session: cluster.session("ada"),
        ended: cluster.session("ada"),
        revoked: cluster.token("ada"),
    };
    assert_eq!(log_out(cluster, &credentials.ended).status, 200);
    let old = redis.primary();
    eventually("the replicas have everything", || {
        (redis.ask_server::<u64>(old, &["WAIT", "2", "500"])? == 2).then_some(())
    });
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let keep_asking = |strategy: &str, credential: &str| {
        let mut seen = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            seen.push((Instant::now(), me(cluster, strategy, credential)));
            thread::sleep(PAUSE);
        }
        seen
    };
    let credentials = &credentials;
    let keep_asking = &keep_asking;
    thread::scope(|scope| {
        let good = STRATEGIES.map(|(strategy, kind)| {
            let credential = match kind {
                Kind::Token => &credentials.token,
                Kind::Session => &credentials.session,
            };
            (
                strategy,
                scope.spawn(move || keep_asking(strategy, credential)),
            )
        });
        let ended = ["session", "session-cached", "introspection", "phantom"]
            .map(|strategy| scope.spawn(move || keep_asking(strategy, &credentials.ended)));
        let revoked = scope.spawn(|| keep_asking("jwt-revocable", &credentials.revoked));
        let logins = scope.spawn(|| keep_logging_in(cluster, stop));
        thread::sleep(Duration::from_millis(500));

        let began = Instant::now();
        fault(redis, old);
        let status = log_out(cluster, &credentials.revoked).status;
        assert!([200, 202].contains(&status), "{status}");
        let revoked_at = Instant::now();
        redis.wait_for_another(old);
        let replaced = began.elapsed();
        within(WELL_AGAIN_WITHIN, "all is well again", || {
            let all = STRATEGIES.iter().all(|(strategy, kind)| {
                let credential = match kind {
                    Kind::Token => &credentials.token,
                    Kind::Session => &credentials.session,
                };
                me(cluster, strategy, credential) == 200
            });
            (all && cluster.log_in("ada", "session").status == 200).then_some(())
        });
        thread::sleep(WATCHED_AFTER);
        stop.store(true, Ordering::Relaxed);
        Observed {
            began,
            replaced,
            good: good
                .map(|(strategy, seen)| (strategy, seen.join().unwrap()))
                .into(),
            ended: ended
                .into_iter()
                .flat_map(|seen| seen.join().unwrap())
                .collect(),
            revoked_at,
            revoked: revoked.join().unwrap(),
            logins: logins.join().unwrap(),
        }
    })
}

/// What became of a login.
pub(crate) struct Login {
    at: Instant,
    status: u16,
    /// What it was good for at once.
    first: Option<u16>,
    session: String,
}

fn keep_logging_in(cluster: &Cluster, stop: &AtomicBool) -> Vec<Login> {
    let mut logins = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let at = Instant::now();
        let answer = cluster.log_in("eve", "session");
        let session = answer.json["session_id"].as_str().unwrap_or_default();
        logins.push(Login {
            at,
            status: answer.status,
            first: (answer.status == 200).then(|| me(cluster, "session", session)),
            session: session.to_owned(),
        });
        thread::sleep(PAUSE * 2);
    }
    logins
}

/// Holds what was seen to the verdict contract. How many logins were confirmed, and how many of them
/// were lost.
fn check(cluster: &Cluster, observed: &Observed) -> (usize, usize) {
    for (strategy, seen) in &observed.good {
        for (_, status) in seen {
            assert!([200, 503].contains(status), "{strategy} answered {status}");
        }
        assert!(seen.len() > 50, "{strategy}: only {} requests", seen.len());
    }
    for (_, status) in &observed.ended {
        assert!([401, 503].contains(status), "an ended session: {status}");
    }
    let late = observed.revoked_at + MAX_AGE;
    for (at, status) in &observed.revoked {
        assert!(
            [200, 401, 503].contains(status),
            "a revoked token: {status}"
        );
        assert!(*at < late || *status != 200, "a revoked token is accepted");
    }
    // A login that the promoted replica never heard of is lost, and 401 is the truth; every other one
    // was good from the first request on.
    let (mut made, mut lost) = (0, 0);
    for login in &observed.logins {
        assert!(
            [200, 503].contains(&login.status),
            "a login: {}",
            login.status
        );
        if login.status == 200 {
            made += 1;
            let last = me(cluster, "session", &login.session);
            assert!([200, 401].contains(&last), "{last}");
            lost += usize::from(last == 401);
            let first = login.first.unwrap_or_default();
            let honest = [200, 503].contains(&first) || (first == 401 && last == 401);
            let after = login.at.saturating_duration_since(observed.began);
            assert!(
                honest,
                "{after:?} after it began: {first} for a login that is not lost"
            );
        }
    }
    for service in ["auth-service", "api-session-1"] {
        let log = cluster.log(service);
        assert!(!log.contains("panicked"), "{log}");
    }
    (made, lost)
}

#[test]
fn a_primary_that_is_killed_is_replaced_and_nobody_is_refused_wrongly() {
    let (cluster, mut redis) = start();
    let observed = observe(&cluster, &mut redis, |redis, primary| redis.kill(primary));
    println!("{}", observed.table("killed"));
    let (made, lost) = check(&cluster, &observed);
    println!("  killed: {made} logins were confirmed, {lost} of them lost");
    logins_live_and_end(&cluster);
}

#[test]
fn a_primary_that_hangs_is_replaced_and_not_believed_when_it_goes_on() {
    let (cluster, mut redis) = start();
    let mut hung = 0;
    let observed = observe(&cluster, &mut redis, |redis, primary| {
        hung = primary;
        redis.hang(primary);
    });
    println!("{}", observed.table("hung"));
    let (made, lost) = check(&cluster, &observed);
    println!("  hung: {made} logins were confirmed, {lost} of them lost");
    // Until the sentinels make it a replica, the old primary takes writes.
    let session = cluster.session("ada");
    redis.resume(hung);
    let resumed = Instant::now();
    while resumed.elapsed() < WATCHED_AFTER {
        for strategy in ["session", "introspection"] {
            assert_eq!(me(&cluster, strategy, &session), 200, "{strategy}");
        }
    }
    logins_live_and_end(&cluster);
}

#[test]
fn a_failover_by_hand_is_hardly_noticed() {
    let (cluster, mut redis) = start();
    let observed = observe(&cluster, &mut redis, |redis, _| redis.fail_over());
    println!("{}", observed.table("by hand"));
    let (made, lost) = check(&cluster, &observed);
    println!("  by hand: {made} logins were confirmed, {lost} of them lost");
    assert!(lost * 10 <= made, "{lost} of {made}");
    for (strategy, seen) in &observed.good {
        let failed = seen.iter().filter(|(_, status)| *status != 200).count();
        // A tenth: generous, for a machine that is busy with other tests.
        assert!(
            failed * 10 < seen.len(),
            "{strategy}: {failed} of {}",
            seen.len()
        );
    }
    logins_live_and_end(&cluster);
}
