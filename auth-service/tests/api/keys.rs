//! Signing keys over restarts.

use std::fs;

use serde_json::Value;

use crate::{
    logout::logout,
    service::{Backend, Builder, Service},
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
    let new = second.logged_in("ada", "token").await;
    let new = new["access_token"].as_str().unwrap();
    assert_eq!(algorithm(&second, new).await, "ES256");
    let ended = logout(&second, "authorization", &format!("Bearer {old}")).await;
    assert_eq!(ended.status(), 200, "an old key's token is accepted");
    second.stop().await;
}

#[tokio::test]
async fn given_key_files_take_the_place_of_the_folder() {
    let first = Builder::new(Backend::Sqlite).start().await;
    let made = kids(&first).await;
    let folder = first.data().join("keys");
    let file = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .expect("a key file");
    let given = first.data().join("given.pem");
    fs::rename(file, &given).unwrap();
    let option = format!("--signing-key-files={}", given.display());
    let data = first.stop().await;

    let second = Builder::new(Backend::Sqlite)
        .with_data(data)
        .option(&option)
        .start()
        .await;
    assert_eq!(kids(&second).await, made);
    second.stop().await;
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

async fn kids(service: &Service) -> Vec<String> {
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
