//! What a client asks for beside a grant: scope (RFC 6749 §3.3), resource (RFC 8707), a bound token
//! (RFC 9449).

use serde_json::{Value, json};

use super::{EDGE, EXCHANGE, SECRET, WORKER, refused, text, with_form};
use crate::{
    oauth::code::{APP, with_app},
    on_both_databases,
    service::{Backend, Builder, PASSWORD, answered},
};

on_both_databases!(rfc6749_3_3_a_client_gets_what_it_asks_for_and_keeps_it);

/// RFC 6749 §3.3, §5.1 and §6, RFC 9068 §2.2.3.
async fn rfc6749_3_3_a_client_gets_what_it_asks_for_and_keeps_it(backend: Backend) {
    let service = with_app(backend).start().await;
    service.register("ada").await;
    for (asked, granted, roles, name) in [
        ("openid email", "api", json!([]), None),
        ("openid profile", "api profile", json!([]), Some("ada")),
        ("roles", "api roles", json!(["user"]), None),
        ("", "api profile roles", json!(["user"]), Some("ada")),
    ] {
        let code = service.code_for(&[("scope", asked)]).await;
        let answer: Value = service.redeemed(&code).await.json().await.unwrap();
        assert_eq!(answer["scope"], granted, "{asked}");
        let refreshed = service
            .renewed_by(APP, text(&answer, "refresh_token"), &[])
            .await;
        let refreshed: Value = refreshed.json().await.unwrap();
        assert_eq!(refreshed["scope"], granted, "{asked}");
        for answer in [&answer, &refreshed] {
            let claims = service.claims(text(answer, "access_token")).await;
            assert_eq!(json!(claims.roles), roles, "{asked}");
            assert_eq!(claims.preferred_username.as_deref(), name, "{asked}");
            let in_token = (!asked.is_empty()).then_some(granted);
            assert_eq!(claims.scope.as_deref(), in_token, "{asked}");
            let known = service.introspected(text(answer, "access_token")).await;
            assert_eq!(known["scope"].as_str(), in_token, "{asked}");
        }
    }
    service.stop().await;
}

/// RFC 6749 §6: a renewal may ask for less and not for more, and what is refused spends nothing.
#[tokio::test]
async fn rfc6749_6_a_renewal_asks_for_no_more_than_was_granted() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    let code = service.code_for(&[("scope", "profile")]).await;
    let login: Value = service.redeemed(&code).await.json().await.unwrap();
    let token = text(&login, "refresh_token");
    for more in ["roles", "a\"b"] {
        let response = service.renewed_by(APP, token, &[("scope", more)]).await;
        refused(response, 400, "invalid_scope").await;
    }
    let less = service.renewed_by(APP, token, &[("scope", "openid")]).await;
    let less: Value = less.json().await.unwrap();
    assert_eq!(less["scope"], "api");
    // The login keeps what it has.
    let again = service.renewed_by(APP, text(&less, "refresh_token"), &[]);
    let again: Value = again.await.json().await.unwrap();
    assert_eq!(again["scope"], "api profile");

    // A token is exchanged for none that has more.
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", text(&again, "access_token")),
        ("subject_token_type", super::ACCESS_TOKEN),
        ("scope", "profile roles"),
    ];
    let exchanged: Value = service
        .oauth_as(EDGE, "token", &form)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(exchanged["scope"], "api profile");
    let claims = service.claims(text(&exchanged, "access_token")).await;
    assert_eq!(claims.roles, Vec::<String>::new());
    let form = [("grant_type", "client_credentials"), ("scope", "roles x")];
    let own = service.oauth_as(WORKER, "token", &form).await;
    assert_eq!(own.json::<Value>().await.unwrap()["scope"], "api");
    service.stop().await;
}

/// RFC 8707 §2, RFC 9449 §5: what cannot be given is refused at every grant, and spends nothing.
#[tokio::test]
async fn no_grant_ignores_a_resource_or_a_proof() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let code = service.code().await;
    let refresh_token = text(&login, "refresh_token");
    let redeemed = |extra| service.redeemed_with(&code, extra);
    let own = |extra: &[(&str, &str)]| {
        let form = [&[("grant_type", "client_credentials")][..], extra].concat();
        service
            .oauth("token", &form)
            .basic_auth(WORKER, Some(SECRET))
    };
    let renewed = |extra: &[(&str, &str)]| {
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        service.oauth("token", &[&grant[..], extra].concat())
    };
    let elsewhere: &[_] = &[("resource", "https://other.example/")];
    refused(redeemed(elsewhere).await, 400, "invalid_target").await;
    for request in [own(elsewhere), renewed(elsewhere)] {
        refused(answered(request).await, 400, "invalid_target").await;
    }
    for request in [own(&[]), renewed(&[])] {
        let proven = answered(request.header("dpop", "a.b.c")).await;
        refused(proven, 400, "invalid_request").await;
    }
    let here: &[_] = &[("resource", "statewise-api")];
    assert_eq!(redeemed(here).await.status(), 200);
    for request in [own(here), renewed(here)] {
        assert_eq!(answered(request).await.status(), 200);
    }
    service.stop().await;
}

/// RFC 6749 §4.1 by a client that can keep a secret, and must show it.
#[tokio::test]
async fn rfc6749_4_1_a_client_with_a_secret_logs_users_in() {
    const URI: &str = "https://web.example.org/back";
    let service = Builder::new(Backend::Sqlite)
        .option(&format!(
            "--clients=web:{SECRET}:code,api:{SECRET}:introspect"
        ))
        .option(&format!("--redirect-uris=web={URI}"))
        .start()
        .await;
    service.register("ada").await;
    let code = || service.code_for(&[("client_id", "web"), ("redirect_uri", URI)]);
    let mine = [("client_id", "web"), ("redirect_uri", URI)];
    let first = code().await;
    let unproven = service.redeemed_with(&first, &mine).await;
    refused(unproven, 401, "invalid_client").await;
    let wrong = [mine[0], mine[1], ("client_secret", "opensesame")];
    let wrong = service.redeemed_with(&first, &wrong).await;
    refused(wrong, 401, "invalid_client").await;
    let proven = [mine[0], mine[1], ("client_secret", SECRET)];
    let login = service.redeemed_with(&first, &proven).await;
    assert_eq!(login.status(), 200);
    let login: Value = login.json().await.unwrap();
    let claims = service.claims(text(&login, "access_token")).await;
    assert_eq!(
        (&*claims.client_id, &claims.roles[..]),
        ("web", &["user".to_owned()][..])
    );

    let token = text(&login, "refresh_token");
    let unproven = service.renewed_by("web", token, &[]).await;
    refused(unproven, 401, "invalid_client").await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let renewed = service.oauth_as("web", "token", &form).await;
    assert_eq!(renewed.status(), 200);
    let renewed: Value = renewed.json().await.unwrap();
    let token = text(&renewed, "refresh_token");
    let revoked = service.oauth_as("web", "revoke", &[("token", token)]).await;
    assert!(revoked.status().is_success());
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let over = service.oauth_as("web", "token", &form).await;
    refused(over, 400, "invalid_grant").await;
    // A client that was not given the right logs nobody in.
    let pairs = [
        ("client_id", "api"),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    let request = with_form(service.request("POST", "/oauth/authorize"), &pairs);
    assert_eq!(answered(request).await.status(), 400);
    service.stop().await;
}
