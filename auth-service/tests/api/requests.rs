//! Requests that nobody should send.

use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::service::{Backend, Builder, answered, eventually, header, problem};

#[tokio::test]
async fn requests_that_make_no_sense_get_a_problem_each() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let json = "application/json";
    for (method, path, media_type, body, status) in [
        ("POST", "/login", json, "{\"username\":", 400),
        ("POST", "/login", json, "[]", 400),
        ("POST", "/login", "text/plain", "{}", 415),
        ("POST", "/register", json, "", 400),
        ("GET", "/nowhere", json, "", 404),
        ("POST", "/", json, "{}", 404),
        ("GET", "/login", json, "", 405),
        ("DELETE", "/register", json, "", 405),
        ("GET", "/oauth/token", json, "", 405),
        ("POST", "/.well-known/jwks.json", json, "", 405),
    ] {
        let request = service
            .request(method, path)
            .header("content-type", media_type)
            .body(body);
        let response = answered(request).await;
        assert_eq!(response.status(), status, "{method} {path} {body}");
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            assert_ne!(header(&response, "allow"), "", "{method} {path}");
        }
        problem(response).await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_body_of_a_mebibyte_is_refused() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let body = format!("{{\"username\":\"{}\"}}", "a".repeat(1024 * 1024));
    for path in ["/login", "/register"] {
        let request = service
            .request("POST", path)
            .header("content-type", "application/json")
            .body(body.clone());
        let response = answered(request).await;
        assert_eq!(response.status(), 413, "{path}");
        problem(response).await;
    }
    let form = format!("grant_type={}", "a".repeat(1024 * 1024));
    assert_eq!(service.form(&form).await.status(), 413);
    service.stop().await;
}

#[tokio::test]
async fn a_form_that_does_not_come_is_late_and_not_wrong() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let address = service.at("");
    let address = address.trim_start_matches("http://");
    let answer = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\nsec-fetch-site: same-origin\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: 99\r\n\r\na="
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answers = tokio::join!(
        answer("/oauth/token"),
        answer("/oauth/introspect"),
        answer("/oauth/authorize")
    );
    for answer in [answers.0, answers.1, answers.2] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn when_too_many_wait_for_a_hash_the_rest_is_asked_to_come_back() {
    let service = Builder::new(Backend::Sqlite)
        .option("--argon2-concurrency=1")
        .option("--argon2-queue=1")
        // Runs of about a second, so that the third comes while the first runs.
        .option("--argon2-memory-kib=65536")
        .option("--argon2-iterations=20")
        .start()
        .await;
    let login = || service.login("nobody", "wrong password", "token");
    let third = async {
        eventually("one runs and one waits", async || {
            service.metric("auth_password_hash_waiting").await == 1
        })
        .await;
        login().await
    };
    let (first, second, third) = tokio::join!(login(), login(), third);
    assert_eq!(first.status(), 401);
    assert_eq!(second.status(), 401);
    assert_eq!(third.status(), 503);
    assert_eq!(header(&third, "retry-after"), "1");
    assert_eq!(
        problem(third).await["type"],
        "urn:problem-type:statewise:too-many-logins"
    );
    assert_eq!(login().await.status(), 401, "later there is room");
    service.stop().await;
}
