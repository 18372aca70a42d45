//! Limits of guessing passwords: what they stop, whom they let through, and what they keep.

use reqwest::Response;
use serde_json::json;
use sqlx::Connection;

use crate::{
    on_both_databases,
    service::{Backend, Builder, PASSWORD, Service, answered, header, problem},
};

const VERIFICATIONS: &str = "auth_password_hash_duration_seconds_count{operation=\"verify\"}";

on_both_databases!(
    guessing_from_one_address_stops_before_any_work_is_done_for_it,
    a_name_that_does_not_exist_is_limited_as_one_that_does,
    an_attack_from_many_addresses_stops_and_does_not_lock_the_owner_out,
    an_address_that_tries_many_accounts_is_stopped,
    a_budget_fills_up_with_time_and_at_once_by_a_login,
    a_restart_forgets_no_failure_and_no_known_address,
    logins_that_succeed_cost_nothing,
    guesses_at_once_are_as_few_as_one_after_the_other,
    logins_at_once_that_succeed_take_nothing_from_each_other,
);

/// Three failures for each account at each address, six for an address, five for an account.
async fn start(backend: Backend) -> Service {
    limited(Builder::new(backend)).start().await
}

fn limited(builder: Builder) -> Builder {
    builder
        .option("--login-limit-account-at-address=3/30s")
        .option("--login-limit-address=6/60s")
        .option("--login-limit-account=5/50s")
}

async fn log_in(service: &Service, username: &str, password: &str, from: &str) -> Response {
    let body = json!({"username": username, "password": password, "credential": "token"});
    let request = service
        .request("POST", "/login")
        .header("x-forwarded-for", from)
        .json(&body);
    answered(request).await
}

async fn guess(service: &Service, username: &str, from: &str) -> Response {
    log_in(service, username, "wrong password", from).await
}

/// The statuses of so many guesses.
async fn guesses(service: &Service, username: &str, from: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(guess(service, username, from).await.status().as_u16());
    }
    statuses
}

async fn guessing_from_one_address_stops_before_any_work_is_done_for_it(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    let policies = "\"account-at-address\";q=3;w=30, \"address\";q=6;w=60, \"account\";q=5;w=50";
    for (remaining, next_in) in [(2, 10), (1, 10), (0, 10)] {
        let response = guess(&service, "ada", "192.0.2.1").await;
        assert_eq!(response.status(), 401);
        assert_eq!(header(&response, "ratelimit-policy"), policies);
        let limit = format!("\"account-at-address\";r={remaining};t={next_in}");
        assert_eq!(header(&response, "ratelimit"), limit);
    }
    let before = service.metric(VERIFICATIONS).await;
    // Also with the right password: there is nothing to be learned here any more.
    for password in ["wrong password", PASSWORD] {
        let response = log_in(&service, "ada", password, "192.0.2.1").await;
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after"), "10");
        assert_eq!(header(&response, "ratelimit-policy"), policies);
        assert_eq!(
            header(&response, "ratelimit"),
            "\"account-at-address\";r=0;t=10"
        );
        assert_eq!(header(&response, "cache-control"), "no-store");
        let body = problem(response).await;
        assert_eq!(body["type"], "urn:problem-type:statewise:too-many-attempts");
    }
    assert_eq!(service.metric(VERIFICATIONS).await, before);
    let limited = "auth_logins_total{credential=\"token\",outcome=\"limited\"}";
    assert_eq!(service.metric(limited).await, 2);
    service.stop().await;
}

async fn a_name_that_does_not_exist_is_limited_as_one_that_does(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    let mut seen = Vec::new();
    // The last can be no user's name.
    for (number, username) in ["ada", "nobody", "no body\0"].into_iter().enumerate() {
        let mut answers = Vec::new();
        for _ in 0..5 {
            let response = guess(&service, username, &format!("192.0.2.{number}")).await;
            let mut headers: Vec<_> = response
                .headers()
                .iter()
                .filter(|(name, _)| *name != "date")
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect();
            headers.sort_by(|a, b| a.0.cmp(&b.0));
            answers.push((response.status(), headers, problem(response).await));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0][4].0, 429);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    // Names are compared as logins compare them.
    assert_eq!(guesses(&service, "ADA", "192.0.2.0", 1).await, [429]);
    service.stop().await;
}

