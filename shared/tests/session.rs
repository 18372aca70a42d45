//! The session store against a real redis-server that is killed, stopped and started again.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod login {
    pub(crate) mod cached;
    pub(crate) mod record;
}

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shared::session::{
    CartWrite, Creation, KeptCart, SessionId, SessionRecord, SessionStore, StoreError,
    StoreSettings, Watermark,
};
use testkit::{eventually, redis::Redis};

use login::{
    cached::cached,
    record::{NOW, record},
};

/// The tag of the user `u1`, as it stands in keys.
const U1: &str = "{Ld}";

/// A store that is connected.
async fn open(redis: &Redis) -> SessionStore {
    let store = SessionStore::open(StoreSettings {
        url: redis.url().parse().unwrap(),
        tls: None,
        timeout: Duration::from_millis(200),
    });
    eventually(async || store.ping().await.is_ok()).await;
    store
}

/// A session that began at `NOW`, and its record.
async fn log_in(store: &SessionStore) -> (SessionId, SessionRecord) {
    let (id, record) = (SessionId::generate("u1"), record());
    write(store, &id, &record).await;
    (id, record)
}

async fn write(store: &SessionStore, id: &SessionId, record: &SessionRecord) {
    let creation = store.create(id, record, record.created_at, None).await;
    assert_eq!(creation.unwrap(), Creation::Created);
}

async fn raw(redis: &Redis, command: &[&str]) -> redis::Value {
    let client = redis::Client::open(redis.url()).expect("a Redis URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection");
    let mut cmd = redis::Cmd::new();
    for part in command {
        cmd.arg(part);
    }
    cmd.query_async(&mut connection).await.expect("an answer")
}

#[tokio::test]
async fn a_session_is_read_until_it_is_ended() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let id = SessionId::generate("u1");
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
    let record = record();
    write(&store, &id, &record).await;
    let session = store.read(&id, NOW + 1, None).await.unwrap().unwrap();
    assert_eq!(session.record, record);
    assert_eq!(store.end(&id, None).await.unwrap(), Some(record));
    assert_eq!(store.end(&id, None).await.unwrap(), None);
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_is_over_at_its_absolute_limit() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    assert_eq!(store.read(&id, NOW + 3_600, None).await.unwrap(), None);
}

#[tokio::test]
async fn every_key_has_a_time_to_live_and_holds_no_id() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    let redis::Value::Array(keys) = raw(&redis, &["KEYS", "*"]).await else {
        panic!("KEYS answers a list")
    };
    assert_eq!(keys.len(), 3, "the session, the index and the users");
    for key in &keys {
        let redis::Value::BulkString(key) = key else {
            panic!("a key is a string")
        };
        let key = std::str::from_utf8(key).unwrap();
        assert!(!key.contains(id.expose()));
        let redis::Value::Int(seconds) = raw(&redis, &["TTL", key]).await else {
            panic!("TTL answers a number")
        };
        let limit = if key.contains(":session:") {
            100
        } else {
            3_600
        };
        assert!((1..=limit).contains(&seconds), "{key} {seconds}");
    }
}

#[tokio::test]
async fn a_request_renews_the_idle_limit() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    store.read(&id, NOW + 50, None).await.unwrap().unwrap();
    eventually(async || {
        store
            .read(&id, NOW + 50, None)
            .await
            .unwrap()
            .unwrap()
            .last_seen
            == NOW + 50
    })
    .await;
}

#[tokio::test]
async fn a_late_touch_does_not_bring_back_an_ended_session() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    // The touch is sent behind the read on the same connection, and so is the end.
    store.read(&id, NOW + 50, None).await.unwrap().unwrap();
    store.end(&id, None).await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(key_of(&redis).await, None);
}

#[tokio::test]
async fn with_redis_killed_every_call_fails_fast_and_works_again_when_it_is_back() {
    let mut redis = Redis::start();
    let store = open(&redis).await;
    redis.kill();
    let id = SessionId::generate("u1");
    eventually(async || matches!(store.read(&id, NOW, None).await, Err(StoreError::Down(_)))).await;
    let started = Instant::now();
    for _ in 0..100 {
        assert!(store.read(&id, NOW, None).await.is_err());
    }
    // Waiting for the deadline each time would take twenty seconds; the rest is for a busy machine.
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    redis.restart();
    eventually(async || store.read(&id, NOW, None).await.is_ok()).await;
}

