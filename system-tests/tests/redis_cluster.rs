//! Services on a Redis cluster of three primaries with a replica each, under steady requests while a slot
//! is moved, a primary is failed over by hand, and a primary is killed.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use loadtest::subject::stack::{Role, StackOptions};
use serde_json::{Value, json};
use system_tests::{Cluster, cluster::answer, eventually};
use testkit::redis_cluster::RedisCluster;

/// Users with a session each: some on every primary.
const USERS: usize = 24;
/// Between two rounds of requests.
const PAUSE: Duration = Duration::from_millis(10);
/// For which a slot that is moved stays as it is.
const STEP: Duration = Duration::from_millis(20);

fn start(redis: &RedisCluster, strategies: &[&str]) -> Cluster {
    let url = redis.url();
    let options = StackOptions {
        strategies: strategies.iter().map(|&name| name.to_owned()).collect(),
        ..StackOptions::default()
    };
    Cluster::with(
        options
            .variable(Role::Auth, "AUTH_REDIS_URL", &url)
            .variable(Role::Api, "API_REDIS_URL", &url),
    )
}

/// A session, and the node that its slot is with.
struct Login {
    id: String,
    slot: u16,
    node: usize,
}

fn log_in(cluster: &Cluster, redis: &RedisCluster) -> Vec<Login> {
    let names = (0..USERS).map(|user| format!("user{user}"));
    names
        .map(|name| {
            cluster.register(&name);
            let id = cluster.session(&name);
            let slot = redis.slot(&id[..2]);
            let node = redis.primary_of(slot).unwrap();
            Login { id, slot, node }
        })
        .collect()
}

fn status(cluster: &Cluster, strategy: &str, id: &str) -> u16 {
    cluster.get_as(&format!("/{strategy}/me"), id).status
}

/// What a part of the sessions was answered while something happened.
#[derive(Debug, Default)]
struct Answers {
    by_status: BTreeMap<u16, usize>,
    /// From the first answer that was not 200 to the last.
    bad: Option<(Instant, Instant)>,
}

impl Answers {
    fn add(&mut self, status: u16) {
        *self.by_status.entry(status).or_default() += 1;
        if status != 200 {
            let now = Instant::now();
            self.bad = Some((self.bad.map_or(now, |(first, _)| first), now));
        }
    }

    fn seconds(&self) -> f64 {
        let span = self.bad.map(|(first, last)| last.duration_since(first));
        span.unwrap_or_default().as_secs_f64()
    }

    fn all(&self) -> usize {
        self.by_status.values().sum()
    }

    fn of(&self, status: u16) -> usize {
        self.by_status.get(&status).copied().unwrap_or_default()
    }
}

/// Looks all sessions up again and again while something is done, and a little longer: what those of the
/// node `away` were answered, and the others.
fn under_load(
    cluster: &Cluster,
    logins: &[Login],
    away: usize,
    done: impl FnOnce() + Send,
) -> [Answers; 2] {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ask = |of_away: bool| {
            let over = &over;
            move || {
                let mut answers = Answers::default();
                let mine = logins
                    .iter()
                    .filter(|login| (login.node == away) == of_away);
                let mine: Vec<_> = mine.collect();
                while !over.load(Ordering::Relaxed) {
                    for login in &mine {
                        answers.add(status(cluster, "session", &login.id));
                    }
                    thread::sleep(PAUSE);
                }
                answers
            }
        };
        let asking = [true, false].map(|of_away| scope.spawn(ask(of_away)));
        thread::sleep(Duration::from_millis(300));
        done();
        thread::sleep(Duration::from_millis(500));
        over.store(true, Ordering::Relaxed);
        asking.map(|asking| asking.join().unwrap())
    })
}