async fn an_attack_from_many_addresses_stops_and_does_not_lock_the_owner_out(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    let home = "2001:db8:1:2::1";
    assert_eq!(log_in(&service, "ada", PASSWORD, home).await.status(), 200);
    let mut statuses = Vec::new();
    for number in 0..8 {
        let from = format!("198.51.100.{number}");
        statuses.extend(guesses(&service, "ada", &from, 1).await);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    let stopped = guess(&service, "ada", "198.51.100.99").await;
    assert_eq!(header(&stopped, "ratelimit"), "\"account\";r=0;t=10");

    // Another address of the same network is the same place.
    assert_eq!(
        guesses(&service, "ada", "2001:db8:1:2:ffff::9", 2).await,
        [401, 401]
    );
    assert_eq!(log_in(&service, "ada", PASSWORD, home).await.status(), 200);
    // From where the account was never used, also the owner has to wait.
    let elsewhere = log_in(&service, "ada", PASSWORD, "203.0.113.5").await;
    assert_eq!(elsewhere.status(), 429);
    service.stop().await;
}

async fn an_address_that_tries_many_accounts_is_stopped(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    let from = "192.0.2.7";
    assert_eq!(log_in(&service, "ada", PASSWORD, from).await.status(), 200);
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.extend(guesses(&service, &format!("user{number}"), from, 1).await);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429, 429]);
    let stopped = guess(&service, "eve", from).await;
    assert_eq!(header(&stopped, "ratelimit"), "\"address\";r=0;t=10");
    // Who shares the address and was here before goes on.
    assert_eq!(log_in(&service, "ada", PASSWORD, from).await.status(), 200);
    assert_eq!(guesses(&service, "user0", "192.0.2.8", 1).await, [401]);
    service.stop().await;
}

async fn a_budget_fills_up_with_time_and_at_once_by_a_login(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    let from = "192.0.2.1";
    assert_eq!(
        guesses(&service, "ada", from, 4).await,
        [401, 401, 401, 429]
    );
    service.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(guesses(&service, "ada", from, 2).await, [401, 429]);
    service.clock.advance(std::time::Duration::from_secs(10));
    let response = log_in(&service, "ada", PASSWORD, from).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "ratelimit"), "\"account-at-address\";r=3");
    assert_eq!(
        guesses(&service, "ada", from, 4).await,
        [401, 401, 401, 429]
    );
    service.stop().await;
}

async fn a_restart_forgets_no_failure_and_no_known_address(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    assert_eq!(
        log_in(&service, "ada", PASSWORD, "192.0.2.1")
            .await
            .status(),
        200
    );
    assert_eq!(
        guesses(&service, "ada", "198.51.100.1", 3).await,
        [401, 401, 401]
    );
    assert_eq!(
        guesses(&service, "ada", "198.51.100.2", 3).await,
        [401, 401, 429]
    );
    let url = service.database_url.clone();
    let data = service.stop().await;

    let mut builder = limited(Builder::new(backend).with_data(data));
    if let Some(url) = &url {
        builder = builder.existing_database(url);
    }
    let service = builder.start().await;
    for from in ["198.51.100.1", "198.51.100.3"] {
        assert_eq!(guesses(&service, "ada", from, 1).await, [429], "{from}");
    }
    assert_eq!(
        log_in(&service, "ada", PASSWORD, "192.0.2.1")
            .await
            .status(),
        200
    );
    service.stop().await;
}

async fn logins_that_succeed_cost_nothing(backend: Backend) {
    let service = start(backend).await;
    for number in 0..20 {
        let name = format!("user{number}");
        service.register(&name).await;
        for _ in 0..5 {
            assert_eq!(
                log_in(&service, &name, PASSWORD, "192.0.2.1")
                    .await
                    .status(),
                200
            );
        }
    }
    service.stop().await;
}

