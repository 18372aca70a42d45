//! Two auth-services on one PostgreSQL behind two gateways are one system: whatever one of them did, the
//! others know.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use loadtest::subject::stack::{Role, StackOptions, UserStore};
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};
use system_tests::{
    Answer, Cluster,
    cluster::{PASSWORD, answer},
    eventually,
};

/// Wrong passwords that one account takes from one address.
const BUDGET: usize = 6;

/// Each of the two in turn.
const BOTH: [usize; 2] = [0, 1];

fn start(strategies: &[&str]) -> Cluster {
    let options = StackOptions {
        strategies: strategies.iter().map(|&name| name.to_owned()).collect(),
        replicas: 2,
        auth_replicas: 2,
        gateways: 2,
        users: UserStore::Postgres,
        ..StackOptions::default()
    }
    .variable(Role::Auth, "AUTH_KEY_ANNOUNCE", "2s")
    .variable(Role::Auth, "AUTH_EXCHANGE_TTL", "1s")
    .variable(
        Role::Auth,
        "AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS",
        &format!("{BUDGET}/15m"),
    )
    .variable(Role::Api, "API_JWKS_REFRESH", "1s");
    Cluster::with(options)
}

/// `POST` of JSON to one of the auth-services, past the gateways.
fn post(cluster: &Cluster, auth: usize, path: &str, body: &Value) -> RequestBuilder {
    let url = format!("{}{path}", cluster.stack.auth_urls[auth]);
    cluster.client.post(url).json(body)
}

fn register(cluster: &Cluster, auth: usize, user: &str) -> Answer {
    let body = json!({"username": user, "password": PASSWORD});
    answer(post(cluster, auth, "/register", &body))
}

fn log_in(cluster: &Cluster, auth: usize, user: &str, kind: &str) -> Value {
    let body = json!({"username": user, "password": PASSWORD, "credential": kind});
    let found = answer(post(cluster, auth, "/login", &body));
    assert_eq!(found.status, 200, "{found:?}");
    found.json
}

fn refresh(cluster: &Cluster, auth: usize, token: &str) -> Answer {
    let url = format!("{}/oauth/token", cluster.stack.auth_urls[auth]);
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let request = cluster.client.post(url).body(form);
    answer(request.header("content-type", "application/x-www-form-urlencoded"))
}

/// The statuses of `/me` at each gateway, often enough that every replica was asked.
fn me(cluster: &Cluster, strategy: &str, credential: &str) -> BTreeSet<u16> {
    let gateways = cluster.stack.gateways.iter().cycle().take(12);
    let ask = |gateway: &str| {
        let url = format!("{gateway}/{strategy}/me");
        answer(cluster.client.get(url).bearer_auth(credential)).status
    };
    gateways.map(|gateway| ask(&gateway.url)).collect()
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap()
}

/// The id of the key that signed a token.
fn signer(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    text(&header, "kid").to_owned()
}

/// The ids of the keys that one of them publishes.
fn published(cluster: &Cluster, auth: usize) -> BTreeSet<String> {
    let url = format!("{}/.well-known/jwks.json", cluster.stack.auth_urls[auth]);
    let set = answer(cluster.client.get(url)).json;
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| text(key, "kid").to_owned()).collect()
}

#[test]
fn a_login_at_one_is_renewed_at_the_other_and_ended_by_either_for_both() {
    let cluster = start(&[
        "jwt",
        "jwt-revocable",
        "session",
        "session-cached",
        "introspection",
        "phantom",
    ]);
    assert_eq!(register(&cluster, 0, "ada").status, 201);
    let tokens = log_in(&cluster, 0, "ada", "token");
    let renewed = refresh(&cluster, 1, text(&tokens, "refresh_token"));
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let access = text(&renewed.json, "access_token");
    for strategy in ["jwt", "jwt-revocable"] {
        assert_eq!(me(&cluster, strategy, access), [200].into(), "{strategy}");
    }
    let session = log_in(&cluster, 1, "ada", "session");
    let session = text(&session, "session_id");
    let opaque = ["session", "session-cached", "introspection", "phantom"];
    for strategy in opaque {
        assert_eq!(me(&cluster, strategy, session), [200].into(), "{strategy}");
    }

    let out = post(&cluster, 0, "/logout", &Value::Null);
    let out = answer(out.bearer_auth(session));
    assert!(matches!(out.status, 200..=204), "{out:?}");
    for strategy in opaque {
        // The exchanged token of `phantom` lives for a second more.
        eventually(&format!("{strategy}: no session any more"), || {
            (me(&cluster, strategy, session) == [401].into()).then_some(())
        });
    }
    let out = post(&cluster, 0, "/logout", &Value::Null);
    let out = answer(out.bearer_auth(access));
    assert!(matches!(out.status, 200..=204), "{out:?}");
    let refused = refresh(&cluster, 1, text(&renewed.json, "refresh_token"));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.json["error"], "invalid_grant");
    eventually("no token of the login any more", || {
        (me(&cluster, "jwt-revocable", access) == [401].into()).then_some(())
    });
}

