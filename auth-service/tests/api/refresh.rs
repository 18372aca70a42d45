//! `POST /oauth/token` with a refresh token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use auth_service::{
    refresh::RefreshTokens,
    storage::{Database, UnixSeconds},
};
use serde_json::Value;
use sqlx::{AnyConnection, Connection};

use crate::{
    logout::logout,
    oauth::with_clients,
    on_both_databases,
    service::{Backend, Builder, Service, header},
};

/// The default of `AUTH_REFRESH_GRACE`.
const GRACE: Duration = Duration::from_secs(30);
/// The life of an access token, and the largest leeway of a resource server.
const REMEMBERED: Duration = Duration::from_secs(900 + 300);

on_both_databases!(
    rfc9700_2_2_2_a_refresh_token_is_good_once_and_gives_its_successor,
    rfc9700_4_14_2_a_token_used_again_after_the_grace_ends_its_login,
    a_retry_within_the_grace_gives_the_same_successor,
    a_late_retry_whose_successor_is_spent_is_refused_and_ends_nothing,
    of_64_who_spend_a_token_at_once_all_get_the_same_successor,
    no_sealed_successor_stays_longer_than_it_is_needed,
    a_login_ends_however_often_it_was_renewed,
    logins_that_are_over_are_removed_and_no_others,
    a_login_that_was_ended_is_removed_when_its_last_token_is_over,
);

