//! `POST /oauth/token` with a refresh token.

use std::time::Duration;

use auth_service::{database::Database, refresh::RefreshTokens};
use serde_json::Value;

use crate::{
    on_both_databases,
    service::{Backend, Builder, Service, header},
};

on_both_databases!(
    a_refresh_token_is_good_once_and_gives_its_successor,
    a_spent_token_ends_its_whole_login,
    of_many_who_spend_a_token_at_once_one_succeeds,
    a_login_ends_however_often_it_was_renewed,
    logins_that_are_over_are_removed_and_no_others,
);

async fn a_refresh_token_is_good_once_and_gives_its_successor(backend: Backend) {
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

async fn a_spent_token_ends_its_whole_login(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let response = service.refresh(refresh_token(&login)).await;
    let renewed: Value = response.json().await.unwrap();

    refused(&service, refresh_token(&login)).await;
    refused(&service, refresh_token(&renewed)).await;
    service.stop().await;
}

async fn of_many_who_spend_a_token_at_once_one_succeeds(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = refresh_token(&login);
    let answers = tokio::join!(
        service.refresh(token),
        service.refresh(token),
        service.refresh(token),
        service.refresh(token),
    );
    let statuses = [answers.0, answers.1, answers.2, answers.3].map(|answer| answer.status());
    let succeeded = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 400).count();
    assert_eq!((succeeded, refused), (1, 3), "{statuses:?}");
    service.stop().await;
}

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
    let end_of_the_first = service.clock.unix_seconds() + limit.as_secs();
    let tokens = RefreshTokens::new(database);
    assert_eq!(
        tokens.forget_expired(end_of_the_first - 1).await.unwrap(),
        0
    );
    assert_eq!(tokens.forget_expired(end_of_the_first).await.unwrap(), 1);
    let response = service.refresh(refresh_token(&later)).await;
    assert_eq!(response.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn refusals_have_the_form_of_the_standard() {
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

fn refresh_token(login: &Value) -> &str {
    login["refresh_token"].as_str().expect("a refresh token")
}