#[test]
fn logins_live_and_end_on_a_cluster_as_on_one_redis() {
    let redis = RedisCluster::start(3, false);
    let strategies = [
        "session",
        "introspection",
        "phantom",
        "session-cached",
        "jwt-revocable",
    ];
    let cluster = start(&redis, &strategies);
    let logins = log_in(&cluster, &redis);
    for node in 0..3 {
        assert!(logins.iter().any(|login| login.node == node), "node {node}");
    }
    for login in &logins {
        for strategy in &strategies[..4] {
            assert_eq!(status(&cluster, strategy, &login.id), 200, "{strategy}");
        }
        let cart = json!({"items": [{"sku": "tea", "quantity": 1}]});
        let url = format!("{}/session/cart", cluster.stack.gateway_url);
        let put = cluster
            .client
            .put(url)
            .json(&cart)
            .header("if-match", "\"0\"");
        let put = answer(put.bearer_auth(&login.id));
        assert!(matches!(put.status, 200..=204), "{put:?}");
    }
    let log_out = |credential: &str| {
        let out = answer(
            cluster
                .post("/auth/logout", &Value::Null)
                .bearer_auth(credential),
        );
        assert!(matches!(out.status, 200..=204), "{out:?}");
    };
    // One by its id, all of one user, and the others with everything.
    log_out(&logins[0].id);
    assert_eq!(status(&cluster, "session", &logins[0].id), 401);
    let second = cluster.session("user1");
    let root = cluster.session("root");
    let revoke = |body: Value| {
        let ended = answer(cluster.post("/auth/revocations", &body).bearer_auth(&root));
        assert_eq!(ended.status, 200, "{ended:?}");
    };
    revoke(json!({"kind": "user", "username": "user1"}));
    for id in [&logins[1].id, &second] {
        assert_eq!(status(&cluster, "session", id), 401);
    }
    assert_eq!(status(&cluster, "session", &logins[2].id), 200);
    let token = cluster.token("user2");
    eventually("the feed is followed", || {
        (status(&cluster, "jwt-revocable", &token) == 200).then_some(())
    });
    log_out(&token);
    eventually("the token is refused", || {
        (status(&cluster, "jwt-revocable", &token) == 401).then_some(())
    });
    revoke(json!({"kind": "all"}));
    for login in &logins {
        assert_eq!(status(&cluster, "session", &login.id), 401);
    }
}

#[test]
fn slots_that_move_and_primaries_that_are_replaced_end_no_session() {
    let mut redis = RedisCluster::start(3, true);
    let cluster = start(&redis, &["session"]);
    let mut logins = log_in(&cluster, &redis);
    move_slots(&cluster, &redis, &logins);
    for login in &mut logins {
        login.node = redis.primary_of(login.slot).unwrap();
    }
    assert!(logins.iter().all(|login| login.node != 0));
    fail_over(&cluster, &redis, &logins);
    kill(&cluster, &mut redis, &logins);
}

/// Moves all slots with sessions from the first node to the second: no request fails.
fn move_slots(cluster: &Cluster, redis: &RedisCluster, logins: &[Login]) {
    let moved = under_load(cluster, logins, 0, || {
        for Login { slot, .. } in logins.iter().filter(|login| login.node == 0) {
            if redis.primary_of(*slot) == Some(0) {
                redis.begin_move(*slot, 0, 1);
                thread::sleep(STEP);
                redis.move_keys(*slot, 0, 1, None);
                thread::sleep(STEP);
                redis.end_move(*slot, 0, 1);
            }
        }
    });
    show("slots moved", &moved);
    for answers in &moved {
        assert_eq!(answers.of(200), answers.all(), "{moved:?}");
    }
}

/// Has the replica of the third node take its place: nothing is longer than a moment.
fn fail_over(cluster: &Cluster, redis: &RedisCluster, logins: &[Login]) {
    let switched = under_load(cluster, logins, 2, || {
        redis.fail_over_to(5);
        eventually("the replica is in charge", || {
            let role = redis.ask(5, &["ROLE"]);
            (role.texts().first() == Some(&"master")).then_some(())
        });
    });
    show("failed over by hand", &switched);
    let [away, others] = &switched;
    assert_eq!((away.of(401), others.of(401)), (0, 0), "{switched:?}");
    assert!(away.seconds() < 1.0, "{switched:?}");
    assert_eq!(others.of(200), others.all(), "{switched:?}");
}

/// Kills the second node: its sessions are 503 until its replica was elected, and no others.
fn kill(cluster: &Cluster, redis: &mut RedisCluster, logins: &[Login]) {
    redis.wait_until_replicated(1);
    let killed = under_load(cluster, logins, 1, || {
        redis.kill(1);
        eventually("its sessions are found again", || {
            let mut away = logins.iter().filter(|login| login.node == 1);
            let found = away.all(|login| status(cluster, "session", &login.id) == 200);
            found.then_some(())
        });
    });
    show("primary killed", &killed);
    let [away, others] = &killed;
    assert_eq!(others.of(200), others.all(), "{killed:?}");
    assert_eq!(away.of(200) + away.of(503), away.all(), "{killed:?}");
    assert!(away.of(503) > 0 && away.seconds() < 15.0, "{killed:?}");
}

#[expect(
    clippy::print_stdout,
    reason = "the figures of docs/redis-loss.md, for --nocapture"
)]
fn show(what: &str, [away, others]: &[Answers; 2]) {
    let seconds = away.seconds();
    println!(
        "{what}: {:?}, not good for {seconds:.1} s; other nodes {:?}",
        away.by_status, others.by_status
    );
}
