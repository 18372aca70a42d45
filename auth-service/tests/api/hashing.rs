//! Who gets a turn when more passwords are to be hashed than there is time for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use reqwest::RequestBuilder;
use serde_json::json;
use tokio::task::JoinSet;

use crate::service::{Backend, Builder, PASSWORD, Service, answered, eventually};

const PLACES: u64 = 96;
const FLOOD: usize = 160;
/// One that runs, one whose turn it is, and those that run while the login is on its way to the
/// queue and back: sixteen were seen. Whoever had to wait behind the queue would wait for all places.
const FEW: u64 = PLACES / 2;
const WAITING: &str = "auth_password_hash_waiting";
const REGISTRATIONS: &str = "auth_password_hash_duration_seconds_count{operation=\"hash\"}";
const LOGINS: &str = "auth_password_hash_duration_seconds_count{operation=\"verify\"}";

/// One run at a time, which takes some hundredths of a second.
async fn start() -> Service {
    Builder::new(Backend::Sqlite)
        .option("--argon2-concurrency=1")
        .option(&format!("--argon2-queue={PLACES}"))
        .option("--argon2-iterations=300")
        .option("--login-limit-account-at-address=1000000/1s")
        .option("--login-limit-address=1000000/1s")
        .option("--login-limit-account=1000000/1s")
        .start()
        .await
}

fn log_in(service: &Service, username: &str, password: &str, from: &str) -> RequestBuilder {
    let body = json!({"username": username, "password": password, "credential": "token"});
    let request = service.request("POST", "/login");
    request.header("x-forwarded-for", from).json(&body)
}

fn register(service: &Service, username: &str, from: &str) -> RequestBuilder {
    let body = json!({"username": username, "password": PASSWORD});
    let request = service.request("POST", "/register");
    request.header("x-forwarded-for", from).json(&body)
}

/// Many connections that send what `request` makes again and again, until it is dropped.
struct Flood {
    _connections: JoinSet<()>,
    refused: Arc<AtomicUsize>,
}

impl Flood {
    /// Begins, and waits until the queue is full of it.
    async fn begin(service: &Service, request: impl Fn(usize) -> RequestBuilder) -> Self {
        let mut connections = JoinSet::new();
        let refused = Arc::new(AtomicUsize::new(0));
        for number in 0..FLOOD {
            let (request, refused) = (request(number), Arc::clone(&refused));
            connections.spawn(async move {
                loop {
                    let answer = request.try_clone().unwrap().send().await.unwrap();
                    refused.fetch_add(usize::from(answer.status() == 503), Ordering::Relaxed);
                }
            });
        }
        let flood = Self {
            _connections: connections,
            refused,
        };
        eventually("the queue is full", async || {
            flood.refused.load(Ordering::Relaxed) > 0 && service.metric(WAITING).await == PLACES
        })
        .await;
        flood
    }
}

#[tokio::test]
async fn registrations_of_one_address_take_no_login_its_turn() {
    let service = start().await;
    service.register("ada").await;
    let flood = Flood::begin(&service, |number| {
        register(&service, &format!("user{number}"), "192.0.2.1")
    })
    .await;
    for from in ["198.51.100.1", "198.51.100.2", "198.51.100.1"] {
        let before = service.metric(REGISTRATIONS).await;
        let answer = answered(log_in(&service, "ada", PASSWORD, from)).await;
        assert_eq!(answer.status(), 200);
        let waited = service.metric(REGISTRATIONS).await - before;
        assert!(waited < FEW, "{waited} registrations came first");
    }
    drop(flood);
    service.stop().await;
}

#[tokio::test]
async fn guesses_of_one_address_take_no_other_address_its_turn() {
    let service = start().await;
    service.register("ada").await;
    // An address has 2^64 others in its network; they are the same client.
    let flood = Flood::begin(&service, |number| {
        let from = format!("2001:db8:1:2::{number:x}");
        log_in(&service, &format!("user{number}"), "wrong password", &from)
    })
    .await;
    for other in 0..3 {
        let before = service.metric(LOGINS).await;
        let from = format!("2001:db8:1:3::{other}");
        let answer = answered(log_in(&service, "ada", PASSWORD, &from)).await;
        assert_eq!(answer.status(), 200);
        let waited = service.metric(LOGINS).await - before;
        assert!(waited < FEW, "{waited} guesses came first");
    }
    let answer = answered(register(&service, "eve", "198.51.100.1")).await;
    assert_eq!(answer.status(), 201, "another kind");
    drop(flood);
    service.stop().await;
}

#[tokio::test]
async fn who_was_here_before_logs_in_while_many_addresses_guess() {
    let service = start().await;
    service.register("ada").await;
    let home = "198.51.100.1";
    let answer = answered(log_in(&service, "ada", PASSWORD, home)).await;
    assert_eq!(answer.status(), 200);
    let flood = Flood::begin(&service, |number| {
        let from = format!("192.0.2.{number}");
        log_in(&service, &format!("user{number}"), "wrong password", &from)
    })
    .await;
    for _ in 0..3 {
        let before = service.metric(LOGINS).await;
        let answer = answered(log_in(&service, "ada", PASSWORD, home)).await;
        assert_eq!(answer.status(), 200);
        let waited = service.metric(LOGINS).await - before;
        assert!(waited < FEW, "{waited} guesses came first");
    }
    drop(flood);
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_keep_its_place() {
    let service = start().await;
    let flood = Flood::begin(&service, |number| {
        register(&service, &format!("user{number}"), "192.0.2.1")
    })
    .await;
    drop(flood);
    eventually("nobody waits", async || service.metric(WAITING).await == 0).await;
    let answer = answered(register(&service, "ada", "192.0.2.1")).await;
    assert_eq!(answer.status(), 201);
    service.stop().await;
}