#[tokio::test]
async fn with_redis_hung_no_call_outlives_its_deadline_and_all_work_again_afterwards() {
    let redis = Redis::start();
    let store = open(&redis).await;
    redis.hang();
    let id = SessionId::generate("u1");
    let started = Instant::now();
    let error = store.read(&id, NOW, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    eventually(async || matches!(store.read(&id, NOW, None).await, Err(StoreError::Down(_)))).await;
    redis.resume();
    eventually(async || store.read(&id, NOW, None).await.is_ok()).await;
}

#[tokio::test]
async fn the_sessions_of_a_user_are_listed_and_those_of_others_are_not() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (_, first) = log_in(&store).await;
    let (second_id, second) = log_in(&store).await;
    let other = SessionRecord {
        subject: "u2".to_owned(),
        ..record()
    };
    write(&store, &SessionId::generate("u2"), &other).await;
    let sids = async || {
        let mut sids: Vec<_> = store.list("u1", NOW + 1, None).await.unwrap();
        sids.sort_by(|a, b| a.record.sid.cmp(&b.record.sid));
        sids.into_iter()
            .map(|session| session.record.sid)
            .collect::<Vec<_>>()
    };
    let mut both = vec![first.sid.clone(), second.sid];
    both.sort();
    assert_eq!(sids().await, both);
    store.end(&second_id, None).await.unwrap();
    assert_eq!(sids().await, [first.sid]);
    assert!(
        store
            .list("u1", NOW + 3_600, None)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_session_is_ended_by_its_public_id_and_only_by_its_user() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, record) = log_in(&store).await;
    assert_eq!(store.end_sid("u2", &record.sid, None).await.unwrap(), None);
    assert!(store.read(&id, NOW, None).await.unwrap().is_some());
    let ended = store.end_sid("u1", &record.sid, None).await.unwrap();
    assert_eq!(ended, Some(record));
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
}

#[tokio::test]
async fn all_sessions_of_a_user_end_but_the_one_to_spare() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (here, here_record) = log_in(&store).await;
    let (there, _) = log_in(&store).await;
    let (elsewhere, _) = log_in(&store).await;
    let ended = store.end_all("u1", Some(&here_record.sid), NOW, None).await;
    assert_eq!(ended.unwrap(), 2);
    assert!(store.read(&here, NOW, None).await.unwrap().is_some());
    for ended in [&there, &elsewhere] {
        assert_eq!(store.read(ended, NOW, None).await.unwrap(), None);
    }
    assert_eq!(store.end_all("u1", None, NOW, None).await.unwrap(), 1);
    assert!(store.list("u1", NOW, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_end_that_is_repeated_late_spares_what_began_after_it() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let later = SessionRecord {
        created_at: NOW + 1,
        ..record()
    };
    let id = SessionId::generate("u1");
    store.end_all("u1", None, NOW, None).await.unwrap();
    write(&store, &id, &later).await;
    store.end_all("u1", None, NOW, None).await.unwrap();
    store.end_everything(NOW, None).await.unwrap();
    assert!(store.read(&id, NOW + 1, None).await.unwrap().is_some());
}

#[tokio::test]
async fn a_login_that_was_under_way_when_everything_of_the_user_ended_writes_no_session() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, record) = (SessionId::generate("u1"), record());
    store.end_all("u1", None, NOW, None).await.unwrap();
    let creation = store.create(&id, &record, NOW + 2, None).await.unwrap();
    assert_eq!(creation, Creation::Refused);
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
    let after = SessionRecord {
        created_at: NOW + 1,
        ..record.clone()
    };
    write(&store, &id, &after).await;
    let other = SessionRecord {
        subject: "u2".to_owned(),
        ..record
    };
    write(&store, &SessionId::generate("u2"), &other).await;
}

#[tokio::test]
async fn everything_ends_however_much_there_is_and_so_does_a_login_under_way() {
    let redis = Redis::start();
    let store = open(&redis).await;
    for user in 0..1_000 {
        let record = SessionRecord {
            subject: format!("u{user}"),
            ..record()
        };
        // Half of them as an earlier version begins them.
        let id = if user % 2 == 0 {
            SessionId::generate(&record.subject)
        } else {
            SessionId::generate_plain()
        };
        write(&store, &id, &record).await;
    }
    assert_eq!(store.end_everything(NOW, None).await.unwrap(), 1_000);
    for id in [SessionId::generate("u1"), SessionId::generate_plain()] {
        let creation = store.create(&id, &record(), NOW, None).await;
        assert_eq!(creation.unwrap(), Creation::Refused);
    }
    assert_eq!(key_of(&redis).await, None);
}