#[test]
fn what_is_asked_of_both_at_once_happens_once() {
    let cluster = start(&["jwt"]);
    let at_both = |ask: &(dyn Fn(usize) -> Answer + Sync)| -> Vec<Answer> {
        std::thread::scope(|scope| {
            let asked = BOTH.map(|auth| scope.spawn(move || ask(auth)));
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    for round in 0..5 {
        let user = format!("user-{round}");
        let found = at_both(&|auth| register(&cluster, auth, &user));
        let mut statuses: Vec<u16> = found.iter().map(|one| one.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{found:?}");

        let login = log_in(&cluster, round % 2, &user, "token");
        let token = text(&login, "refresh_token");
        let found = at_both(&|auth| refresh(&cluster, auth, token));
        assert!(found.iter().all(|one| one.status == 200), "{found:?}");
        let successors: BTreeSet<&str> = found
            .iter()
            .map(|one| text(&one.json, "refresh_token"))
            .collect();
        assert_eq!(successors.len(), 1, "a refresh token has one successor");
    }
}

#[test]
fn a_limit_counts_what_came_to_all_of_them() {
    let cluster = start(&["jwt"]);
    assert_eq!(register(&cluster, 0, "ada").status, 201);
    let guess = |auth| {
        let body =
            json!({"username": "ada", "password": "no password of hers", "credential": "token"});
        answer(post(&cluster, auth, "/login", &body)).status
    };
    let answers: Vec<u16> = (0..2 * BUDGET).map(|number| guess(number % 2)).collect();
    let (within, beyond) = answers.split_at(BUDGET);
    assert!(within.iter().all(|status| *status == 401), "{answers:?}");
    assert!(beyond.iter().all(|status| *status == 429), "{answers:?}");
}

#[test]
fn a_key_that_one_rotates_signs_at_both_and_is_known_to_every_replica() {
    let cluster = start(&["jwt", "phantom"]);
    assert_eq!(register(&cluster, 0, "ada").status, 201);
    let before = log_in(&cluster, 1, "ada", "token");
    let before = text(&before, "access_token").to_owned();
    let root = log_in(&cluster, 0, "root", "token");
    let rotated = post(&cluster, 0, "/keys/rotate", &Value::Null);
    let rotated = answer(rotated.bearer_auth(text(&root, "access_token")));
    assert!(matches!(rotated.status, 200..=202), "{rotated:?}");

    let after = eventually("the other one signs with the new key", || {
        let login = log_in(&cluster, 1, "ada", "token");
        let token = text(&login, "access_token").to_owned();
        (signer(&token) != signer(&before)).then_some(token)
    });
    let own = log_in(&cluster, 0, "ada", "token");
    assert_eq!(signer(text(&own, "access_token")), signer(&after));
    assert_eq!(published(&cluster, 0), published(&cluster, 1));
    for token in [&before, &after] {
        assert_eq!(me(&cluster, "jwt", token), [200].into());
    }
    let session = log_in(&cluster, 1, "ada", "session");
    let session = text(&session, "session_id");
    assert_eq!(me(&cluster, "phantom", session), [200].into());
}

#[test]
fn one_auth_service_and_one_gateway_fewer_cost_no_login() {
    let cluster = start(&["jwt", "session"]);
    assert_eq!(register(&cluster, 1, "ada").status, 201);
    cluster.stack.kill9("auth-service-1").unwrap();
    cluster.stack.kill9("gateway-1").unwrap();
    let gateway = &cluster.stack.gateways[1].url;
    for kind in ["token", "session"].repeat(4) {
        let body = json!({"username": "ada", "password": PASSWORD, "credential": kind});
        let login = answer(
            cluster
                .client
                .post(format!("{gateway}/auth/login"))
                .json(&body),
        );
        assert_eq!(login.status, 200, "{login:?}");
        let (strategy, field) = match kind {
            "token" => ("jwt", "access_token"),
            _ => ("session", "session_id"),
        };
        let url = format!("{gateway}/{strategy}/me");
        let credential = text(&login.json, field);
        let found = answer(cluster.client.get(url).bearer_auth(credential));
        assert_eq!(found.status, 200, "{found:?}");
    }
}

#[test]
fn a_restart_of_everything_keeps_users_and_keys_and_the_stack_ends_in_order() {
    let cluster = start(&["jwt"]);
    assert_eq!(register(&cluster, 0, "ada").status, 201);
    let token = log_in(&cluster, 0, "ada", "token");
    cluster.stack.restart_all().unwrap();
    log_in(&cluster, 1, "ada", "token");
    assert_eq!(
        me(&cluster, "jwt", text(&token, "access_token")),
        [200].into()
    );
    for (name, status) in cluster.stack.stop(system_tests::PATIENCE) {
        assert!(status.success(), "{name}: {status}");
    }
}
