//! Sessions from memory: that they end when they end, and what is known without Redis.

use std::{num::NonZeroUsize, time::Duration};

use api_service::{SessionCached, StrategyConfig};
use shared::session::{CacheSettings, SessionId, SessionStore, StoreSettings};

use crate::{
    ON_A_BUSY_MACHINE, eventually,
    redis::{Redis, Sessions as _},
    service::{NEVER, NOW, Service},
    verdicts::log_in,
};

/// The session-cached strategy with this Redis, and with deadlines that no busy machine misses.
pub(crate) fn cached(store: StoreSettings, serve_stale: Duration) -> StrategyConfig {
    let timeout = Duration::from_secs(3);
    impatient(StoreSettings { timeout, ..store }, serve_stale)
}

/// The same with the usual deadline of the tests.
fn impatient(store: StoreSettings, serve_stale: Duration) -> StrategyConfig {
    StrategyConfig::from(SessionCached {
        store,
        cache: CacheSettings {
            entries: NonZeroUsize::new(1_000).unwrap(),
            serve_stale,
        },
    })
}

async fn counted(service: &Service, event: &str) -> u64 {
    let line = format!("statewise_session_cache_events_total{{event=\"{event}\"}} ");
    let text = service.get("/metrics", &[]).await.body;
    text.lines()
        .find_map(|known| known.strip_prefix(&line))
        .unwrap()
        .parse()
        .unwrap()
}

/// Asks over new connections, which go to the worker threads in turn, until all know the session.
async fn known_to_all(service: &Service, id: &str) {
    let request = [
        ("authorization", format!("Bearer {id}")),
        ("connection", "close".to_owned()),
    ];
    let mut in_a_row = 0;
    while in_a_row < 8 {
        let before = counted(service, "hit").await;
        assert_eq!(service.get("/me", &request).await.status, 200);
        in_a_row = if counted(service, "hit").await > before {
            in_a_row + 1
        } else {
            0
        };
    }
}

async fn end(store: &SessionStore, id: &str) {
    let id = SessionId::parse(id).unwrap();
    assert!(store.end(&id, None).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_known_from_memory_and_ends_everywhere_when_it_is_ended() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(cached(redis.settings(), Duration::ZERO)).await;
    for _ in 0..20 {
        let id = log_in(&store, &["user"], NOW + 900).await;
        known_to_all(&service, &id).await;
        end(&store, &id).await;
        // The message is on its way; no request is accepted once it has arrived at its thread.
        let ended = std::time::Instant::now();
        eventually(async || service.me(&id).await.status == 401).await;
        assert!(
            ended.elapsed() < Duration::from_millis(500),
            "{:?}",
            ended.elapsed()
        );
        for _ in 0..4 {
            assert_eq!(service.me(&id).await.status, 401);
        }
    }
    assert!(counted(&service, "invalidation").await >= 20);
    assert_eq!(counted(&service, "stale").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_roles_are_known_from_memory_too() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(cached(redis.settings(), Duration::ZERO)).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    known_to_all(&service, &id).await;
    let bearer = [("authorization", format!("Bearer {id}"))];
    assert_eq!(service.get("/admin", &bearer).await.status, 403);
    let roles = ["user".to_owned(), "admin".to_owned()];
    store.set_roles("u-1", &roles, NOW, None).await.unwrap();
    eventually(async || service.get("/admin", &bearer).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_keeps_the_session_from_idling_out() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(cached(redis.settings(), Duration::ZERO)).await;
    let id = log_in(&store, &["user"], NOW + 9_000).await;
    known_to_all(&service, &id).await;
    let parsed = SessionId::parse(&id).unwrap();
    let seen = async || {
        let session = store.read(&parsed, NOW, None).await.unwrap().unwrap();
        session.last_seen
    };
    service.clock.advance(Duration::from_secs(61));
    assert_eq!(service.me(&id).await.status, 200);
    eventually(async || seen().await == NOW + 61).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_killed_memory_is_not_believed_and_afterwards_it_is_learnt_anew() {
    let mut redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(cached(redis.settings(), Duration::ZERO)).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    known_to_all(&service, &id).await;
    redis.kill();
    eventually(async || service.me(&id).await.status == 503).await;
    for _ in 0..20 {
        service.me(&id).await.is_undecidable();
    }
    assert!(counted(&service, "flush").await >= 1);
    redis.restart();
    redis.store().await;
    // This Redis keeps nothing over a restart.
    eventually(async || service.me(&id).await.status == 401).await;
    let again = log_in(&redis.store().await, &["user"], NOW + 900).await;
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
    eventually(async || service.me(&again).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_hung_memory_is_believed_for_three_deadlines_at_most() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(impatient(redis.settings(), Duration::ZERO)).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    known_to_all(&service, &id).await;
    redis.hang();
    let hung = std::time::Instant::now();
    eventually(async || service.me(&id).await.status == 503).await;
    // Three deadlines of the memory, one of the read that was then tried.
    let limit = crate::redis::TIMEOUT * 4 + ON_A_BUSY_MACHINE;
    assert!(hung.elapsed() < limit, "{:?}", hung.elapsed());
    for _ in 0..4 {
        service.me(&id).await.is_undecidable();
    }
    redis.resume();
    eventually(async || service.me(&id).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_configured_what_was_known_is_served_without_redis_but_nothing_that_was_ended() {
    let mut redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(cached(redis.settings(), NEVER)).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    let ended = log_in(&store, &["user"], NOW + 900).await;
    known_to_all(&service, &id).await;
    known_to_all(&service, &ended).await;
    end(&store, &ended).await;
    eventually(async || service.me(&ended).await.status == 401).await;
    let before = counted(&service, "invalidation").await;
    assert!(before >= 2, "{before}");

    redis.kill();
    for _ in 0..20 {
        assert_eq!(service.me(&id).await.status, 200);
        assert_ne!(service.me(&ended).await.status, 200);
    }
    assert!(counted(&service, "stale").await >= 1);
    let unknown = SessionId::generate("nobody");
    service.me(unknown.expose()).await.is_undecidable();
    // The absolute limit needs no Redis.
    service.clock.advance(Duration::from_secs(900));
    assert_eq!(service.me(&id).await.status, 401);

    redis.restart();
    redis.store().await;
    // Each worker thread has a connection of its own.
    eventually(async || service.me(unknown.expose()).await.status == 401).await;
    assert_ne!(service.me(&id).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_without_redis_is_served_for_a_bounded_time() {
    let mut redis = Redis::start();
    let store = redis.store().await;
    let stale = Duration::from_millis(1_500);
    let service = Service::ready(impatient(redis.settings(), stale)).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    known_to_all(&service, &id).await;
    redis.kill();
    let killed = std::time::Instant::now();
    eventually(async || service.me(&id).await.status == 503).await;
    assert!(counted(&service, "stale").await >= 1);
    let limit = stale + ON_A_BUSY_MACHINE;
    assert!(killed.elapsed() < limit, "{:?}", killed.elapsed());
}
