//! Where sessions are in Redis: by the tag of their user, or without one, as earlier versions have them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod login {
    pub(crate) mod record;
}

use std::{collections::BTreeSet, time::Duration};

use shared::session::{CartWrite, Creation, SessionId, SessionRecord, SessionStore, StoreSettings};
use testkit::{eventually, redis::Redis};

use login::record::{NOW, record};

async fn open(redis: &Redis) -> SessionStore {
    let store = SessionStore::open(StoreSettings {
        url: redis.url().parse().unwrap(),
        tls: None,
        timeout: Duration::from_millis(500),
    });
    eventually(async || store.ping().await.is_ok()).await;
    store
}

/// Begins a session of `u1` with this id.
async fn begin(store: &SessionStore, id: &SessionId) -> SessionRecord {
    let record = record();
    let creation = store.create(id, &record, NOW, None).await;
    assert_eq!(creation.unwrap(), Creation::Created);
    record
}

async fn operator(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Of the form of this version, and of those before it.
fn ids() -> [SessionId; 2] {
    [SessionId::generate("u1"), SessionId::generate_plain()]
}

async fn is_there(store: &SessionStore, id: &SessionId) -> bool {
    store.read(id, NOW, None).await.unwrap().is_some()
}

#[tokio::test]
async fn sessions_with_and_without_a_tag_are_the_sessions_of_one_user() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let ids = ids();
    let mut records = Vec::new();
    for id in &ids {
        records.push(begin(&store, id).await);
    }
    let mut sids: Vec<_> = records.iter().map(|record| record.sid.clone()).collect();
    sids.sort_by(|one, other| other.cmp(one));
    let listed = store.list("u1", NOW, None).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|one| one.record.sid).collect();
    assert_eq!(listed, sids, "the latest first");
    for (id, record) in ids.iter().zip(&records) {
        assert!(store.has_sid("u1", &record.sid, None).await.unwrap());
        let written = store.write_cart(id, 0, "[]", None).await.unwrap();
        assert_eq!(written, CartWrite::Written(1));
    }
    let roles = ["admin".to_owned()];
    assert_eq!(
        store.set_roles("u1", &roles, NOW - 1, None).await.unwrap(),
        2
    );
    for id in &ids {
        let session = store.read(id, NOW, None).await.unwrap().unwrap();
        assert_eq!(session.record.roles, roles);
    }
    assert_eq!(store.end_all("u1", None, NOW, None).await.unwrap(), 2);
    for id in &ids {
        assert!(!is_there(&store, id).await);
        let late = store.create(id, &record(), NOW, None).await.unwrap();
        assert_eq!(late, Creation::Refused, "it was under way");
    }
}

#[tokio::test]
async fn a_session_is_ended_by_its_public_id_whoever_it_is_of_and_whatever_its_form() {
    let redis = Redis::start();
    let store = open(&redis).await;
    for id in ids() {
        let other = SessionId::generate("u1");
        let (record, _) = (begin(&store, &id).await, begin(&store, &other).await);
        assert!(store.end_sid_of_anyone(&record.sid, None).await.unwrap());
        assert!(!is_there(&store, &id).await);
        assert!(is_there(&store, &other).await);
        assert!(!store.end_sid_of_anyone(&record.sid, None).await.unwrap());
        assert!(!store.has_sid("u1", &record.sid, None).await.unwrap());
        let again = begin(&store, &id).await;
        let ended = store.end_sid("u1", &again.sid, None).await.unwrap();
        assert_eq!(ended, Some(again));
    }
}

#[tokio::test]
async fn an_id_with_a_tag_that_was_changed_is_that_of_no_session() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let id = SessionId::generate("u1");
    begin(&store, &id).await;
    for tag in ["AA", "__", "u1"] {
        let forged = SessionId::parse(&format!("{tag}{}", &id.expose()[2..])).unwrap();
        assert_eq!(store.read(&forged, NOW, None).await, Ok(None));
        assert_eq!(store.end(&forged, None).await, Ok(None));
        let cart = store.write_cart(&forged, 0, "[]", None).await;
        assert_eq!(cart, Ok(CartWrite::Ended));
    }
    let without = SessionId::parse(&id.expose()[2..]).unwrap();
    assert_eq!(store.read(&without, NOW, None).await, Ok(None));
    assert!(is_there(&store, &id).await);
}

#[tokio::test]
async fn reading_a_session_that_is_there_or_is_not_takes_one_command() {
    let redis = Redis::start();
    let store = open(&redis).await;
    let [tagged, plain] = ids();
    for id in [&tagged, &plain] {
        begin(&store, id).await;
    }
    let mut operator = operator(&redis).await;
    let unknown = SessionId::generate("u2");
    for id in [&tagged, &plain, &unknown] {
        redis::cmd("CONFIG")
            .arg("RESETSTAT")
            .exec_async(&mut operator)
            .await
            .unwrap();
        store.read(id, NOW, None).await.unwrap();
        let told: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut operator)
            .await
            .unwrap();
        assert!(told.contains("cmdstat_hmget:calls=1,"), "{told}");
        // The connection asks by a script of its own whether it can be used.
        let others = [
            "cmdstat_get:",
            "cmdstat_hget:",
            "cmdstat_exists:",
            "cmdstat_hgetall:",
        ];
        assert!(!others.iter().any(|other| told.contains(other)), "{told}");
    }
}

#[tokio::test]
async fn whatever_is_written_for_a_user_is_in_the_slot_of_the_user() {
    let redis = Redis::start();
    let store = open(&redis).await.limited_to(2);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(SessionId::generate("u1"));
        begin(&store, &ids[ids.len() - 1]).await;
    }
    store.read(&ids[3], NOW + 50, None).await.unwrap();
    store.end(&ids[3], None).await.unwrap();
    store.set_roles("u1", &[], NOW, None).await.unwrap();
    let mut operator = operator(&redis).await;
    let keys: BTreeSet<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut operator)
        .await
        .unwrap();
    let tag = &ids[0].expose()[..2];
    for key in &keys {
        let guards = ["statewise:before:u1", "statewise:generation:u1"];
        let is_plain_guard = guards.contains(&key.as_str());
        let prefix = format!("statewise:{{{tag}}}:");
        assert!(key.starts_with(&prefix) || is_plain_guard, "{keys:?}");
        let seconds: i64 = redis::cmd("TTL")
            .arg(key)
            .query_async(&mut operator)
            .await
            .unwrap();
        assert!(seconds > 0, "{key} {seconds}");
    }
}