#[tokio::test]
async fn a_login_by_a_clock_that_is_ahead_forgets_nobody_who_has_sessions() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let real = real.as_secs();
    for (subject, begins) in [("over", NOW), ("here", real), ("ahead", real + 1_000_000)] {
        let record = SessionRecord {
            subject: subject.to_owned(),
            created_at: begins,
            expires_at: begins + 3_600,
            ..record()
        };
        // Without a tag all are in one list.
        write(&store, &SessionId::generate_plain(), &record).await;
    }
    let users = raw(&redis, &["ZRANGE", "statewise:users", "0", "-1"]).await;
    let users: Vec<String> = redis::from_redis_value(users).unwrap();
    assert_eq!(users, ["here", "ahead"]);
}

#[tokio::test]
async fn new_roles_are_in_every_session_of_the_user_and_nothing_else_changes() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let odd = SessionRecord {
        // What a name would need to stand in for the list of roles.
        username: r#"a"roles":"@"é"#.to_owned(),
        ..record()
    };
    let id = SessionId::generate("u1");
    write(&store, &id, &odd).await;
    for roles in [vec![], vec!["user".to_owned(), "admin".to_owned()]] {
        assert_eq!(store.set_roles("u1", &roles, NOW, None).await.unwrap(), 1);
        let session = store.read(&id, NOW, None).await.unwrap().unwrap();
        let wanted = SessionRecord {
            roles,
            ..odd.clone()
        };
        assert_eq!(session.record, wanted);
    }
    let creation = store
        .create(&SessionId::generate("u1"), &odd, NOW, None)
        .await;
    assert_eq!(creation.unwrap(), Creation::Refused, "it has the old roles");
}

#[tokio::test]
async fn new_roles_bring_back_no_ended_session() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    store.end(&id, None).await.unwrap();
    let changed = store
        .set_roles("u1", &["admin".to_owned()], NOW, None)
        .await;
    assert_eq!(changed.unwrap(), 0);
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_record_keeps_nothing_from_ending() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let odd = [
        "",
        "7",
        "null",
        "[1]",
        "{}",
        r#"{"created_at":"x"}"#,
        r#"{"created_at":1,"generation":{}}"#,
    ];
    for record in odd {
        log_in(&store).await;
        let key = key_of(&redis).await.expect("a session");
        raw(&redis, &["HSET", &key, "record", record]).await;
        let set = store.set_roles("u1", &[], NOW - 1, None).await;
        assert!(set.is_ok(), "{record}: {set:?}");
        let ended = store.end_all("u1", None, NOW - 1, None).await;
        assert_eq!(ended, Ok(1), "{record}");
    }
}

#[tokio::test]
async fn the_index_forgets_sessions_that_ran_out_as_new_ones_come() {
    let redis = Redis::start();
    let store = open(&redis).await;
    for _ in 0..50 {
        let (id, _) = log_in(&store).await;
        // As Redis does at the end of the time to live: the index is not told.
        let removed = raw(
            &redis,
            &[
                "EVAL",
                "return redis.call('DEL', unpack(redis.call('KEYS', 'statewise:*:session:*')))",
                "0",
            ],
        );
        assert_eq!(removed.await, redis::Value::Int(1));
        assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
    }
    let index = format!("statewise:{U1}:sessions:u1");
    eventually(async || {
        let redis::Value::Int(places) = raw(&redis, &["HLEN", &index]).await else {
            panic!("HLEN answers a number")
        };
        places <= 3
    })
    .await;
}

#[tokio::test]
async fn with_memory_full_sessions_still_end() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (first, record) = log_in(&store).await;
    let (second, _) = log_in(&store).await;
    raw(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(store.end(&first, None).await.unwrap(), Some(record));
    assert_eq!(store.end_all("u1", None, NOW, None).await.unwrap(), 1);
    assert_eq!(store.read(&second, NOW, None).await.unwrap(), None);
}