/// The statuses of logins with these passwords, all sent at once.
async fn at_once(
    services: &[&Service],
    username: &str,
    from: &str,
    passwords: &[&str],
) -> Vec<u16> {
    let logins = passwords.iter().enumerate().map(|(number, password)| {
        let service = services[number % services.len()];
        async move {
            log_in(service, username, password, from)
                .await
                .status()
                .as_u16()
        }
    });
    futures_util::future::join_all(logins).await
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

async fn guesses_at_once_are_as_few_as_one_after_the_other(backend: Backend) {
    let service = start(backend).await;
    service.register("ada").await;
    let statuses = at_once(&[&service], "ada", "192.0.2.1", &["wrong password"; 40]).await;
    assert_eq!((count(&statuses, 401), count(&statuses, 429)), (3, 37));
    assert_eq!(service.metric(VERIFICATIONS).await, 3);
    // Nobody has to wait for what was refused.
    let refused = log_in(&service, "ada", PASSWORD, "192.0.2.1").await;
    assert_eq!(
        header(&refused, "ratelimit"),
        "\"account-at-address\";r=0;t=10"
    );
    let elsewhere = log_in(&service, "ada", PASSWORD, "192.0.2.2").await;
    assert_eq!(elsewhere.status(), 200);
    // From many addresses at once there are two left, and one of them after the next.
    let from: Vec<String> = (0..20).map(|host| format!("198.51.100.{host}")).collect();
    let guesses = from.iter().map(|from| guess(&service, "ada", from));
    let answers = futures_util::future::join_all(guesses).await;
    let statuses: Vec<u16> = answers
        .iter()
        .map(|answer| answer.status().as_u16())
        .collect();
    assert_eq!((count(&statuses, 401), count(&statuses, 429)), (2, 18));
    let refused = log_in(&service, "ada", PASSWORD, "203.0.113.5").await;
    assert_eq!(header(&refused, "ratelimit"), "\"account\";r=0;t=10");
    service.stop().await;
}

async fn logins_at_once_that_succeed_take_nothing_from_each_other(backend: Backend) {
    let service = limited(Builder::new(backend))
        .option("--argon2-concurrency=2")
        .start()
        .await;
    service.register("ada").await;
    // The first come from a new place, the others from a known one.
    for _ in 0..2 {
        let statuses = at_once(&[&service], "ada", "192.0.2.1", &[PASSWORD; 20]).await;
        assert_eq!(count(&statuses, 200), 20, "{statuses:?}");
    }
    let statuses = guesses(&service, "ada", "192.0.2.1", 4).await;
    assert_eq!(statuses, [401, 401, 401, 429]);
    service.stop().await;
}

#[tokio::test]
async fn two_services_at_one_database_have_one_budget() {
    let builder =
        || limited(Builder::new(Backend::Postgres)).option("--login-limit-account=12/120s");
    let one = builder().start().await;
    let url = one.database_url.clone().unwrap();
    let key = std::fs::read_to_string(one.data().join("key-encryption.key")).unwrap();
    let other = builder()
        .existing_database(&url)
        .with_clock(&one.clock)
        .option(&format!("--key-encryption-key={}", key.trim()))
        .start()
        .await;
    one.register("ada").await;
    let statuses = at_once(&[&one, &other], "ada", "192.0.2.1", &["wrong password"; 40]).await;
    assert_eq!((count(&statuses, 401), count(&statuses, 429)), (3, 37));
    // What was evaluated at both before either had counted it was not answered.
    let verified = one.metric(VERIFICATIONS).await + other.metric(VERIFICATIONS).await;
    assert!((3..=6).contains(&verified), "{verified}");
    // What one learned is known to the other.
    assert_eq!(
        log_in(&one, "ada", PASSWORD, "192.0.2.2").await.status(),
        200
    );
    let from: Vec<String> = (0..12).map(|host| format!("198.51.100.{host}")).collect();
    for from in &from {
        guess(&one, "ada", from).await;
    }
    assert_eq!(guess(&other, "ada", "198.51.100.99").await.status(), 429);
    assert_eq!(
        log_in(&other, "ada", PASSWORD, "192.0.2.2").await.status(),
        200
    );
    other.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn what_only_a_client_says_about_its_address_is_not_believed() {
    let service = limited(Builder::new(Backend::Sqlite))
        .option("--trusted-proxies=10.0.0.0/8")
        .start()
        .await;
    service.register("ada").await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        statuses.extend(guesses(&service, "ada", &format!("192.0.2.{number}"), 1).await);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    service.stop().await;
}

#[tokio::test]
async fn behind_two_proxies_each_client_has_a_budget_of_its_own() {
    let service = limited(Builder::new(Backend::Sqlite))
        .option("--trusted-hops=2")
        .start()
        .await;
    service.register("ada").await;
    // What the farther proxy wrote, and what the nearer one added.
    let tried = guesses(&service, "ada", "192.0.2.1, 10.0.0.1", 4).await;
    assert_eq!(tried, [401, 401, 401, 429]);
    let forged = guesses(&service, "ada", "192.0.2.9, 192.0.2.1, 10.0.0.1", 1).await;
    assert_eq!(forged, [429], "the client wrote the first");
    let other = log_in(&service, "ada", PASSWORD, "192.0.2.2, 10.0.0.1").await;
    assert_eq!(other.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn what_was_tried_and_from_where_is_not_in_the_database_and_old_rows_are_removed() {
    let service = start(Backend::Sqlite).await;
    service.register("ada").await;
    guesses(&service, "my password by mistake", "192.0.2.55", 2).await;
    let file = service.data().join("users.sqlite");
    let url = format!("sqlite:{}", file.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let buckets: Vec<(String,)> = sqlx::query_as("SELECT bucket FROM login_limits")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(buckets.len(), 3);
    for (bucket,) in &buckets {
        assert!(
            !bucket.contains("mistake") && !bucket.contains("192.0.2"),
            "{bucket}"
        );
    }
    let clock = service.clock.clone();
    clock.advance(std::time::Duration::from_secs(3_600));
    let data = service.stop().await;
    drop(database);

    // The hourly task runs at the start, by the clock of the machine: the rows are older by then.
    sqlx::query("UPDATE login_limits SET until = 1")
        .execute(&mut sqlx::SqliteConnection::connect(&url).await.unwrap())
        .await
        .unwrap();
    let service = limited(Builder::new(Backend::Sqlite).with_data(data))
        .start()
        .await;
    crate::service::eventually("old rows are removed", async || {
        let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let (rows,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM login_limits")
            .fetch_one(&mut database)
            .await
            .unwrap();
        rows == 0
    })
    .await;
    service.stop().await;
}
