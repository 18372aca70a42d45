//! From a registration to an answer of the API, over real processes, both ways.

use std::process::Command;

use serde_json::json;
use system_tests::{Answer, Cluster, cluster::answer};

#[test]
fn a_user_registers_logs_in_both_ways_and_is_known_by_every_replica() {
    let cluster = Cluster::start(2);
    let user = cluster.register("ada");
    assert_eq!(user.json["username"], "ada");
    assert_eq!(user.json["roles"], json!(["user"]));

    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    assert_eq!(session.len(), 45);
    for (strategy, credential) in [("jwt", &token), ("session", &session)] {
        let mut replicas = std::collections::BTreeSet::new();
        // Two random choices: that one of two replicas is missed 40 times is impossible in practice.
        for _ in 0..40 {
            let me = cluster.get_as(&format!("/{strategy}/me"), credential);
            assert_eq!(me.status, 200, "{me:?}");
            assert_eq!(me.json["username"], "ada");
            assert_eq!(me.json["subject"], user.json["user_id"]);
            assert_eq!(me.json["roles"], json!(["user"]));
            assert_eq!(me.json["strategy"], strategy);
            replicas.insert(me.json["replica"].as_str().unwrap().to_owned());
        }
        let wanted: Vec<String> = (1..=2)
            .map(|number| format!("api-{strategy}-{number}"))
            .collect();
        assert_eq!(replicas.into_iter().collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn the_verdicts_are_the_same_for_both_strategies() {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let users = [
        ("jwt", cluster.token("ada")),
        ("session", cluster.session("ada")),
    ];
    let roots = [
        ("jwt", cluster.token("root")),
        ("session", cluster.session("root")),
    ];
    for ((strategy, user), (_, root)) in users.iter().zip(&roots) {
        let path = |end: &str| format!("/{strategy}/{end}");
        assert_eq!(answer(cluster.get(&path("public"))).status, 200);
        assert_eq!(cluster.get_as(&path("admin"), root).status, 200);

        let forbidden = cluster.get_as(&path("admin"), user);
        assert_eq!(forbidden.status, 403);
        assert_challenge(&forbidden, "error=\"insufficient_scope\"");

        let missing = answer(cluster.get(&path("me")));
        assert_eq!(missing.status, 401);
        assert_challenge(&missing, "Bearer");
        // RFC 6750 §3.1: no error code when no credential was presented.
        assert!(!missing.header("www-authenticate").contains("error="));

        let wrong = cluster.get_as(&path("me"), &"A".repeat(45));
        assert_eq!(wrong.status, 401);
        assert_challenge(&wrong, "error=\"invalid_token\"");
    }
}

#[test]
fn the_credential_of_one_strategy_is_none_for_the_other() {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    assert_eq!(cluster.get_as("/jwt/me", &session).status, 401);
    assert_eq!(cluster.get_as("/session/me", &token).status, 401);

    // A browser sends its session cookie everywhere: the token strategy does not look at it.
    let stray = format!("__Host-sid={session}");
    let both = cluster
        .get("/jwt/me")
        .bearer_auth(&token)
        .header("cookie", &stray);
    assert_eq!(answer(both).status, 200);
    let cookie_only = cluster.get("/session/me").header("cookie", &stray);
    assert_eq!(answer(cookie_only).status, 200);
    assert_eq!(
        answer(cluster.get("/jwt/me").header("cookie", &stray)).status,
        401
    );
}

#[test]
fn a_session_is_over_at_once_after_logout_and_a_wrong_password_opens_none() {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let session = cluster.session("ada");
    let logout = cluster
        .post("/auth/logout", &json!({}))
        .bearer_auth(&session);
    let ended = answer(logout).status;
    assert!((200..300).contains(&ended), "logout answered {ended}");
    assert_eq!(cluster.get_as("/session/me", &session).status, 401);

    for credential in ["token", "session"] {
        let wrong =
            json!({"username": "ada", "password": "something else", "credential": credential});
        let refused = answer(cluster.post("/auth/login", &wrong));
        let unknown =
            json!({"username": "eve", "password": "something else", "credential": credential});
        let nobody = answer(cluster.post("/auth/login", &unknown));
        assert_eq!(refused.status, 401);
        assert_eq!(
            refused.json, nobody.json,
            "an unknown user must look like a wrong password"
        );
        assert_eq!(refused.header("set-cookie"), "");
    }
}

#[test]
fn curl_sees_the_headers_that_the_contract_promises() {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let gateway = &cluster.stack.gateway_url;
    let login = format!(
        r#"{{"username":"ada","password":"{}","credential":"session"}}"#,
        system_tests::cluster::PASSWORD
    );
    let logged_in = curl(&[
        "-H",
        "content-type: application/json",
        "-d",
        &login,
        &format!("{gateway}/auth/login"),
    ]);
    assert!(logged_in.starts_with("HTTP/1.1 200"), "{logged_in}");
    let cookie = header(&logged_in, "set-cookie");
    assert!(cookie.starts_with("__Host-sid="), "{cookie}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(
            cookie.contains(attribute),
            "{attribute} is missing in {cookie}"
        );
    }
    assert_eq!(header(&logged_in, "cache-control"), "no-store");

    let me = curl(&[&format!("{gateway}/session/me")]);
    assert!(me.starts_with("HTTP/1.1 401"), "{me}");
    assert!(
        header(&me, "www-authenticate").starts_with("Bearer"),
        "{me}"
    );
    assert_eq!(header(&me, "content-type"), "application/problem+json");
}

/// Head and body as curl shows them.
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--noproxy", "*"])
        .args(arguments)
        .output()
        .expect("curl is installed: apt-get install curl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("our answers are text")
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let mut lines = answer.lines().take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    value.unwrap_or_default()
}

#[track_caller]
fn assert_challenge(answer: &Answer, part: &str) {
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.starts_with("Bearer") && challenge.contains(part),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
}
