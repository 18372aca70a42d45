//! The session store and the feed on a real cluster whose nodes are killed, hung and failed over, and
//! whose slots are moved.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod login {
    pub(crate) mod cached;
    pub(crate) mod record;
}

use std::time::{Duration, Instant};

use shared::{
    revocation::{Entry, Feed, Publication, Revoked},
    session::{
        CartWrite, Creation, SessionId, SessionRecord, SessionStore, StoreError, StoreSettings, Tls,
    },
};
use testkit::{certificates::Certificates, eventually, redis_cluster::RedisCluster};

use login::{
    cached::cached,
    record::{NOW, record},
};

const TIMEOUT: Duration = Duration::from_millis(500);
/// So many that each of three nodes has some.
const USERS: usize = 60;

fn settings(cluster: &RedisCluster) -> StoreSettings {
    StoreSettings {
        url: cluster.url().parse().unwrap(),
        tls: None,
        timeout: TIMEOUT,
    }
}

async fn open(cluster: &RedisCluster) -> SessionStore {
    let store = SessionStore::open(settings(cluster));
    eventually(async || store.usable().await == Ok(None)).await;
    store
}

/// A session of a user.
struct Login {
    id: SessionId,
    record: SessionRecord,
    /// Of all the keys of the user.
    slot: u16,
}

async fn log_in(store: &SessionStore, cluster: &RedisCluster, user: usize) -> Login {
    let record = SessionRecord {
        subject: format!("u{user}"),
        ..record()
    };
    let id = SessionId::generate(&record.subject);
    let creation = store.create(&id, &record, NOW, None).await;
    assert_eq!(creation.unwrap(), Creation::Created);
    let slot = cluster.slot(&id.expose()[..2]);
    Login { id, record, slot }
}

async fn log_all_in(store: &SessionStore, cluster: &RedisCluster) -> Vec<Login> {
    let mut logins = Vec::new();
    for user in 0..USERS {
        logins.push(log_in(store, cluster, user).await);
    }
    logins
}

/// How looking sessions up ended: found, not found, undecided; and the longest that one took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    found: usize,
    absent: usize,
    undecided: usize,
    longest: Duration,
}

async fn look(store: &SessionStore, logins: &[&Login]) -> Seen {
    let mut seen = Seen::default();
    for login in logins {
        let began = Instant::now();
        match store.read(&login.id, NOW, None).await {
            Ok(Some(session)) => {
                assert_eq!(session.record, login.record);
                seen.found += 1;
            }
            Ok(None) => seen.absent += 1,
            Err(_) => seen.undecided += 1,
        }
        seen.longest = seen.longest.max(began.elapsed());
    }
    seen
}

/// Those whose slot is with a node, and the others.
fn split<'a>(
    cluster: &RedisCluster,
    logins: &'a [Login],
    node: usize,
) -> (Vec<&'a Login>, Vec<&'a Login>) {
    let is_there = |login: &&Login| cluster.primary_of(login.slot) == Some(node);
    logins.iter().partition(is_there)
}

