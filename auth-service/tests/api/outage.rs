//! What still works when something else does not.

use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use testkit::redis::Redis;

use crate::{
    logout::logout,
    postgres,
    service::{Backend, Builder, PASSWORD, Service, eventually, header, problem},
};

#[tokio::test]
async fn without_redis_tokens_are_issued_and_sessions_are_unavailable() {
    let mut service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = service.logged_in("ada", "session").await;
    service.redis.as_mut().expect("a Redis").kill();

    let token = service.logged_in("ada", "token").await;
    let renewed = service
        .refresh(token["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(renewed.status(), 200);

    let response = service.login("ada", PASSWORD, "session").await;
    assert_eq!(response.status(), 503);
    assert_eq!(header(&response, "retry-after"), "1");
    assert_eq!(header(&response, "set-cookie"), "");
    assert_eq!(
        problem(response).await["type"],
        "urn:problem-type:statewise:session-store-unavailable"
    );

    let cookie = format!("__Host-sid={}", session["session_id"].as_str().unwrap());
    let response = logout(&service, "cookie", &cookie).await;
    assert_eq!(response.status(), 503);
    assert_eq!(header(&response, "set-cookie"), "", "the cookie is kept");

    let wrong = service.login("ada", "wrong password", "session").await;
    assert_eq!(wrong.status(), 401, "decided before Redis is needed");
    assert_eq!(service.get("/readyz").await.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn without_its_database_the_service_is_unavailable_until_it_is_back() {
    let service = Builder::new(Backend::Postgres).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let url = service.database_url.clone().expect("PostgreSQL");
    postgres::shut(&url).await;

    let refresh_token = login["refresh_token"].as_str().unwrap();
    let registration = json!({"username": "eve", "password": PASSWORD});
    for response in [
        service.login("ada", PASSWORD, "token").await,
        service.login("nobody", PASSWORD, "token").await,
        service.refresh(refresh_token).await,
        service.post("/register", &registration).await,
    ] {
        assert_eq!(response.status(), 503);
        assert_eq!(header(&response, "retry-after"), "1");
        assert_eq!(
            problem(response).await["type"],
            "urn:problem-type:statewise:user-store-unavailable"
        );
    }
    let response = service.get("/readyz").await;
    assert_eq!(response.status(), 503);
    let detail = problem(response).await["detail"].to_string();
    assert!(detail.contains("database"), "{detail}");
    assert_eq!(service.get("/.well-known/jwks.json").await.status(), 200);

    postgres::reopen(&url).await;
    eventually("the service is ready again", async || {
        service.get("/readyz").await.status() == 200
    })
    .await;
    assert_eq!(service.refresh(refresh_token).await.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn a_locked_sqlite_file_makes_writing_unavailable_and_nothing_else() {
    let service = Builder::new(Backend::Sqlite)
        .with_redis()
        .option("--database-timeout=1s")
        .start()
        .await;
    service.register("ada").await;
    service.logged_in("ada", "session").await;
    let file = service.data().join("users.sqlite");
    let url = format!("sqlite:{}", file.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();

    let registration = json!({"username": "eve", "password": PASSWORD});
    let response = service.post("/register", &registration).await;
    assert_eq!(response.status(), 503);
    // From an address that is known a session needs nothing written.
    service.logged_in("ada", "session").await;
    // A guess that cannot be counted is not answered.
    let guess = service.login("ada", "wrong password", "token").await;
    assert_eq!(guess.status(), 503);

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    eventually("users can be added again", async || {
        let status = service.post("/register", &registration).await.status();
        // The statement that was given up may have been done after all.
        status == 201 || status == 409
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn redis_that_needs_other_settings_ends_readiness_with_the_reason_and_one_that_is_away_does_not()
 {
    let mut service = Builder::new(Backend::Sqlite).with_redis().start().await;
    fn redis(service: &Service) -> &Redis {
        service.redis.as_ref().expect("a Redis")
    }
    let says = async |service: &Service, status: u16, words: &str| {
        eventually(words, async || {
            let answer = service.get("/readyz").await;
            answer.status() == status && answer.text().await.unwrap().contains(words)
        })
        .await;
    };

    redis(&service).tell(&["ACL SETUSER default -zadd"]);
    says(&service, 503, "ZADD").await;
    redis(&service).tell(&["ACL SETUSER default +zadd"]);
    says(&service, 200, r#"{"status":"ready"}"#).await;
    redis(&service).tell(&[
        "CONFIG SET requirepass secret",
        "CLIENT KILL TYPE normal SKIPME yes",
    ]);
    says(&service, 503, "NOAUTH").await;
    redis(&service).tell(&["AUTH secret", "CONFIG SET requirepass \"\""]);
    says(&service, 200, r#"{"status":"ready"}"#).await;
    redis(&service).tell(&["CONFIG SET maxmemory 1"]);
    says(&service, 200, "OOM").await;

    service.redis.as_mut().expect("a Redis").kill();
    says(&service, 200, "nothing listens").await;
    service.stop().await;
}
