//! Token exchange, RFC 8693.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{ACCESS_TOKEN, EDGE, EXCHANGE, refused, text, with_clients};
use crate::service::{Backend, Service, answered, header, problem};

async fn exchanged(service: &Service, credential: &str) -> Value {
    let response = service.exchange(credential).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    assert_eq!(answer["token_type"], "Bearer");
    assert!(answer.get("refresh_token").is_none());
    answer
}

/// RFC 8693 §2.2.1: a session goes in, a short audience-restricted token comes out.
#[tokio::test]
async fn rfc8693_2_2_1_a_session_is_exchanged_for_a_short_token_of_its_user() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    let user = service.register("ada").await;
    let login = service.logged_in("ada", "session").await;
    let answer = exchanged(&service, text(&login, "session_id")).await;
    assert_eq!(answer["expires_in"], 10);
    let claims = service.claims(text(&answer, "access_token")).await;
    assert_eq!(claims.sub, user["user_id"]);
    assert_eq!(claims.preferred_username.as_deref(), Some("ada"));
    assert_eq!(claims.roles, ["user"]);
    assert_eq!(claims.aud, ["statewise-api"]);
    assert_eq!(claims.client_id, EDGE);
    let session = service.introspected(text(&login, "session_id")).await;
    assert_eq!(session["sid"].as_str(), claims.sid.as_deref());
    assert!(claims.sid.is_some(), "the login that both belong to");
    assert_eq!(claims.exp - claims.iat, 10);

    let again = exchanged(&service, text(&login, "session_id")).await;
    let next = service.claims(text(&again, "access_token")).await;
    assert_ne!(claims.jti, next.jti);
    service.stop().await;
}

/// RFC 8693 §2.1: an access token may be the subject token too; its exchange does not outlive it.
#[tokio::test]
async fn rfc8693_2_1_an_access_token_is_exchanged_and_not_outlived() {
    let service = with_clients(Backend::Sqlite).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let own = service.claims(text(&login, "access_token")).await;
    service.clock.advance(Duration::from_secs(896));
    let answer = exchanged(&service, text(&login, "access_token")).await;
    assert_eq!(answer["expires_in"], 4);
    let claims = service.claims(text(&answer, "access_token")).await;
    assert_eq!((claims.exp, claims.sub), (own.exp, own.sub));
    assert_eq!(claims.sid, own.sid);
    service.stop().await;
}

#[tokio::test]
async fn an_exchanged_token_ends_with_its_session_at_the_latest() {
    let service = with_clients(Backend::Sqlite)
        .with_redis()
        .option("--session-absolute-ttl=1h")
        .option("--session-idle-ttl=1h")
        .start()
        .await;
    service.register("ada").await;
    let login = service.logged_in("ada", "session").await;
    let session_ends = service.clock.unix_seconds() + login["expires_in"].as_u64().unwrap();
    let rest = session_ends - service.clock.unix_seconds();
    service.clock.advance(Duration::from_secs(rest - 3));
    let answer = exchanged(&service, text(&login, "session_id")).await;
    assert_eq!(answer["expires_in"], 3);
    service.clock.advance(Duration::from_secs(3));
    let over = service.exchange(text(&login, "session_id")).await;
    refused(over, 400, "invalid_request").await;
    service.stop().await;
}

/// RFC 8693 §2.2.2: `invalid_request` for a subject token that is not acceptable for any reason.
#[tokio::test]
async fn rfc8693_2_2_2_a_subject_token_that_is_not_good_is_an_invalid_request() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = service.logged_in("ada", "session").await;
    let ended = text(&session, "session_id");
    let logout = service.request("POST", "/logout").bearer_auth(ended);
    assert_eq!(answered(logout).await.status(), 200);
    let login = service.logged_in("ada", "token").await;
    for token in [
        ended,
        &"A".repeat(43),
        "garbage",
        "a.b.c",
        // A refresh token is no credential before a resource server.
        text(&login, "refresh_token"),
    ] {
        let response = service.exchange(token).await;
        refused(response, 400, "invalid_request").await;
    }
    service.stop().await;
}

/// RFC 8693 §2.2.2: `invalid_target` when no token can be issued for the target.
#[tokio::test]
async fn rfc8693_2_2_2_an_unknown_audience_or_resource_is_an_invalid_target() {
    let service = with_clients(Backend::Sqlite).start().await;
    for target in [
        ("audience", "other-api"),
        ("resource", "https://other.example.org/"),
    ] {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", "x"),
            ("subject_token_type", ACCESS_TOKEN),
            target,
        ];
        let response = service.oauth_as(EDGE, "token", &form).await;
        refused(response, 400, "invalid_target").await;
    }
    service.stop().await;
}

/// RFC 8693 §5: only clients that are trusted with it may exchange.
#[tokio::test]
async fn rfc8693_5_nobody_exchanges_without_authentication() {
    let service = with_clients(Backend::Sqlite).start().await;
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", "x"),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let response = answered(service.oauth("token", &form)).await;
    refused(response, 401, "invalid_client").await;
    service.stop().await;
}

#[tokio::test]
async fn without_redis_a_session_is_not_refused_but_undecided() {
    let mut service = with_clients(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = service.logged_in("ada", "session").await;
    service.redis.as_mut().expect("a Redis").kill();
    let id = text(&session, "session_id");
    let form = [("token", id)];
    let ask = service.oauth_as(super::API, "introspect", &form);
    for response in [service.exchange(id).await, ask.await] {
        assert_eq!(response.status(), 503);
        assert_eq!(header(&response, "retry-after"), "1");
        problem(response).await;
    }
    service.stop().await;
}

/// RFC 8693 §2.1: the audience narrows where the token is good for anything.
#[tokio::test]
async fn rfc8693_2_1_a_token_for_another_audience_is_none_at_that_of_logins() {
    let service = with_clients(Backend::Sqlite)
        .option("--exchange-audiences=inner-api, other-api")
        .start()
        .await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", text(&login, "access_token")),
        ("subject_token_type", ACCESS_TOKEN),
        ("audience", "inner-api"),
    ];
    let answer = service.oauth_as(EDGE, "token", &form).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    let token = text(&answer, "access_token");
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "inner-api");
    assert_eq!(service.introspected(token).await, json!({"active": false}));
    service.stop().await;
}
