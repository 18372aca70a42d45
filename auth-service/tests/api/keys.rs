//! Signing keys over restarts, over time and over replicas.

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    logout::logout,
    service::{Backend, Builder, PASSWORD, Service, answered, eventually, header, problem},
};

#[tokio::test]
async fn the_keys_and_users_of_the_first_start_serve_the_second() {
    let first = Builder::new(Backend::Sqlite).start().await;
    first.register("ada").await;
    let login = first.logged_in("ada", "token").await;
    let kids_before = kids(&first).await;
    let data = first.stop().await;

    let second = Builder::new(Backend::Sqlite).with_data(data).start().await;
    assert_eq!(kids(&second).await, kids_before);
    second.claims(login["access_token"].as_str().unwrap()).await;
    second.logged_in("ada", "token").await;
    second.stop().await;
}

#[tokio::test]
async fn a_key_of_another_algorithm_is_published_and_accepted_but_does_not_sign() {
    let first = Builder::new(Backend::Sqlite).start().await;
    first.register("ada").await;
    let old = first.logged_in("ada", "token").await;
    let old = old["access_token"].as_str().unwrap();
    let data = first.stop().await;

    let second = Builder::new(Backend::Sqlite)
        .with_data(data)
        .option("--algorithm=ES256")
        .start()
        .await;
    assert_eq!(kids(&second).await.len(), 2);
    second.claims(old).await;
    let before = token(&second, "ada").await;
    assert_eq!(
        algorithm(&second, &before).await,
        "EdDSA",
        "announced first"
    );
    second.clock.advance(Duration::from_secs(600));
    let new = token(&second, "ada").await;
    assert_eq!(algorithm(&second, &new).await, "ES256");
    let ended = logout(&second, "authorization", &format!("Bearer {old}")).await;
    // 202: there is no Redis to tell of it.
    assert_eq!(ended.status(), 202, "an old key's token is accepted");
    second.stop().await;
}

#[tokio::test]
async fn given_key_files_take_the_place_of_the_database_and_are_not_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("given.pem");
    let openssl = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&file)
        .status()
        .expect("openssl is installed");
    assert!(openssl.success());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, private).unwrap();
    let service = with_admin(Backend::Sqlite)
        .option(&format!("--signing-key-files={}", file.display()))
        .start()
        .await;
    assert_eq!(kids(&service).await.len(), 1);
    let admin = token(&service, "root").await;
    let refused = rotate(&service, &admin).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_eq!(
        problem(refused).await["type"],
        "urn:problem-type:statewise:keys-are-given"
    );
    assert!(!service.data().join("key-encryption.key").exists());
    service.stop().await;
}