#[tokio::test]
async fn every_operation_works_on_every_node_of_a_cluster() {
    let cluster = RedisCluster::start(3, false);
    let store = open(&cluster).await.limited_to(2);
    let logins = log_all_in(&store, &cluster).await;
    for node in 0..3 {
        assert!(!split(&cluster, &logins, node).0.is_empty(), "node {node}");
    }
    for (user, login) in logins.iter().enumerate() {
        let subject = &login.record.subject;
        let (second, third) = (
            log_in(&store, &cluster, user).await,
            log_in(&store, &cluster, user).await,
        );
        assert_eq!(
            store.list(subject, NOW, None).await.unwrap().len(),
            2,
            "the oldest has ended"
        );
        let written = store.write_cart(&third.id, 0, "[]", None).await;
        assert_eq!(written, Ok(CartWrite::Written(1)));
        assert!(store.read_cart(&third.id, None).await.unwrap().is_some());
        let roles = ["admin".to_owned()];
        assert_eq!(store.set_roles(subject, &roles, NOW - 1, None).await, Ok(2));
        let session = store
            .read(&third.id, NOW + 50, None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(session.record.roles, roles);
        assert!(
            store
                .has_sid(subject, &third.record.sid, None)
                .await
                .unwrap()
        );
        let ended = [&second, &third];
        let left = match user % 4 {
            0 => {
                assert!(store.end(&third.id, None).await.unwrap().is_some());
                1
            }
            1 => {
                let ended = store.end_sid(subject, &third.record.sid, None).await;
                assert!(ended.unwrap().is_some());
                1
            }
            2 if user < 8 => {
                assert_eq!(
                    store.end_sid_of_anyone(&third.record.sid, None).await,
                    Ok(true)
                );
                1
            }
            _ => {
                let all = store.end_all(subject, None, NOW, None).await.unwrap();
                assert!(all >= 1, "{all}");
                0
            }
        };
        let mut found = 0;
        for login in ended {
            found += usize::from(store.read(&login.id, NOW, None).await.unwrap().is_some());
        }
        assert!(found <= left, "{found} of {left}");
    }
    assert!(store.end_everything(NOW, None).await.unwrap() > 0);
    for user in 0..USERS {
        let subject = format!("u{user}");
        assert_eq!(store.list(&subject, NOW, None).await.unwrap(), []);
        let record = SessionRecord {
            subject,
            ..record()
        };
        let id = SessionId::generate(&record.subject);
        let late = store.create(&id, &record, NOW, None).await;
        assert_eq!(late, Ok(Creation::Refused));
    }
}

#[tokio::test]
async fn the_feed_is_in_one_slot_of_a_cluster() {
    let cluster = RedisCluster::start(3, false);
    let feed = Feed::open(settings(&cluster));
    let mark = async || feed.rebuild(&[], None, NOW).await;
    eventually(async || mark().await.is_ok_and(|mark| mark.is_some())).await;
    let of_user = |id: &str, before| Entry {
        revoked: Revoked::User {
            id: id.to_owned(),
            before,
            generation: None,
            except: None,
        },
        until: NOW + 1_000,
    };
    let entries = [of_user("a", 1), of_user("b", 1), of_user("a", 2)];
    let published = feed.publish(&entries, NOW, None).await.unwrap();
    let Publication::Published(mark) = published else {
        panic!("there is a feed")
    };
    assert_eq!(mark.sequence, 3);
}

#[tokio::test]
async fn with_a_node_gone_its_sessions_are_undecided_at_once_and_no_others() {
    let mut cluster = RedisCluster::start(3, false);
    let store = open(&cluster).await;
    let logins = log_all_in(&store, &cluster).await;
    let (away, there) = split(&cluster, &logins, 1);
    cluster.kill(1);
    eventually(async || look(&store, &away).await.undecided == away.len()).await;
    for _ in 0..20 {
        let seen = look(&store, &there).await;
        assert_eq!(seen.found, there.len(), "{seen:?}");
        let seen = look(&store, &away).await;
        assert_eq!((seen.absent, seen.undecided), (0, away.len()), "{seen:?}");
        assert!(seen.longest < TIMEOUT, "{seen:?}");
    }
    let lacking = store.usable().await.unwrap().expect("a node is gone");
    assert!(
        lacking.to_string().contains("1 of the 3 nodes"),
        "{lacking}"
    );
    assert!(!lacking.is_lasting());

    cluster.restart(1);
    eventually(async || look(&store, &away).await.absent == away.len()).await;
    assert_eq!(look(&store, &there).await.found, there.len());
    eventually(async || store.usable().await == Ok(None)).await;
}

#[tokio::test]
async fn with_a_node_hung_calls_keep_their_deadline_and_then_fail_at_once() {
    let cluster = RedisCluster::start(3, false);
    let store = open(&cluster).await;
    let logins = log_all_in(&store, &cluster).await;
    let (away, there) = split(&cluster, &logins, 2);
    cluster.hang(2);
    let seen = look(&store, &away[..1]).await;
    assert_eq!(seen.undecided, 1);
    assert!(seen.longest < TIMEOUT * 4, "{seen:?}");
    assert_eq!(look(&store, &there).await.found, there.len());
    eventually(async || {
        let seen = look(&store, &away).await;
        seen.undecided == away.len() && seen.longest < TIMEOUT / 2
    })
    .await;
    cluster.resume(2);
    eventually(async || look(&store, &away).await.found == away.len()).await;
}

#[tokio::test]
async fn a_failover_by_hand_is_followed_by_the_next_call() {
    let cluster = RedisCluster::start(3, true);
    let store = open(&cluster).await;
    let logins = log_all_in(&store, &cluster).await;
    let (moved, _) = split(&cluster, &logins, 0);
    let all: Vec<_> = logins.iter().collect();
    cluster.fail_over_to(3);
    let began = Instant::now();
    let mut undecided = 0;
    while cluster.primary_of(moved[0].slot) != Some(3) {
        let seen = look(&store, &all).await;
        assert_eq!(seen.absent, 0, "{seen:?}");
        undecided += seen.undecided;
        assert!(began.elapsed() < testkit::PATIENCE);
    }
    let seen = look(&store, &all).await;
    assert_eq!(
        seen.found,
        all.len(),
        "{seen:?}, {undecided} during the failover"
    );
    for login in &moved {
        let ended = store.end(&login.id, None).await.unwrap();
        assert!(ended.is_some(), "written to the new primary");
    }
    assert_eq!(look(&store, &moved).await.absent, moved.len());
}

#[tokio::test]
async fn when_a_primary_is_killed_its_replica_is_used_as_soon_as_it_was_elected() {
    let mut cluster = RedisCluster::start(3, true);
    let store = open(&cluster).await;
    let logins = log_all_in(&store, &cluster).await;
    let (away, there) = split(&cluster, &logins, 0);
    // What was written is at the replica.
    cluster.wait_until_replicated(0);
    cluster.kill(0);
    let mut undecided = 0;
    eventually(async || {
        let seen = look(&store, &there).await;
        assert_eq!(seen.found, there.len(), "{seen:?}");
        let seen = look(&store, &away).await;
        assert_eq!(seen.absent, 0, "{seen:?}");
        undecided += seen.undecided;
        seen.found == away.len()
    })
    .await;
    assert!(undecided > 0, "it was away");
}

#[tokio::test]
async fn sessions_are_found_and_ended_while_their_slot_is_moved() {
    let cluster = RedisCluster::start(3, false);
    let store = open(&cluster).await;
    let mut logins = log_all_in(&store, &cluster).await;
    for _ in 0..4 {
        // Several of one user, so that some are here and some there.
        logins.push(log_in(&store, &cluster, 0).await);
    }
    let slot = logins[0].slot;
    let from = cluster.primary_of(slot).unwrap();
    let to = (from + 1) % 3;
    let of_slot: Vec<_> = logins.iter().filter(|login| login.slot == slot).collect();
    let all = async || {
        let seen = look(&store, &of_slot).await;
        assert_eq!((seen.absent, seen.undecided), (0, 0), "{seen:?}");
    };
    cluster.begin_move(slot, from, to);
    all().await;
    while cluster.move_keys(slot, from, to, Some(1)) > 0 {
        all().await;
    }
    // All keys are there and the slot is still here.
    let cart = store.write_cart(&of_slot[0].id, 0, "[]", None).await;
    assert_eq!(cart, Ok(CartWrite::Written(1)));
    cluster.end_move(slot, from, to);
    all().await;
    let ended = store.end_all("u0", None, NOW, None).await.unwrap();
    assert_eq!(ended, 5);
    for login in logins.iter().filter(|login| login.record.subject == "u0") {
        assert_eq!(store.read(&login.id, NOW, None).await, Ok(None));
    }
}

#[tokio::test]
async fn a_script_whose_keys_are_half_moved_waits_within_its_deadline() {
    let cluster = RedisCluster::start(2, false);
    let store = open(&cluster).await;
    let first = log_in(&store, &cluster, 0).await;
    let (slot, from) = (first.slot, cluster.primary_of(first.slot).unwrap());
    cluster.begin_move(slot, from, 1 - from);
    cluster.move_keys(slot, from, 1 - from, Some(1));
    // Some of the keys of a login are here, some there, and some nowhere.
    let record = SessionRecord {
        subject: "u0".to_owned(),
        ..record()
    };
    let id = SessionId::generate("u0");
    let began = Instant::now();
    let error = store.create(&id, &record, NOW, None).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Timeout(_) | StoreError::Down(_)),
        "{error}"
    );
    assert!(began.elapsed() < TIMEOUT * 4);
    cluster.move_keys(slot, from, 1 - from, None);
    cluster.end_move(slot, from, 1 - from);
    let creation = store.create(&id, &record, NOW, None).await;
    assert_eq!(creation, Ok(Creation::Created));
}

