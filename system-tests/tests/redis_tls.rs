//! Everything that speaks to Redis speaks to it over TLS: sessions, what is kept in memory of them, and
//! both sides of the feed of revocations.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{path::Path, process::Stdio};

use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};
use system_tests::{Service, cluster::PASSWORD, command, ends, eventually};
use testkit::{certificates::Certificates, redis::Redis};

const STRATEGIES: [&str; 3] = ["session", "session-cached", "jwt-revocable"];

/// A service whose Redis is this, with the certificates of this authority.
fn start(
    program: &str,
    prefix: &str,
    (url, authority): (&str, &Path),
    more: &[(&str, &str)],
) -> Service {
    let mut command = command(program);
    command
        .env(format!("{prefix}_REDIS_URL"), url)
        .env(format!("{prefix}_REDIS_CA_FILE"), authority)
        .env(format!("{prefix}_DRAIN_GRACE"), "100ms")
        .envs(more.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    Service::start(command, &format!("{prefix}_LISTEN"))
}

fn sent(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().unwrap();
    (
        response.status().as_u16(),
        response.json().unwrap_or_default(),
    )
}

#[test]
fn logins_of_every_kind_live_and_end_over_tls_and_outlive_a_restart_of_redis() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::of(&["localhost"]);
    let (mut redis, port) = Redis::start_over_tls(&certificates);
    let (url, authority) = (
        format!("rediss://localhost:{port}"),
        certificates.authority(),
    );
    let store = (url.as_str(), authority.as_path());
    let data = folder.path().to_str().unwrap();
    let cheap = [
        ("AUTH_DATA_DIR", data),
        ("AUTH_ALGORITHM", "EdDSA"),
        ("AUTH_ARGON2_MEMORY_KIB", "64"),
        ("AUTH_ARGON2_ITERATIONS", "1"),
    ];
    let auth = start("auth-service", "AUTH", store, &cheap);
    let jwks = format!("{}/.well-known/jwks.json", auth.url);
    let apis = STRATEGIES.map(|strategy| {
        let own = [("API_STRATEGY", strategy), ("API_JWKS_URL", &jwks)];
        start("api-service", "API", store, &own)
    });
    let all_ready = |what: &str| {
        for service in apis.iter().chain([&auth]) {
            service.wait(what, true);
        }
    };
    all_ready("it is ready");

    let client = Client::builder().no_proxy().build().unwrap();
    let post = |path: &str| client.post(format!("{}{path}", auth.url));
    let user = json!({"username": "ada", "password": PASSWORD});
    assert_eq!(sent(post("/register").json(&user)).0, 201);
    let log_in = |kind: &str, member: &str| {
        let mut user = user.clone();
        user["credential"] = json!(kind);
        let (status, answer) = sent(post("/login").json(&user));
        assert_eq!(status, 200, "{answer}");
        answer[member].as_str().unwrap().to_owned()
    };
    let me = |api: &Service, credential: &str| {
        let url = format!("{}/me", api.url);
        sent(client.get(url).bearer_auth(credential)).0
    };
    for round in ["at first", "after a restart"] {
        let session = log_in("session", "session_id");
        let token = log_in("token", "access_token");
        let credentials = [&session, &session, &token];
        for (api, credential) in apis.iter().zip(credentials) {
            // More than once: from memory, where there is one.
            for _ in 0..3 {
                assert_eq!(me(api, credential), 200, "{round}");
            }
        }
        for credential in [&session, &token] {
            let (status, answer) = sent(post("/logout").bearer_auth(credential));
            assert!((200..=204).contains(&status), "{answer}");
        }
        for (api, credential) in apis.iter().zip(credentials) {
            eventually("the login is over", || {
                (me(api, credential) == 401).then_some(())
            });
        }
        redis.kill();
        for api in &apis {
            api.wait("it notices that Redis is gone", false);
        }
        redis.restart();
        all_ready("it is ready again");
    }
    for service in apis.into_iter().chain([auth]) {
        service.ends_on_sigterm();
    }
}

#[test]
fn what_is_wrong_with_the_settings_of_tls_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    for (program, prefix) in [("api-service", "API"), ("auth-service", "AUTH")] {
        for (url, authority, variable, words) in [
            (
                "rediss://r",
                "/nowhere/ca.pem",
                "REDIS_CA_FILE",
                "/nowhere/ca.pem cannot be read",
            ),
            ("rediss://r", empty, "REDIS_CA_FILE", "holds no certificate"),
            ("redis://r", empty, "REDIS_CA_FILE", "begins with rediss"),
            ("rediss://:secret@r/#insecure", "", "REDIS_URL", "#insecure"),
            ("rediss://", "", "REDIS_URL", "not a Redis URL"),
        ] {
            let mut command = command(program);
            command
                .env("API_STRATEGY", "session")
                .env("AUTH_DATA_DIR", folder.path())
                .env(format!("{prefix}_REDIS_URL"), url)
                .env(format!("{prefix}_REDIS_CA_FILE"), authority);
            let output = ends(&mut command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{url}: {said}");
            let fault = format!("{prefix}_{variable}: ");
            let line = said.lines().find(|line| line.contains(&fault));
            assert!(line.unwrap().contains(words), "{url}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
