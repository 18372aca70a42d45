//! Client authentication, RFC 6749 §2.3.

use serde_json::Value;

use super::{API, SECRET, refused, with_clients, with_form};
use crate::service::{Backend, answered};

/// RFC 6749 §2.3.1: Basic must be supported, and credentials in the body may be.
#[tokio::test]
async fn rfc6749_2_3_1_a_client_authenticates_with_basic_or_in_the_body() {
    let service = with_clients(Backend::Sqlite).start().await;
    let basic = service
        .oauth("introspect", &[("token", "x")])
        .basic_auth(API, Some(SECRET));
    let body = [
        ("token", "x"),
        ("client_id", API),
        ("client_secret", SECRET),
    ];
    let post = service.oauth("introspect", &body);
    for request in [basic, post] {
        let response = answered(request).await;
        assert_eq!(response.status(), 200);
        let found: Value = response.json().await.unwrap();
        assert_eq!(found, serde_json::json!({"active": false}));
    }
    service.stop().await;
}

/// RFC 6749 §5.2: `invalid_client` is 401 and names the scheme that was tried.
#[tokio::test]
async fn rfc6749_5_2_a_client_that_is_none_gets_401_and_a_basic_challenge() {
    let service = with_clients(Backend::Sqlite).start().await;
    let token = [("token", "x")];
    let named = [("token", "x"), ("client_id", API)];
    let wrong = [
        ("token", "x"),
        ("client_id", API),
        ("client_secret", "opensesame"),
    ];
    for request in [
        service.oauth("introspect", &token),
        service.oauth("introspect", &named),
        service.oauth("introspect", &wrong),
        service
            .oauth("introspect", &token)
            .basic_auth(API, Some("opensesame")),
        service
            .oauth("introspect", &token)
            .basic_auth("eve", Some(SECRET)),
        service.oauth("introspect", &token).bearer_auth(SECRET),
        service.oauth("revoke", &wrong),
    ] {
        refused(answered(request).await, 401, "invalid_client").await;
    }
    service.stop().await;
}

/// RFC 6749 §2.3: not more than one method in a request.
#[tokio::test]
async fn rfc6749_2_3_two_ways_to_authenticate_are_refused() {
    let service = with_clients(Backend::Sqlite).start().await;
    let both = [("token", "x"), ("client_secret", SECRET)];
    let request = service
        .oauth("introspect", &both)
        .basic_auth(API, Some(SECRET));
    refused(answered(request).await, 400, "invalid_request").await;
    service.stop().await;
}

/// RFC 6749 §2.3.1: credentials must not be in the URI, where logs would keep them.
#[tokio::test]
async fn rfc6749_2_3_1_no_credential_is_taken_from_a_query() {
    let service = with_clients(Backend::Sqlite).start().await;
    for path in [
        format!("/oauth/introspect?client_id={API}&client_secret={SECRET}"),
        "/oauth/revoke?token=x".to_owned(),
        "/oauth/token?refresh_token=x".to_owned(),
    ] {
        let form = [("token", "x"), ("grant_type", "refresh_token")];
        let request = with_form(service.request("POST", &path), &form);
        let request = request.basic_auth(API, Some(SECRET));
        refused(answered(request).await, 400, "invalid_request").await;
    }
    service.stop().await;
}

/// RFC 6749 §5.2: `unauthorized_client` for a client without the right.
#[tokio::test]
async fn rfc6749_5_2_a_client_does_only_what_it_was_given_the_right_to() {
    let service = with_clients(Backend::Sqlite).start().await;
    let own = [("grant_type", "client_credentials")];
    let exchange = [
        ("grant_type", super::EXCHANGE),
        ("subject_token", "x"),
        ("subject_token_type", super::ACCESS_TOKEN),
    ];
    let ask = [("token", "x")];
    for (client, endpoint, form) in [
        (API, "token", own.as_slice()),
        (API, "token", &exchange),
        (super::EDGE, "token", &own),
        (super::EDGE, "introspect", &ask),
        (super::WORKER, "token", &exchange),
    ] {
        let response = service.oauth_as(client, endpoint, form).await;
        refused(response, 400, "unauthorized_client").await;
    }
    service.stop().await;
}

/// RFC 6749 §3.2: parameters are a form, none repeated, unknown ones ignored; a body has a limit.
#[tokio::test]
async fn rfc6749_3_2_every_endpoint_takes_a_form_without_repetitions() {
    let service = with_clients(Backend::Sqlite).start().await;
    for endpoint in ["token", "introspect", "revoke"] {
        let path = format!("/oauth/{endpoint}");
        let twice = [
            ("token", "x"),
            ("token", "x"),
            ("grant_type", "refresh_token"),
        ];
        let response = service.oauth_as(API, endpoint, &twice).await;
        refused(response, 400, "invalid_request").await;

        let json = service
            .request("POST", &path)
            .basic_auth(API, Some(SECRET))
            .json(&serde_json::json!({"token": "x"}));
        refused(answered(json).await, 400, "invalid_request").await;

        let empty = service.oauth_as(API, endpoint, &[("token", "")]).await;
        refused(empty, 400, "invalid_request").await;

        let long = "x".repeat(20_000);
        let large = service.oauth_as(API, endpoint, &[("token", &long)]).await;
        assert_eq!(large.status(), 413, "{endpoint}");
        let get = answered(service.request("GET", &path)).await;
        assert_eq!(get.status(), 405, "{endpoint}");
    }
    let unknown = [("token", "x"), ("colour", "blue")];
    let response = service.oauth_as(API, "introspect", &unknown).await;
    assert_eq!(response.status(), 200);
    service.stop().await;
}
