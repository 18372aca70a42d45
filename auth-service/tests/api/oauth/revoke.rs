//! Revocation, RFC 7009.

use serde_json::json;

use super::{API, WORKER, refused, text, with_clients};
use crate::service::{Backend, Service, answered, header, problem};

async fn given_back(service: &Service, token: &str) {
    let response = answered(service.oauth("revoke", &[("token", token)])).await;
    // Without Redis it is in the database only, and replicas have not heard of it.
    let status = if service.redis.is_some() { 200 } else { 202 };
    assert_eq!(response.status(), status);
    assert_eq!(header(&response, "cache-control"), "no-store");
}

/// RFC 7009 §2.2: 200 for tokens that are unknown or were revoked before.
#[tokio::test]
async fn rfc7009_2_2_an_unknown_token_is_answered_with_200() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    for token in ["garbage", "a.b.c", &"A".repeat(43)] {
        given_back(&service, token).await;
        let hinted = [("token", token), ("token_type_hint", "no_such_type")];
        let response = answered(service.oauth("revoke", &hinted)).await;
        assert_eq!(response.status(), 200, "{token}");
        assert_eq!(
            service.oauth_as(API, "revoke", &hinted).await.status(),
            200,
            "{token}"
        );
    }
    service.stop().await;
}

/// RFC 7009 §2.1: a refresh token ends its grant, access tokens included. A spent one too.
#[tokio::test]
async fn rfc7009_2_1_a_refresh_token_ends_its_login() {
    let service = with_clients(Backend::Sqlite).start().await;
    service.register("ada").await;
    for spent in [false, true] {
        let login = service.logged_in("ada", "token").await;
        let token = text(&login, "refresh_token");
        if spent {
            assert_eq!(service.refresh(token).await.status(), 200);
        }
        let access_token = text(&login, "access_token");
        assert_eq!(service.introspected(access_token).await["active"], true);
        given_back(&service, token).await;
        refused(service.refresh(token).await, 400, "invalid_grant").await;
        assert_eq!(
            service.introspected(access_token).await,
            json!({"active": false})
        );
        given_back(&service, token).await;
    }
    service.stop().await;
}

/// RFC 7009 §2: reference tokens can be given back as well (ASVS 5.0, 10.4.9).
#[tokio::test]
async fn rfc7009_2_a_session_id_ends_its_session() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = service.logged_in("ada", "session").await;
    let id = text(&session, "session_id");
    assert_eq!(service.introspected(id).await["active"], true);
    // RFC 7009 §2.1: another client learns that it is not its own.
    let other = service.oauth_as(WORKER, "revoke", &[("token", id)]).await;
    refused(other, 400, "invalid_grant").await;
    assert_eq!(service.introspected(id).await["active"], true);
    given_back(&service, id).await;
    assert_eq!(service.introspected(id).await, json!({"active": false}));
    service.stop().await;
}

/// RFC 7009 §2.1: an access token is good for nothing after it.
#[tokio::test]
async fn rfc7009_2_1_an_access_token_that_was_given_back_is_inactive() {
    let service = with_clients(Backend::Sqlite).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = text(&login, "access_token");
    given_back(&service, token).await;
    assert_eq!(service.introspected(token).await, json!({"active": false}));
    let other = service.refresh(text(&login, "refresh_token")).await;
    let other: serde_json::Value = other.json().await.unwrap();
    let other = service.introspected(text(&other, "access_token")).await;
    assert_eq!(other["active"], true, "its login goes on");

    let form = [("grant_type", "client_credentials")];
    let own = service.oauth_as(WORKER, "token", &form).await;
    let own: serde_json::Value = own.json().await.unwrap();
    let token = text(&own, "access_token");
    assert_eq!(service.introspected(token).await["active"], true);
    let response = service
        .oauth_as(WORKER, "revoke", &[("token", token)])
        .await;
    assert_eq!(response.status(), 202);
    assert_eq!(service.introspected(token).await, json!({"active": false}));
    service.stop().await;
}

/// RFC 7009 §2.1: a client revokes its own tokens only.
#[tokio::test]
async fn rfc7009_2_1_another_clients_token_is_not_revoked() {
    let service = with_clients(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    for name in ["access_token", "refresh_token"] {
        let token = text(&login, name);
        let response = service.oauth_as(API, "revoke", &[("token", token)]).await;
        refused(response, 400, "invalid_grant").await;
    }
    let token = text(&login, "access_token");
    assert_eq!(service.introspected(token).await["active"], true);
    assert_eq!(
        service
            .refresh(text(&login, "refresh_token"))
            .await
            .status(),
        200
    );
    service.stop().await;
}

/// RFC 7009 §2: the endpoint takes POST only, and a token is required (§2.1).
#[tokio::test]
async fn rfc7009_2_it_takes_post_only_and_wants_a_token() {
    let service = with_clients(Backend::Sqlite).start().await;
    let get = answered(service.request("GET", "/oauth/revoke")).await;
    assert_eq!(get.status(), 405);
    assert_eq!(header(&get, "allow"), "POST");
    let response = answered(service.oauth("revoke", &[("a", "b")])).await;
    refused(response, 400, "invalid_request").await;
    service.stop().await;
}

/// RFC 7009 §2.2.1: 503 with Retry-After: the client must assume that the token lives.
#[tokio::test]
async fn rfc7009_2_2_1_what_cannot_be_revoked_now_is_503() {
    let service = with_clients(Backend::Sqlite).start().await;
    // No Redis: nobody knows whether this is a session.
    let response = answered(service.oauth("revoke", &[("token", &"A".repeat(43))])).await;
    assert_eq!(response.status(), 503);
    assert_eq!(header(&response, "retry-after"), "1");
    problem(response).await;
    service.stop().await;
}
