//! Sessions while Redis is killed, hangs and comes back.

use std::time::{Duration, Instant};

use shared::session::SessionId;

use crate::{
    ON_A_BUSY_MACHINE, eventually,
    redis::{Redis, Sessions as _, TIMEOUT},
    service::{NOW, Service, session},
    verdicts::log_in,
};

/// From when Redis is back to when sessions are decided again.
const BACK_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_refused_at_once() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    assert_eq!(service.me(&id).await.status, 200);
    let parsed = SessionId::parse(&id).unwrap();
    assert!(store.end(&parsed, None).await.unwrap().is_some());
    assert_eq!(service.me(&id).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_killed_nothing_is_refused_and_with_it_back_sessions_are_decided_within_a_second()
 {
    let mut redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    assert_eq!(service.me(&id).await.status, 200);

    redis.kill();
    for _ in 0..50 {
        service.me(&id).await.is_undecidable();
    }
    let by_cookie = [("cookie", format!("__Host-sid={id}"))];
    service.get("/me", &by_cookie).await.is_undecidable();
    service.get("/admin", &by_cookie).await.is_undecidable();
    // What needs no Redis needs none now.
    assert_eq!(service.get("/me", &[]).await.status, 401);
    assert_eq!(service.me("nonsense").await.status, 401);
    assert_eq!(service.get("/public", &[]).await.status, 200);
    let readiness = service.get("/readyz", &[]).await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.body.contains("redis"), "{}", readiness.body);

    redis.restart();
    redis.store().await;
    let back = Instant::now();
    // This Redis keeps nothing over a restart, so the session is gone, and that is now known.
    eventually(async || service.me(&id).await.status == 401).await;
    assert!(back.elapsed() < BACK_WITHIN, "{:?}", back.elapsed());
    let again = log_in(&redis.store().await, &["user"], NOW + 900).await;
    // Each worker thread has a connection of its own.
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
    eventually(async || service.me(&again).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_hung_the_answer_comes_by_the_deadline_and_the_session_survives() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    assert_eq!(service.me(&id).await.status, 200);

    redis.hang();
    for _ in 0..8 {
        let asked = Instant::now();
        service.me(&id).await.is_undecidable();
        assert!(
            asked.elapsed() < TIMEOUT + ON_A_BUSY_MACHINE,
            "{:?}",
            asked.elapsed()
        );
    }
    assert_eq!(service.get("/readyz", &[]).await.status, 503);

    redis.resume();
    let back = Instant::now();
    eventually(async || service.me(&id).await.status == 200).await;
    assert!(back.elapsed() < BACK_WITHIN, "{:?}", back.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_before_redis_becomes_ready_with_it() {
    let mut redis = Redis::start();
    redis.store().await;
    redis.kill();
    let service = Service::start(session(redis.settings()));
    assert_eq!(service.get("/readyz", &[]).await.status, 503);
    service
        .me(SessionId::generate("nobody").expose())
        .await
        .is_undecidable();
    redis.restart();
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_does_not_permit_ends_readiness_and_what_it_refuses_for_a_while_is_named() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    let says = async |status: u16, words: &str| {
        // Each worker thread has a connection of its own.
        eventually(async || {
            let readiness = service.get("/readyz", &[]).await;
            readiness.status == status && readiness.body.contains(words)
        })
        .await;
    };

    redis.tell(&["ACL SETUSER default -expire"]);
    says(503, "EXPIRE").await;
    assert_eq!(service.me(&id).await.status, 200, "reading is permitted");
    redis.tell(&["ACL SETUSER default +expire"]);
    says(200, r#"{"status":"ready"}"#).await;

    redis.tell(&["CONFIG SET maxmemory 1"]);
    says(200, "OOM").await;
    assert_eq!(service.me(&id).await.status, 200);
    redis.tell(&["CONFIG SET maxmemory 0"]);
    says(200, r#"{"status":"ready"}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_redis_closes_costs_no_request() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    for _ in 0..20 {
        redis.tell(&["CLIENT KILL TYPE normal SKIPME yes"]);
        assert_eq!(service.me(&id).await.status, 200);
    }
}