#[tokio::test]
async fn a_key_is_announced_then_signs_then_stays_for_its_tokens_and_goes_with_sqlite() {
    a_key_lives_its_life(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_key_is_announced_then_signs_then_stays_for_its_tokens_and_goes_with_postgresql() {
    a_key_lives_its_life(Backend::Postgres).await;
}

async fn a_key_lives_its_life(backend: Backend) {
    let service = with_admin(backend)
        .option("--key-announce=60s")
        .option("--key-retain=1h")
        .start()
        .await;
    let admin = token(&service, "root").await;
    let first = signer(&admin);
    let announced = rotate(&service, &admin).await;
    assert_eq!(announced.status(), StatusCode::ACCEPTED);
    let announced: Value = announced.json().await.unwrap();
    assert_eq!(announced["stage"], "announced");
    let second = announced["kid"].as_str().unwrap().to_owned();
    // The next question is answered with the same key.
    let again: Value = rotate(&service, &admin).await.json().await.unwrap();
    assert_eq!(again["kid"], second.as_str());

    assert_eq!(kids(&service).await, [second.clone(), first.clone()]);
    assert_eq!(signer(&token(&service, "root").await), first);
    let cache = service.get("/.well-known/jwks.json").await;
    assert_eq!(header(&cache, "cache-control"), "public, max-age=30");

    service.clock.advance(Duration::from_secs(60));
    let late = token(&service, "root").await;
    assert_eq!(signer(&late), second);
    service.claims(&admin).await;

    service.clock.advance(Duration::from_secs(3600));
    eventually("the first key is gone", async || {
        kids(&service).await == [second.clone()]
    })
    .await;
    let admin = token(&service, "root").await;
    let keys = service
        .request("GET", "/keys")
        .bearer_auth(&admin)
        .send()
        .await
        .unwrap();
    let keys: Value = keys.json().await.unwrap();
    let stages: Vec<&Value> = keys["keys"].as_array().unwrap().iter().collect();
    assert_eq!(stages.last().unwrap()["stage"], "signing");
    service.stop().await;
}

#[tokio::test]
async fn keys_change_on_schedule() {
    let service = Builder::new(Backend::Sqlite)
        .option("--key-announce=60s")
        .option("--key-rotate-every=1h")
        .option("--key-retain=2h")
        .start()
        .await;
    service.register("ada").await;
    let first = signer(&token(&service, "ada").await);
    service.clock.advance(Duration::from_secs(3540));
    eventually("the next key is announced", async || {
        kids(&service).await.len() == 2
    })
    .await;
    assert_eq!(signer(&token(&service, "ada").await), first);
    service.clock.advance(Duration::from_secs(60));
    assert_ne!(signer(&token(&service, "ada").await), first);
    service.stop().await;
}

#[tokio::test]
async fn only_an_administrator_sees_and_changes_keys() {
    let service = with_admin(Backend::Sqlite).start().await;
    service.register("ada").await;
    let ada = token(&service, "ada").await;
    for (method, path) in [("GET", "/keys"), ("POST", "/keys/rotate")] {
        let refused = answered(service.request(method, path).bearer_auth(&ada)).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        let nobody = answered(service.request(method, path)).await;
        assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(kids(&service).await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn replicas_on_one_database_have_the_same_keys_and_make_one_at_a_time() {
    let key = URL_SAFE_NO_PAD.encode([7; 32]);
    let option = format!("--key-encryption-key={key}");
    let first = with_admin(Backend::Postgres).option(&option).start().await;
    let url = first.database_url.clone().unwrap();
    let second = with_admin(Backend::Postgres)
        .existing_database(&url)
        // A clock of its own may be a second ahead, and the key signs a second later then.
        .with_clock(&first.clock)
        .option(&option)
        .start()
        .await;
    let kid = kids(&first).await;
    assert_eq!(kids(&second).await, kid);
    let admin = token(&first, "root").await;
    second.claims(&admin).await;

    let (one, other) = tokio::join!(rotate(&first, &admin), rotate(&second, &admin));
    let one: Value = one.json().await.unwrap();
    let other: Value = other.json().await.unwrap();
    assert_eq!(one["kid"], other["kid"], "both replicas announce one key");
    for replica in [&first, &second] {
        eventually("a replica publishes both", async || {
            kids(replica).await.len() == 2
        })
        .await;
    }
    for replica in [&first, &second] {
        replica.clock.advance(Duration::from_secs(600));
        assert_eq!(
            signer(&token(replica, "root").await),
            one["kid"].as_str().unwrap()
        );
    }
    first.stop().await;
    second.stop().await;
}

pub(crate) fn with_admin(backend: Backend) -> Builder {
    Builder::new(backend)
        .option("--admin-username=root")
        .option(&format!("--admin-password={PASSWORD}"))
}

async fn rotate(service: &Service, admin: &str) -> reqwest::Response {
    answered(service.request("POST", "/keys/rotate").bearer_auth(admin)).await
}

async fn token(service: &Service, username: &str) -> String {
    let login = service.logged_in(username, "token").await;
    login["access_token"].as_str().unwrap().to_owned()
}

/// The key id that a token names.
pub(crate) fn signer(token: &str) -> String {
    shared::token::unverified_kid(token).unwrap()
}

async fn key_set(service: &Service) -> Vec<Value> {
    let set: Value = service
        .get("/.well-known/jwks.json")
        .await
        .json()
        .await
        .unwrap();
    set["keys"].as_array().unwrap().clone()
}

/// The ids of the published keys, the newest first.
pub(crate) async fn kids(service: &Service) -> Vec<String> {
    let keys = key_set(service).await;
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// The algorithm of the published key that signed a token.
async fn algorithm(service: &Service, token: &str) -> String {
    let kid = shared::token::unverified_kid(token).unwrap();
    let keys = key_set(service).await;
    let key = keys.iter().find(|key| key["kid"] == kid.as_str());
    key.expect("published")["alg"].as_str().unwrap().to_owned()
}
