//! The token endpoint as a whole, and `client_credentials`.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{API, WORKER, refused, text, with_clients};
use crate::service::{Backend, PASSWORD, answered, header};

/// RFC 6749 §4.4, §5.1 and RFC 9068 §2.2: the client is the subject; no refresh token.
#[tokio::test]
async fn rfc6749_4_4_a_client_gets_a_token_in_which_it_is_the_subject() {
    let service = with_clients(Backend::Sqlite).start().await;
    let form = [("grant_type", "client_credentials")];
    let response = service.oauth_as(WORKER, "token", &form).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 900);
    assert!(answer.get("refresh_token").is_none(), "RFC 6749 §4.4.3");
    let token = answer["access_token"].as_str().unwrap();
    let claims = service.claims(token).await;
    assert_eq!(
        (claims.sub.as_str(), claims.client_id.as_str()),
        (WORKER, WORKER)
    );
    assert!(claims.roles.is_empty());
    assert_eq!((claims.sid, claims.preferred_username), (None, None));

    let found = service.introspected(token).await;
    assert_eq!(
        (&found["active"], &found["sub"]),
        (&true.into(), &WORKER.into())
    );
    service.stop().await;
}

/// RFC 9068 §2.1 and §2.2, RFC 9700 §2.3, RFC 6749 §5.1: whatever it was issued for, an access token
/// has its type and the required claims, is for one audience, and the answer is never kept.
#[tokio::test]
async fn rfc9068_2_2_the_tokens_of_every_grant_have_the_type_and_the_required_claims() {
    let service = with_clients(Backend::Sqlite).start().await;
    service.register("ada").await;
    let login = service.login("ada", PASSWORD, "token").await;
    let no_store = header(&login, "cache-control").to_owned();
    let login: Value = login.json().await.unwrap();
    let own = [("grant_type", "client_credentials")];
    let mut answers = vec![(no_store, login.clone())];
    for response in [
        service.exchange(text(&login, "access_token")).await,
        service.refresh(text(&login, "refresh_token")).await,
        service.oauth_as(WORKER, "token", &own).await,
    ] {
        assert_eq!(response.status(), 200);
        let no_store = header(&response, "cache-control").to_owned();
        answers.push((no_store, response.json().await.unwrap()));
    }
    let mut ids = BTreeSet::new();
    for (no_store, answer) in answers {
        assert_eq!(no_store, "no-store");
        assert_eq!(answer["token_type"], "Bearer");
        let token = text(&answer, "access_token");
        let part = |number: usize| -> Value {
            let part = token.split('.').nth(number).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(part(0)["typ"], "at+jwt");
        for claim in ["iss", "sub", "client_id", "jti"] {
            assert!(!text(&part(1), claim).is_empty(), "{claim}");
        }
        assert_eq!(part(1)["aud"], "statewise-api");
        let (issued, ends) = (part(1)["iat"].as_u64(), part(1)["exp"].as_u64());
        assert_eq!(issued, Some(service.clock.unix_seconds()));
        assert_eq!(
            ends,
            issued
                .zip(answer["expires_in"].as_u64())
                .map(|(a, b)| a + b)
        );
        ids.insert(text(&part(1), "jti").to_owned());
    }
    assert_eq!(ids.len(), 4, "each has an id of its own");
    service.stop().await;
}

/// RFC 6749 §4.4: only confidential clients.
#[tokio::test]
async fn rfc6749_4_4_a_public_client_gets_no_token_for_itself() {
    let service = with_clients(Backend::Sqlite).start().await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "statewise-login"),
    ];
    let response = answered(service.oauth("token", &form)).await;
    refused(response, 401, "invalid_client").await;
    service.stop().await;
}

/// RFC 9700 §2.4: the password grant must not be used.
#[tokio::test]
async fn rfc9700_2_4_there_is_no_password_grant() {
    let service = with_clients(Backend::Sqlite).start().await;
    service.register("ada").await;
    let form = [
        ("grant_type", "password"),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    let response = service.oauth_as(WORKER, "token", &form).await;
    refused(response, 400, "unsupported_grant_type").await;
    service.stop().await;
}

/// RFC 6749 §6: a refresh token is bound to the client it was issued to.
#[tokio::test]
async fn rfc6749_6_another_client_cannot_use_a_refresh_token() {
    let service = with_clients(Backend::Sqlite).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = text(&login, "refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    refused(
        service.oauth_as(API, "token", &form).await,
        400,
        "invalid_grant",
    )
    .await;
    assert_eq!(
        service.refresh(token).await.status(),
        200,
        "it is not spent"
    );
    service.stop().await;
}
