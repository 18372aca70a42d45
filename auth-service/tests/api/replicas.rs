//! Two services on one PostgreSQL: what is true at one is true at both, at once. The budgets of
//! guessing are in `limits`, the signing keys in `rotation`.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    oauth::{code::with_app, text},
    rotation::ENCRYPTION_KEY,
    service::{Backend, Service, answered},
};

/// More than the default of `AUTH_REFRESH_GRACE`.
const AFTER_THE_GRACE: Duration = Duration::from_secs(31);

async fn pair() -> [Service; 2] {
    let key = format!("--key-encryption-key={ENCRYPTION_KEY}");
    let one = with_app(Backend::Postgres).option(&key).start().await;
    let url = one.database_url.clone().expect("PostgreSQL");
    let other = with_app(Backend::Postgres).option(&key);
    let other = other.existing_database(&url).with_clock(&one.clock);
    let services = [one, other.start().await];
    services[0].register("ada").await;
    services
}

async fn stop(services: [Service; 2]) {
    for service in services {
        service.stop().await;
    }
}

/// Whether the token is active for a resource server that asks this service.
async fn accepts(service: &Service, token: &str) -> bool {
    service.introspected(token).await["active"] == true
}

#[tokio::test]
async fn of_64_who_spend_a_token_at_both_all_get_the_same_successor() {
    let services = pair().await;
    let login = services[0].logged_in("ada", "token").await;
    let token = text(&login, "refresh_token");
    let spend = |number: usize| {
        let service = &services[number % 2];
        async move {
            let response = service.refresh(token).await;
            assert_eq!(response.status(), 200);
            response.json::<Value>().await.unwrap()
        }
    };
    let answers = join_all((0..64).map(spend)).await;
    let successors: BTreeSet<&str> = answers
        .iter()
        .map(|answer| text(answer, "refresh_token"))
        .collect();
    assert_eq!(successors.len(), 1);
    for service in &services {
        let next = service.refresh(text(&answers[0], "refresh_token")).await;
        assert_eq!(next.status(), 200, "the login lives");
    }
    stop(services).await;
}

#[tokio::test]
async fn a_token_that_was_spent_at_one_ends_the_login_when_the_other_sees_it_again() {
    let [one, other] = pair().await;
    let login = one.logged_in("ada", "token").await;
    let renewed = one.refresh(text(&login, "refresh_token")).await;
    let renewed: Value = renewed.json().await.unwrap();
    assert!(accepts(&other, text(&renewed, "access_token")).await);
    one.clock.advance(AFTER_THE_GRACE);
    let reused = other.refresh(text(&login, "refresh_token")).await;
    assert_eq!(reused.status(), 400);
    let next = one.refresh(text(&renewed, "refresh_token")).await;
    assert_eq!(next.status(), 400);
    for service in [&one, &other] {
        assert!(!accepts(service, text(&renewed, "access_token")).await);
    }
    stop([one, other]).await;
}

#[tokio::test]
async fn a_code_that_is_redeemed_at_both_begins_one_login() {
    let services = pair().await;
    let code = services[0].code().await;
    let attempts = (0..16).map(|number| services[number % 2].redeemed(&code));
    let statuses: Vec<u16> = join_all(attempts)
        .await
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    let begun = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 400).count();
    assert_eq!((begun, refused), (1, 15), "{statuses:?}");
    stop(services).await;
}

#[tokio::test]
async fn a_name_that_is_registered_at_both_at_once_is_one_user() {
    let services = pair().await;
    let body = json!({"username": "eve", "password": crate::service::PASSWORD});
    let attempts = (0..8).map(|number| services[number % 2].post("/register", &body));
    let statuses: Vec<u16> = join_all(attempts)
        .await
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    let made = statuses.iter().filter(|status| **status == 201).count();
    let taken = statuses.iter().filter(|status| **status == 409).count();
    assert_eq!((made, taken), (1, 7), "{statuses:?}");
    stop(services).await;
}

#[tokio::test]
async fn a_login_that_ended_at_one_is_over_at_the_other() {
    let [one, other] = pair().await;
    let login = one.logged_in("ada", "token").await;
    let token = text(&login, "access_token");
    assert!(accepts(&other, token).await);
    let logout = one.request("POST", "/logout").bearer_auth(token);
    // There is no Redis, so it is published later.
    assert_eq!(answered(logout).await.status(), 202);
    assert!(!accepts(&other, token).await);
    let renewal = other.refresh(text(&login, "refresh_token")).await;
    assert_eq!(renewal.status(), 400);
    stop([one, other]).await;
}