#[tokio::test]
async fn a_cart_is_kept_in_the_hash_of_its_session_and_read_back_with_its_version() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, record) = log_in(&store).await;
    let empty = store.read_cart(&id, None).await.unwrap().unwrap();
    assert_eq!((empty.version, empty.json), (0, None));
    for version in 0..3 {
        let json = format!("[{version}]");
        let written = store.write_cart(&id, version, &json, None).await.unwrap();
        assert_eq!(written, CartWrite::Written(version + 1));
        let kept = KeptCart {
            version: version + 1,
            json: Some(json),
        };
        assert_eq!(store.read_cart(&id, None).await.unwrap(), Some(kept));
    }
    // The record is what it was.
    let session = store.read(&id, NOW, None).await.unwrap().unwrap();
    assert_eq!(session.record, record);
}

#[tokio::test]
async fn of_writes_made_from_one_version_exactly_one_is_kept() {
    let redis = Redis::start();
    let stores = [open(&redis).await, open(&redis).await];
    let (id, _) = log_in(&stores[0]).await;
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (store, id) = (stores[number % 2].clone(), id.clone());
        writing.spawn(async move { store.write_cart(&id, 0, "[]", None).await.unwrap() });
    }
    let outcomes = writing.join_all().await;
    let count = |wanted| outcomes.iter().filter(|one| **one == wanted).count();
    assert_eq!(count(CartWrite::Written(1)), 1, "{outcomes:?}");
    assert_eq!(count(CartWrite::Changed(1)), 31, "{outcomes:?}");
}

#[tokio::test]
async fn a_cart_written_late_does_not_bring_back_an_ended_session() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    store.write_cart(&id, 0, "[]", None).await.unwrap();
    store.end(&id, None).await.unwrap();
    for version in 0..2 {
        let late = store.write_cart(&id, version, "[]", None).await.unwrap();
        assert_eq!(late, CartWrite::Ended);
    }
    assert_eq!(store.read_cart(&id, None).await.unwrap(), None);
    assert_eq!(key_of(&redis).await, None);
}

/// The key of the only session, if there is one.
async fn key_of(redis: &Redis) -> Option<String> {
    let redis::Value::Array(keys) = raw(redis, &["KEYS", "statewise:*session:*"]).await else {
        panic!("KEYS answers a list")
    };
    match keys.as_slice() {
        [] => None,
        [redis::Value::BulkString(key)] => {
            Some(String::from_utf8(key.clone()).expect("a key is text"))
        }
        other => panic!("more than one session: {other:?}"),
    }
}

#[tokio::test]
async fn writing_a_cart_leaves_the_time_to_live_as_it_is() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let (id, _) = log_in(&store).await;
    let key = key_of(&redis).await.unwrap();
    raw(&redis, &["EXPIRE", &key, "7"]).await;
    store.write_cart(&id, 0, "[]", None).await.unwrap();
    let redis::Value::Int(seconds) = raw(&redis, &["TTL", &key]).await else {
        panic!("TTL answers a number")
    };
    assert!((1..=7).contains(&seconds), "{seconds}");
}

/// A number that Redis tells of itself.
async fn told(redis: &Redis, section: &str, name: &str) -> i64 {
    let redis::Value::BulkString(text) = raw(redis, &["INFO", section]).await else {
        panic!("INFO answers text")
    };
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').parse().unwrap()
}

#[tokio::test]
async fn redis_remembers_who_read_a_session_that_exists_and_nothing_of_what_strangers_ask_for() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let settings = StoreSettings {
        url: redis.url().parse().unwrap(),
        tls: None,
        timeout: Duration::from_secs(5),
    };
    let (cached, _) = cached(settings, 100);
    eventually(async || cached.store().ping().await.is_ok()).await;
    let (id, record) = log_in(&store).await;
    let tracked = async || told(&redis, "stats", "tracking_total_keys").await;

    let before = told(&redis, "memory", "used_memory").await;
    for _ in 0..5_000 {
        let unknown = SessionId::generate("u1");
        assert_eq!(cached.read(&unknown, NOW, None).await.unwrap(), None);
    }
    assert_eq!(tracked().await, 0);
    let grown = told(&redis, "memory", "used_memory").await - before;
    assert!(grown < 50_000, "{grown} bytes");

    let session = cached.read(&id, NOW, None).await.unwrap().unwrap();
    assert_eq!(session.record, record);
    eventually(async || tracked().await == 1).await;
    store.end(&id, None).await.unwrap();
    eventually(async || cached.read(&id, NOW, None).await.unwrap().is_none()).await;
    assert_eq!(tracked().await, 0);
}