/// RFC 9700 §2.2.2: rotation, for a public client.
async fn rfc9700_2_2_2_a_refresh_token_is_good_once_and_gives_its_successor(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let first = service
        .claims(login["access_token"].as_str().unwrap())
        .await;
    service.clock.advance(Duration::from_secs(600));

    let response = service.refresh(refresh_token(&login)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let renewed: Value = response.json().await.unwrap();
    assert_eq!(renewed["token_type"], "Bearer");
    assert_ne!(renewed["refresh_token"], login["refresh_token"]);
    let claims = service
        .claims(renewed["access_token"].as_str().unwrap())
        .await;
    assert_eq!((claims.sub, claims.sid), (first.sub, first.sid));
    assert_ne!(claims.jti, first.jti);
    assert_eq!(claims.iat, first.iat + 600);

    let next = service.refresh(refresh_token(&renewed)).await;
    assert_eq!(next.status(), 200);
    service.stop().await;
}

/// RFC 9700 §4.14.2, RFC 6749 §10.4, ASVS 5.0 10.4.5: it is in two hands, so nobody keeps it.
async fn rfc9700_4_14_2_a_token_used_again_after_the_grace_ends_its_login(backend: Backend) {
    let service = with_clients(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let renewed = renewed(&service, &login).await;
    let access_token = renewed["access_token"].as_str().unwrap();
    service.clock.advance(GRACE);

    refused(&service, refresh_token(&login)).await;
    refused(&service, refresh_token(&renewed)).await;
    let found = service.introspected(access_token).await;
    assert_eq!(found, serde_json::json!({"active": false}));
    let reused = service
        .metric("auth_refreshes_total{outcome=\"reused\"}")
        .await;
    assert_eq!(reused, 1);
    service.stop().await;
}

/// FAPI 2.0 Security Profile §5.3.2.1 (12): rotation only if a client that lost the answer can ask
/// again.
async fn a_retry_within_the_grace_gives_the_same_successor(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let first = renewed(&service, &login).await;
    service.clock.advance(GRACE - Duration::from_secs(1));
    let second = renewed(&service, &login).await;
    assert_eq!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(second["expires_in"], 900);
    assert_eq!(
        service.refresh(refresh_token(&second)).await.status(),
        200,
        "the login goes on"
    );
    service.stop().await;
}

async fn a_late_retry_whose_successor_is_spent_is_refused_and_ends_nothing(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let second = renewed(&service, &login).await;
    let third = renewed(&service, &second).await;
    refused(&service, refresh_token(&login)).await;
    assert_eq!(
        service.refresh(refresh_token(&third)).await.status(),
        200,
        "a packet that was late is no theft"
    );
    service.stop().await;
}

async fn of_64_who_spend_a_token_at_once_all_get_the_same_successor(backend: Backend) {
    let service = Arc::new(Builder::new(backend).option("--workers=2").start().await);
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let service = Arc::clone(&service);
        let token = refresh_token(&login).to_owned();
        asking.spawn(async move {
            let response = service.refresh(&token).await;
            assert_eq!(response.status(), 200);
            response.json::<Value>().await.unwrap()
        });
    }
    let answers = asking.join_all().await;
    let successors: BTreeSet<&str> = answers.iter().map(refresh_token).collect();
    assert_eq!((answers.len(), successors.len()), (64, 1));
    let next = service.refresh(refresh_token(&answers[0])).await;
    assert_eq!(next.status(), 200, "the family lives");
    let service = Arc::into_inner(service).expect("nobody else asks");
    service.stop().await;
}

/// Who has a dump of the database and an old token must not be able to walk to the newest one.
async fn no_sealed_successor_stays_longer_than_it_is_needed(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let second = renewed(&service, &login).await;
    let database = Database::open(&service.database_settings()).await.unwrap();
    let sealed = async || sealed_successors(&service).await;
    assert_eq!(sealed().await, 1);
    renewed(&service, &second).await;
    assert_eq!(sealed().await, 1, "the newest only");
    let tokens = RefreshTokens::new(database, GRACE, REMEMBERED);
    let now = UnixSeconds::now(&service.clock);
    tokens
        .remove_expired(now + GRACE - Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(sealed().await, 1);
    tokens.remove_expired(now + GRACE).await.unwrap();
    assert_eq!(sealed().await, 0);
    service.stop().await;
}

async fn sealed_successors(service: &Service) -> i64 {
    const COUNT: &str = "SELECT COUNT(*) FROM refresh_tokens WHERE sealed IS NOT NULL";
    count(service, COUNT).await
}

async fn count(service: &Service, statement: &'static str) -> i64 {
    let mut connection = connection(service).await;
    let count = sqlx::query_scalar(statement).fetch_one(&mut connection);
    count.await.unwrap()
}

/// To the tables, beside the service.
async fn connection(service: &Service) -> AnyConnection {
    let file = format!("sqlite:{}", service.data().join("users.sqlite").display());
    let url = service.database_url.as_ref().unwrap_or(&file);
    AnyConnection::connect(url).await.unwrap()
}

/// ASVS 5.0, 10.4.8: an absolute limit, however often it is renewed.
async fn a_login_ends_however_often_it_was_renewed(backend: Backend) {
    let service = Builder::new(backend)
        .option("--refresh-token-ttl=1h")
        .start()
        .await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    service.clock.advance(Duration::from_secs(3_599));
    let response = service.refresh(refresh_token(&login)).await;
    assert_eq!(response.status(), 200);
    let renewed: Value = response.json().await.unwrap();
    assert_eq!(
        renewed["expires_in"], 1,
        "nor does its access token live on"
    );
    service.clock.advance(Duration::from_secs(1));
    refused(&service, refresh_token(&renewed)).await;
    service.stop().await;
}

async fn logins_that_are_over_are_removed_and_no_others(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    service.logged_in("ada", "token").await;
    service.clock.advance(Duration::from_secs(1));
    let later = service.logged_in("ada", "token").await;

    let database = Database::open(&service.database_settings()).await.unwrap();
    let limit = Duration::from_secs(30 * 24 * 3600 - 1);
    let end_of_the_first = UnixSeconds::now(&service.clock) + limit;
    let tokens = RefreshTokens::new(database, GRACE, REMEMBERED);
    assert_eq!(
        tokens
            .remove_expired(end_of_the_first - Duration::from_secs(1))
            .await
            .unwrap(),
        0
    );
    assert_eq!(tokens.remove_expired(end_of_the_first).await.unwrap(), 1);
    let response = service.refresh(refresh_token(&later)).await;
    assert_eq!(response.status(), 200);
    service.stop().await;
}

async fn a_login_that_was_ended_is_removed_when_its_last_token_is_over(backend: Backend) {
    // More tokens than are removed at a time.
    const MORE: &str = "WITH RECURSIVE numbers (n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1200) \
         INSERT INTO refresh_tokens (token_hash, family_id, issued_at) \
         SELECT 'spent-' || n, f.id, 0 FROM numbers, refresh_families f \
         WHERE f.revoked_at IS NOT NULL";
    const ALL: &str = "SELECT COUNT(*) FROM refresh_tokens";
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let other = service.logged_in("ada", "token").await;
    let renewal = renewed(&service, &login).await;
    let bearer = format!("Bearer {}", renewal["access_token"].as_str().unwrap());
    assert_eq!(
        logout(&service, "authorization", &bearer).await.status(),
        202
    );
    let more = sqlx::query(MORE)
        .execute(&mut connection(&service).await)
        .await;
    assert_eq!(more.unwrap().rows_affected(), 1_200);

    let database = Database::open(&service.database_settings()).await.unwrap();
    let tokens = RefreshTokens::new(database, GRACE, REMEMBERED);
    let over = UnixSeconds::now(&service.clock) + REMEMBERED;
    let before = tokens.remove_expired(over - Duration::from_secs(1)).await;
    assert_eq!(before.unwrap(), 0);
    assert_eq!(count(&service, ALL).await, 1_203);
    refused(&service, refresh_token(&renewal)).await;

    assert_eq!(tokens.remove_expired(over).await.unwrap(), 1);
    assert_eq!(count(&service, ALL).await, 1);
    refused(&service, refresh_token(&renewal)).await;
    renewed(&service, &other).await;
    service.stop().await;
}

/// RFC 6749 §5.2.
#[tokio::test]
async fn rfc6749_5_2_refusals_have_the_form_of_the_standard() {
    let service = Builder::new(Backend::Sqlite).start().await;
    for (form, code) in [
        ("", "invalid_request"),
        ("grant_type=refresh_token", "invalid_request"),
        (
            "grant_type=refresh_token&refresh_token=unknown",
            "invalid_grant",
        ),
        (
            "grant_type=password&username=a&password=b",
            "unsupported_grant_type",
        ),
    ] {
        let response = service.form(form).await;
        assert_eq!(response.status(), 400, "{form}");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(header(&response, "content-type"), "application/json");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], code, "{form}");
    }
    let json = service
        .post(
            "/oauth/token",
            &serde_json::json!({"grant_type": "refresh_token"}),
        )
        .await;
    assert_eq!(json.status(), 400);
    assert_eq!(
        json.json::<Value>().await.unwrap()["error"],
        "invalid_request"
    );
    service.stop().await;
}

async fn refused(service: &Service, token: &str) {
    let response = service.refresh(token).await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"], "invalid_grant");
}

/// The answer to a renewal that succeeds.
async fn renewed(service: &Service, login: &Value) -> Value {
    let response = service.refresh(refresh_token(login)).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

fn refresh_token(login: &Value) -> &str {
    login["refresh_token"].as_str().expect("a refresh token")
}
