//! `POST /login`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::session::{SessionId, SessionStore, StoreSettings};

use crate::{
    on_both_databases,
    service::{Backend, Builder, PASSWORD, Service, answered, header, problem},
};

const VERIFICATIONS: &str = "auth_password_hash_duration_seconds_count{operation=\"verify\"}";

on_both_databases!(
    a_token_login_gives_an_access_token_of_the_standard,
    a_wrong_password_and_an_unknown_user_look_and_cost_the_same,
    a_session_login_gives_an_id_and_the_same_id_as_a_cookie,
);

async fn a_token_login_gives_an_access_token_of_the_standard(backend: Backend) {
    let service = Builder::new(backend).start().await;
    let user = service.register("Ada").await;
    let response = service.login("ada", PASSWORD, "token").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "set-cookie"), "");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["refresh_token"].as_str().unwrap().len(), 43);

    let token = body["access_token"].as_str().unwrap();
    let head = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    assert_eq!(head["typ"], "at+jwt");
    assert_eq!(head["alg"], "EdDSA");
    let claims = service.claims(token).await;
    assert_eq!(claims.sub, user["user_id"].as_str().unwrap());
    assert_eq!(claims.client_id, "statewise-login");
    assert_eq!(claims.roles, ["user"]);
    assert_eq!(claims.preferred_username.as_deref(), Some("Ada"));
    assert_eq!(claims.exp, claims.iat + 900);
    assert_eq!(claims.iat, service.clock.unix_seconds());

    let other = service.logged_in("ada", "token").await;
    let other = service
        .claims(other["access_token"].as_str().unwrap())
        .await;
    assert_ne!(other.jti, claims.jti);
    assert_ne!(other.sid, claims.sid);
    service.stop().await;
}

async fn a_wrong_password_and_an_unknown_user_look_and_cost_the_same(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let before = service.metric(VERIFICATIONS).await;
    let mut answers = Vec::new();
    // The last two can be no user's name; the database is never asked for them.
    for username in ["ada", "nobody", "no body", "nul\0"] {
        let response = service.login(username, "wrong password", "token").await;
        assert_eq!(response.status(), 401, "{username:?}");
        assert_eq!(header(&response, "www-authenticate"), "Bearer");
        assert_eq!(header(&response, "cache-control"), "no-store");
        answers.push(problem(response).await);
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    assert_eq!(service.metric(VERIFICATIONS).await, before + 4);
    let refused = "auth_logins_total{credential=\"token\",outcome=\"wrong_credentials\"}";
    assert_eq!(service.metric(refused).await, 4);
    service.stop().await;
}

async fn a_session_login_gives_an_id_and_the_same_id_as_a_cookie(backend: Backend) {
    let service = Builder::new(backend).with_redis().start().await;
    let user = service.register("ada").await;
    let response = service.login("ada", PASSWORD, "session").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let cookie = header(&response, "set-cookie").to_owned();
    let body: Value = response.json().await.unwrap();
    let id = body["session_id"].as_str().unwrap();
    assert_eq!(body["expires_in"], 43_200);
    assert_eq!(
        cookie,
        format!("__Host-sid={id}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=43200")
    );

    let now = service.clock.unix_seconds();
    let record = stored(&service, id).await.expect("a session").record;
    assert_eq!(record.subject, user["user_id"].as_str().unwrap());
    assert_eq!(record.username, "ada");
    assert_eq!(record.roles, ["user"]);
    assert_eq!((record.created_at, record.expires_at), (now, now + 43_200));
    assert_eq!(record.idle_seconds, 1_800);
    service.stop().await;
}

#[tokio::test]
async fn each_login_makes_a_new_id_and_ends_the_session_of_the_cookie() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let first = service.logged_in("ada", "session").await;
    let first = first["session_id"].as_str().unwrap();
    let body = json!({"username": "ada", "password": PASSWORD, "credential": "session"});
    let request = service
        .request("POST", "/login")
        .header("cookie", format!("__Host-sid={first}"))
        .json(&body);
    let second: Value = answered(request).await.json().await.unwrap();
    let second = second["session_id"].as_str().unwrap();
    assert_ne!(first, second);
    assert!(stored(&service, first).await.is_none());
    assert!(stored(&service, second).await.is_some());
    service.stop().await;
}

#[tokio::test]
async fn a_planted_session_id_is_not_taken_over() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let planted = SessionId::generate("nobody");
    let body = json!({"username": "ada", "password": PASSWORD, "credential": "session"});
    let request = service
        .request("POST", "/login")
        .header("cookie", format!("__Host-sid={}", planted.expose()))
        .json(&body);
    let login: Value = answered(request).await.json().await.unwrap();
    assert_ne!(login["session_id"], planted.expose());
    assert!(stored(&service, planted.expose()).await.is_none());
    service.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_login_is_reported_and_no_value_repeated() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let body = json!({"username": 7, "credential": "hunter2hunter2"});
    let response = service.post("/login", &body).await;
    assert_eq!(response.status(), 400);
    let detail = problem(response).await["detail"].clone();
    assert_eq!(
        detail,
        "username: must be text; password: is missing; credential: must be token or session"
    );
    service.stop().await;
}

/// What an api-service would find for this id.
pub(crate) async fn stored(service: &Service, id: &str) -> Option<shared::session::Session> {
    let redis = service.redis.as_ref().expect("a Redis");
    let store = SessionStore::open(StoreSettings {
        url: redis.url().parse().unwrap(),
        tls: None,
        timeout: std::time::Duration::from_secs(5),
    });
    crate::service::eventually("Redis answers", async || store.ping().await.is_ok()).await;
    let id = SessionId::parse(id).expect("an id");
    store
        .read(&id, service.clock.unix_seconds(), None)
        .await
        .expect("Redis answers")
}
