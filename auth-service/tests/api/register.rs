//! `POST /register`.

use serde_json::json;

use crate::{
    on_both_databases,
    service::{Backend, Builder, PASSWORD, problem},
};

on_both_databases!(
    a_new_user_gets_their_id_and_roles,
    a_name_is_taken_in_any_case,
    the_administrator_of_the_configuration_is_made_once,
);

async fn a_new_user_gets_their_id_and_roles(backend: Backend) {
    let service = Builder::new(backend).start().await;
    let user = service.register("Ada").await;
    assert_eq!(user["username"], "Ada");
    assert_eq!(user["roles"], json!(["user"]));
    assert!(user["user_id"].as_str().unwrap().len() >= 16);
    assert!(user.get("password").is_none());
    service.stop().await;
}

async fn a_name_is_taken_in_any_case(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("Ada").await;
    let again = json!({"username": "aDA", "password": PASSWORD});
    let response = service.post("/register", &again).await;
    assert_eq!(response.status(), 409);
    assert_eq!(
        problem(response).await["type"],
        "urn:problem-type:statewise:username-taken"
    );
    service.stop().await;
}

async fn the_administrator_of_the_configuration_is_made_once(backend: Backend) {
    let options = [
        "--admin-username=root",
        "--admin-password=correct horse battery",
    ];
    let builder = || {
        let builder = Builder::new(backend);
        options
            .iter()
            .fold(builder, |builder, option| builder.option(option))
    };
    let service = builder().start().await;
    let token = service.logged_in("root", "token").await;
    let claims = service
        .claims(token["access_token"].as_str().unwrap())
        .await;
    assert_eq!(claims.roles, ["user", "admin"]);
    let url = service.database_url.clone();
    let data = service.stop().await;

    let mut again = builder().with_data(data);
    if let Some(url) = url {
        again = again.existing_database(&url);
    }
    let again = again.start().await;
    let token = again.logged_in("root", "token").await;
    let second = again.claims(token["access_token"].as_str().unwrap()).await;
    assert_eq!(second.sub, claims.sub);
    again.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_registration_is_reported() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let body = json!({"username": "two words", "password": "short"});
    let response = service.post("/register", &body).await;
    assert_eq!(response.status(), 400);
    let detail = problem(response).await["detail"].to_string();
    assert!(detail.contains("username: may have"), "{detail}");
    assert!(detail.contains("password: must have 8 to 256"), "{detail}");
    assert!(!detail.contains("short"), "{detail}");
    service.stop().await;
}
