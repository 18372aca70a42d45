//! Sessions behind real sentinels: who is asked, what is believed, and what a failover does.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod login {
    pub(crate) mod cached;
    pub(crate) mod down;
    pub(crate) mod record;
    pub(crate) mod store;
}

use std::time::{Duration, Instant};

use shared::session::{Creation, SessionId, SessionStore, StoreSettings};
use testkit::{
    eventually,
    sentinels::{Logins, Sentinels},
};

use login::{
    cached::cached,
    down::says,
    record::{NOW, record},
    store::{log_in, works},
};

/// How long the sentinels are believed, and a second for a busy machine.
const NOT_BELIEVED_AFTER: Duration = Duration::from_secs(6);

fn settings(url: &str) -> StoreSettings {
    StoreSettings {
        url: url.parse().unwrap(),
        tls: None,
        timeout: Duration::from_millis(500),
    }
}

/// Waits until both replicas have all that was written to the primary.
async fn replicated(redis: &Sentinels, primary: usize) {
    eventually(async || redis.ask_server::<u64>(primary, &["WAIT", "2", "100"]) == Some(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_hand_is_followed_before_anything_is_refused() {
    let redis = Sentinels::start();
    let settings = settings(&redis.url());
    let store = SessionStore::open(settings.clone());
    let (cached, _) = cached(settings.clone(), 100);
    works(&store).await;
    works(cached.store()).await;
    let (id, other) = (log_in(&store).await.unwrap(), log_in(&store).await.unwrap());
    assert!(cached.read(&id, NOW, None).await.unwrap().is_some());
    let old = redis.primary();
    replicated(&redis, old).await;

    redis.fail_over();
    // The sentinels make the old primary a replica only some seconds later: until then both take
    // writes.
    let began = Instant::now();
    let (mut asked, mut made) = (0, Vec::new());
    let new = loop {
        let login = SessionId::generate("u1");
        if store.create(&login, &record(), NOW, None).await == Ok(Creation::Created) {
            made.push(login);
        }
        let read = store.read(&id, NOW, None).await;
        assert!(matches!(read, Ok(Some(_))), "{read:?}");
        let read = cached.read(&id, NOW, None).await;
        assert!(matches!(read, Ok(Some(_))), "{read:?}");
        asked += 1;
        let primary = redis.primary();
        if primary != old {
            break primary;
        }
        assert!(began.elapsed() < testkit::PATIENCE, "no failover");
    };
    // Whoever is told by the sentinels may be faster than we are by less than this.
    let noticed = Instant::now();
    let there = SessionStore::open(self::settings(&redis.server_url(new)));
    works(&there).await;
    eventually(async || {
        let id = SessionId::generate("u1");
        let made = store.create(&id, &record(), NOW, None).await;
        made.is_ok() && there.read(&id, NOW, None).await.unwrap().is_some()
    })
    .await;
    let (after, until_then) = (noticed.elapsed(), began.elapsed());
    let mut lost = 0;
    for id in &made {
        lost += usize::from(there.read(id, NOW, None).await.unwrap().is_none());
    }
    println!(
        "{} logins were made until then, {lost} of them lost",
        made.len()
    );
    // Without holding writes most of them are. A busy machine may hear late.
    assert!(lost * 10 <= made.len(), "{lost} of {}", made.len());
    println!(
        "followed {after:.1?} after it was seen, {until_then:.1?} after it began; {asked} reads"
    );
    assert!(after < Duration::from_secs(2), "{after:?}");

    // What is kept in memory is watched on the new primary.
    assert!(cached.read(&other, NOW, None).await.unwrap().is_some());
    assert!(store.end(&other, None).await.unwrap().is_some());
    eventually(async || cached.read(&other, NOW, None).await == Ok(None)).await;
    assert!(cached.read(&id, NOW, None).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_from_the_sentinels_stops_believing_its_primary() {
    let redis = Sentinels::start();
    let store = SessionStore::open(settings(&redis.url()));
    works(&store).await;
    let id = log_in(&store).await.unwrap();

    redis.hang_sentinel(0);
    let alone = Instant::now();
    while alone.elapsed() < NOT_BELIEVED_AFTER + Duration::from_secs(1) {
        let read = store.read(&id, NOW, None).await;
        assert!(
            matches!(read, Ok(Some(_))),
            "one of three is not needed: {read:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.hang_sentinel(1);
    let cut_off = Instant::now();
    eventually(async || store.read(&id, NOW, None).await.is_err()).await;
    let believed = cut_off.elapsed();
    assert!(believed < NOT_BELIEVED_AFTER, "{believed:?}");
    says(&store, "1 of its 3 sentinels", false).await;

    redis.resume_sentinel(1);
    works(&store).await;
    assert!(store.read(&id, NOW, None).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_replicas_that_takes_no_connection_is_not_believed_without_sentinels() {
    let redis = Sentinels::start();
    let store = SessionStore::open(settings(&redis.url()));
    works(&store).await;
    let id = log_in(&store).await.unwrap();
    let primary = redis.primary();
    let operator = redis::Client::open(redis.server_url(primary)).unwrap();
    let mut operator = operator.get_connection().unwrap();
    for (name, value) in [("min-replicas-to-write", 5), ("maxclients", 1)] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(name).arg(value);
        set.exec(&mut operator).unwrap();
    }
    // It stands, and another connection is tried in its place.
    eventually(async || {
        let stats = redis::cmd("INFO").arg("stats").query(&mut operator);
        let stats: redis::InfoDict = stats.unwrap();
        stats.get::<u64>("rejected_connections") > Some(0)
    })
    .await;
    assert!(store.read(&id, NOW, None).await.unwrap().is_some());

    redis.hang_sentinel(0);
    redis.hang_sentinel(1);
    let cut_off = Instant::now();
    eventually(async || store.read(&id, NOW, None).await.is_err()).await;
    let believed = cut_off.elapsed();
    assert!(believed < NOT_BELIEVED_AFTER, "{believed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_its_sentinels_have_users_of_their_own_and_a_wrong_one_is_told() {
    let redis = Sentinels::start_with(Some(Logins {
        server: ("sessions", "s3cret"),
        sentinel: ("asker", "an0ther"),
    }));
    let url = redis.url();
    let open = |url: &str| SessionStore::open(settings(url));
    let store = open(&url);
    works(&store).await;
    let id = log_in(&store).await.unwrap();
    assert!(store.read(&id, NOW, None).await.unwrap().is_some());

    says(&open(&url.replace("an0ther", "wrong")), "WRONGPASS", true).await;
    says(&open(&url.replace("s3cret", "wrong")), "WRONGPASS", true).await;
    let (without, _) = url.split_once('?').unwrap();
    says(&open(without), "NOAUTH", true).await;
    says(
        &open(&url.replace("/main", "/other")),
        "no primary of the name",
        true,
    )
    .await;
    let nobody = "redis+sentinel://127.0.0.1:1,127.0.0.1:2/main";
    says(&open(nobody), "nothing listens", false).await;

    // All that is needed there.
    let reader = [
        "ACL SETUSER reader on >s3parate +subscribe &+failover-state-send-slaveof-noone",
        "&+promoted-slave &+switch-master",
        "+sentinel|get-master-addr-by-name +sentinel|master",
    ];
    let everywhere = |command: &str| {
        let words: Vec<_> = command.split(' ').collect();
        for sentinel in 0..3 {
            assert!(redis.ask_sentinel::<()>(sentinel, &words).is_some());
        }
    };
    everywhere(&reader.join(" "));
    let store = open(
        &url.replace("asker", "reader")
            .replace("an0ther", "s3parate"),
    );
    works(&store).await;
    everywhere("ACL SETUSER reader -sentinel|master");
    says(&store, "SENTINEL MASTER", true).await;
}