/// How many keys the nodes remember that somebody has read.
fn tracked(cluster: &RedisCluster, nodes: &[usize]) -> usize {
    let of_node = |node: &usize| {
        let info = cluster.ask(*node, &["INFO", "stats"]);
        let mut lines = info.text().lines();
        let line = lines.find_map(|line| line.strip_prefix("tracking_total_keys:"));
        line.unwrap().trim().parse::<usize>().unwrap()
    };
    nodes.iter().map(of_node).sum()
}

#[tokio::test]
async fn what_is_kept_in_memory_is_vouched_for_by_all_nodes_or_not_believed() {
    let mut cluster = RedisCluster::start(3, false);
    let store = open(&cluster).await;
    let (cached, _) = cached(settings(&cluster), 1_000);
    let logins = log_all_in(&store, &cluster).await;
    let read = async |login: &Login| cached.read(&login.id, NOW, None).await;
    let all_are_kept = async || {
        for login in &logins {
            if !matches!(read(login).await, Ok(Some(_))) {
                return false;
            }
        }
        tracked(&cluster, &[0, 1, 2]) == logins.len()
    };
    eventually(all_are_kept).await;
    let (away, there) = split(&cluster, &logins, 1);
    let (first, rest) = there.split_at(there.len() / 2);
    for login in first {
        store.end(&login.id, None).await.unwrap();
        eventually(async || read(login).await == Ok(None)).await;
    }
    cluster.kill(1);
    eventually(async || read(away[0]).await.is_err()).await;
    for login in rest {
        assert!(read(login).await.unwrap().is_some(), "it is asked for");
        store.end(&login.id, None).await.unwrap();
        assert_eq!(read(login).await, Ok(None), "nothing is remembered");
    }
}

