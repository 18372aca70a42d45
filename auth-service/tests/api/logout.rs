//! `POST /logout`.

use serde_json::{Value, json};
use shared::session::SessionId;

use crate::{
    login::stored,
    on_both_databases,
    service::{Backend, Builder, Service, answered, header, problem},
};

const EXPIRED_COOKIE: &str = "__Host-sid=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0";

on_both_databases!(a_token_logout_ends_renewal_and_says_until_when_the_token_lives);

async fn a_token_logout_ends_renewal_and_says_until_when_the_token_lives(backend: Backend) {
    let service = Builder::new(backend).with_redis().start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let other = service.logged_in("ada", "token").await;
    let access_token = login["access_token"].as_str().unwrap();
    let claims = service.claims(access_token).await;

    let response = logout(&service, "authorization", &format!("Bearer {access_token}")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "set-cookie"), "");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["ended"], "login");
    assert_eq!(body["revocation"], "published");
    let until = humantime::parse_rfc3339(body["access_token_valid_until"].as_str().unwrap());
    let until = until
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(until.as_secs(), claims.exp);

    let refused = service
        .refresh(login["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(refused.status(), 400);
    let renewed = service
        .refresh(other["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(renewed.status(), 200, "another login goes on");
    service.stop().await;
}

#[tokio::test]
async fn a_session_is_ended_by_its_cookie_or_as_a_bearer() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    for name in ["cookie", "authorization"] {
        let login = service.logged_in("ada", "session").await;
        let id = login["session_id"].as_str().unwrap();
        let value = if name == "cookie" {
            format!("__Host-sid={id}")
        } else {
            format!("Bearer {id}")
        };
        let response = logout(&service, name, &value).await;
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(header(&response, "set-cookie"), EXPIRED_COOKIE);
        assert_eq!(
            response.json::<Value>().await.unwrap(),
            json!({"ended": "session"})
        );
        assert!(stored(&service, id).await.is_none());

        let again = logout(&service, name, &value).await;
        assert_eq!(again.status(), 401, "{name}: it is over");
        assert_eq!(header(&again, "set-cookie"), EXPIRED_COOKIE);
    }
    service.stop().await;
}

#[tokio::test]
async fn without_a_valid_credential_nothing_is_ended() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = login["access_token"].as_str().unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();

    let response = answered(service.request("POST", "/logout")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "www-authenticate"), "Bearer");
    problem(response).await;

    let unknown = SessionId::generate("nobody");
    for value in [
        "Basic YWRhOmFkYQ==".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Bearer {}", unknown.expose()),
        format!("Bearer {signed}.AAAA"),
        format!("Bearer {}", login["refresh_token"].as_str().unwrap()),
    ] {
        let response = logout(&service, "authorization", &value).await;
        assert_eq!(response.status(), 401);
        assert_eq!(
            header(&response, "www-authenticate"),
            "Bearer error=\"invalid_token\""
        );
    }
    service.clock.advance(std::time::Duration::from_secs(900));
    let expired = logout(&service, "authorization", &format!("Bearer {token}")).await;
    assert_eq!(expired.status(), 401);
    let renewed = service
        .refresh(login["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(renewed.status(), 200, "nothing was ended");
    service.stop().await;
}

pub(crate) async fn logout(service: &Service, header: &str, value: &str) -> reqwest::Response {
    answered(service.request("POST", "/logout").header(header, value)).await
}