/// A session that began so many seconds after `NOW`.
async fn log_in_later(store: &SessionStore, seconds: u64) -> SessionId {
    let id = SessionId::generate("u1");
    let record = SessionRecord {
        sid: SessionRecord::new_sid(NOW + seconds),
        created_at: NOW + seconds,
        ..record()
    };
    write(store, &id, &record).await;
    id
}

#[tokio::test]
async fn with_one_session_too_many_the_oldest_ends_but_what_has_run_out_goes_first() {
    let redis = Redis::start();
    let store = open(&redis).await.limited_to(3);
    let mut ids = Vec::new();
    for seconds in 0..5 {
        ids.push(log_in_later(&store, seconds).await);
    }
    let lives = async |id: &SessionId| store.read(id, NOW + 5, None).await.unwrap().is_some();
    for (id, wanted) in ids.iter().zip([false, false, true, true, true]) {
        assert_eq!(lives(id).await, wanted);
    }
    let listed = store.list("u1", NOW + 5, None).await.unwrap();
    let times: Vec<_> = listed
        .iter()
        .map(|one| one.record.created_at - NOW)
        .collect();
    assert_eq!(times, [4, 3, 2], "the latest first");

    // As Redis does at the end of the time to live: the index is not told.
    let key = raw(
        &redis,
        &[
            "HGET",
            &format!("statewise:{U1}:sessions:u1"),
            &listed[1].record.sid,
        ],
    )
    .await;
    let redis::Value::BulkString(digest) = key else {
        panic!("the index leads to a session")
    };
    let digest = String::from_utf8(digest).unwrap();
    let key = format!("statewise:{U1}:session:{digest}");
    raw(&redis, &["DEL", &key]).await;
    ids.push(log_in_later(&store, 6).await);
    for (id, wanted) in ids.iter().zip([false, false, true, false, true, true]) {
        assert_eq!(lives(id).await, wanted);
    }
    assert!(
        store
            .has_sid("u1", &listed[0].record.sid, None)
            .await
            .unwrap()
    );
    assert!(
        !store
            .has_sid("u1", &listed[1].record.sid, None)
            .await
            .unwrap()
    );
    assert!(
        !store
            .has_sid("u2", &listed[0].record.sid, None)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn more_sessions_than_one_step_takes_get_new_roles_and_end() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let mut ids = Vec::new();
    for _ in 0..700 {
        ids.push(log_in(&store).await.0);
    }
    let roles = ["admin".to_owned()];
    let changed = store.set_roles("u1", &roles, NOW - 1, None).await.unwrap();
    assert_eq!(changed, 700);
    for id in &ids {
        let session = store.read(id, NOW, None).await.unwrap().unwrap();
        assert_eq!(session.record.roles, roles);
    }
    assert_eq!(store.end_all("u1", None, NOW, None).await.unwrap(), 700);
    for id in &ids {
        assert_eq!(store.read(id, NOW, None).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_was_begun_in_an_earlier_generation_ends_whatever_its_time() {
    let redis = Redis::start();
    let store = open(&redis).await;
    // Its user was read before the end, and it is written a second after it.
    let of = |generation| SessionRecord {
        created_at: NOW + 1,
        generation: Some(generation),
        ..record()
    };
    let end = Watermark {
        before: NOW,
        generation: 70,
    };
    let (old, new) = (SessionId::generate("u1"), SessionId::generate("u1"));
    write(&store, &old, &of(69)).await;
    write(&store, &new, &of(70)).await;
    assert_eq!(store.end_all("u1", None, end, None).await.unwrap(), 1);
    assert_eq!(store.read(&old, NOW + 1, None).await.unwrap(), None);
    let late = store.create(&old, &of(69), NOW + 1, None).await.unwrap();
    assert_eq!(late, Creation::Refused);
    let session = store.read(&new, NOW + 1, None).await.unwrap().unwrap();
    assert_eq!(session.record.generation, Some(70));

    let roles = Watermark {
        before: NOW,
        generation: 80,
    };
    store.set_roles("u1", &[], roles, None).await.unwrap();
    let session = store.read(&new, NOW + 1, None).await.unwrap().unwrap();
    assert_eq!(session.record.generation, Some(80), "its roles are of then");
    assert_eq!(store.end_everything(end, None).await.unwrap(), 0);
    let late = store.create(&old, &of(79), NOW + 1, None).await.unwrap();
    assert_eq!(late, Creation::Refused, "it has the old roles");
    let end = Watermark {
        generation: 81,
        ..end
    };
    assert_eq!(store.end_everything(end, None).await.unwrap(), 1);
}