#[tokio::test]
async fn a_cluster_is_spoken_to_over_tls() {
    let certificates = Certificates::of(&["127.0.0.1"]);
    let cluster = RedisCluster::start_over_tls(2, &certificates);
    let store = SessionStore::open(StoreSettings {
        tls: Some(Tls::trusting(Some(certificates.authority())).unwrap()),
        ..settings(&cluster)
    });
    eventually(async || store.usable().await == Ok(None)).await;
    let logins = log_all_in(&store, &cluster).await;
    let all: Vec<_> = logins.iter().collect();
    assert_eq!(look(&store, &all).await.found, all.len());
}

#[tokio::test]
async fn a_user_of_an_acl_needs_our_keys_and_two_questions_about_the_cluster() {
    let cluster = RedisCluster::start(2, false);
    let rights = [
        "~statewise:*",
        "+@all",
        "-@dangerous",
        "+cluster|info",
        "+cluster|slots",
    ];
    for node in 0..2 {
        let user = ["ACL", "SETUSER", "statewise", "on", ">opensesame"];
        cluster.ask(node, &[&user[..], &rights].concat());
    }
    let with = |login: &str| {
        let url = cluster.url().replace("//", &format!("//{login}@"));
        SessionStore::open(StoreSettings {
            url: url.parse().unwrap(),
            ..settings(&cluster)
        })
    };
    let store = with("statewise:opensesame");
    eventually(async || store.usable().await == Ok(None)).await;
    let logins = log_all_in(&store, &cluster).await;
    assert!(store.end_everything(NOW, None).await.unwrap() >= logins.len() as u64);

    let refused = with("statewise:wrong");
    eventually(async || {
        let error = refused.ping().await.unwrap_err();
        matches!(error, StoreError::Down(fault) if fault.is_lasting())
    })
    .await;
}
