//! Introspection, RFC 7662.

use std::time::Duration;

use serde_json::{Value, json};

use super::{API, refused, text, with_clients};
use crate::service::{Backend, answered};

/// RFC 7662 §2.1: the endpoint must require authentication.
#[tokio::test]
async fn rfc7662_2_1_nobody_asks_without_authentication() {
    let service = with_clients(Backend::Sqlite).start().await;
    let request = service.oauth("introspect", &[("token", "x")]);
    refused(answered(request).await, 401, "invalid_client").await;
    service.stop().await;
}

/// RFC 7662 §2.2: what is said of an active token.
#[tokio::test]
async fn rfc7662_2_2_a_session_and_an_access_token_are_described() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    let user = service.register("ada").await;
    let session = service.logged_in("ada", "session").await;
    let login = service.logged_in("ada", "token").await;
    let now = service.clock.unix_seconds();
    for (token, expires_in) in [
        (text(&session, "session_id"), &session["expires_in"]),
        (text(&login, "access_token"), &login["expires_in"]),
    ] {
        let found = service.introspected(token).await;
        assert_eq!(found["active"], true);
        assert_eq!(found["sub"], user["user_id"]);
        assert_eq!(found["username"], "ada");
        assert_eq!(found["roles"], json!(["user"]));
        assert_eq!(found["client_id"], "statewise-login");
        assert_eq!(found["token_type"], "Bearer");
        assert_eq!(found["iss"], "http://127.0.0.1:8080/auth");
        assert_eq!(found["aud"], "statewise-api");
        assert_eq!(found["iat"], now);
        assert_eq!(
            found["exp"].as_u64(),
            Some(now + expires_in.as_u64().unwrap())
        );
    }
    let claims = service.claims(text(&login, "access_token")).await;
    let found = service.introspected(text(&login, "access_token")).await;
    assert_eq!(
        (&found["jti"], &found["sid"]),
        (&json!(claims.jti), &json!(claims.sid))
    );
    service.stop().await;
}

/// RFC 7662 §2.2: an inactive token is `{"active":false}` and nothing more.
#[tokio::test]
async fn rfc7662_2_2_an_inactive_token_is_exactly_active_false() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = service.logged_in("ada", "session").await;
    let ended = text(&session, "session_id");
    let login = service.logged_in("ada", "token").await;
    let logged_out = text(&login, "access_token");
    for credential in [ended, logged_out] {
        let logout = service.request("POST", "/logout").bearer_auth(credential);
        assert!(answered(logout).await.status().is_success());
    }
    let other = service.logged_in("ada", "token").await;
    let forged = format!("{}A", &text(&other, "access_token"));
    for token in [
        ended,
        logged_out,
        &forged,
        "garbage",
        "a.b.c",
        &"A".repeat(43),
    ] {
        assert_eq!(service.introspected(token).await, json!({"active": false}));
    }
    service.clock.advance(Duration::from_secs(900));
    let expired = text(&other, "access_token");
    assert_eq!(
        service.introspected(expired).await,
        json!({"active": false})
    );
    service.stop().await;
}

/// RFC 7662 §2.2: active means that nothing revoked it, and that its login goes on.
#[tokio::test]
async fn rfc7662_2_2_an_exchanged_token_is_inactive_when_its_session_has_ended() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "session").await;
    let id = text(&login, "session_id");
    let answer: Value = service.exchange(id).await.json().await.unwrap();
    let token = text(&answer, "access_token");
    assert_eq!(service.introspected(token).await["active"], true);
    let logout = service.request("POST", "/logout").bearer_auth(id);
    assert_eq!(answered(logout).await.status(), 200);
    assert_eq!(service.introspected(token).await, json!({"active": false}));
    refused(service.exchange(token).await, 400, "invalid_request").await;
    service.stop().await;
}

/// RFC 7662 §2.1 and §2.2: the hint finds refresh tokens; without it a resource server, to which
/// they are of no use, does not take one for a credential.
#[tokio::test]
async fn rfc7662_2_2_a_refresh_token_is_active_only_for_who_asks_for_one() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    let user = service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = text(&login, "refresh_token");
    assert_eq!(service.introspected(token).await, json!({"active": false}));

    let asked = |token: &str| {
        let form = [("token", token), ("token_type_hint", "refresh_token")];
        let request = service.oauth("introspect", &form);
        answered(request.basic_auth(API, Some(super::SECRET)))
    };
    let found: Value = asked(token).await.json().await.unwrap();
    assert_eq!(found["active"], true);
    assert_eq!(found["sub"], user["user_id"]);
    assert_eq!(
        found["aud"], "http://127.0.0.1:8080/auth",
        "for nobody else"
    );
    assert!(found.get("token_type").is_none());

    // RFC 7662 §2.1: a wrong hint only costs a search.
    let access: Value = asked(text(&login, "access_token"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(access["active"], true);

    assert_eq!(service.refresh(token).await.status(), 200);
    let spent: Value = asked(token).await.json().await.unwrap();
    assert_eq!(spent, json!({"active": false}));
    service.stop().await;
}
