//! `/cart`: data that belong to a login, kept in the session or carried by the client.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use shared::session::SessionId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    eventually,
    issuer::{Answer as Keys, Issuer},
    redis::{Redis, Sessions as _},
    service::{Answer, Header, NEVER, NOW, Service, jwt, session, state_keys},
    signer::{Signer, claims},
    verdicts::log_in,
};

const TEA: &str = r#"{"items":[{"sku":"tea","quantity":2}]}"#;
const EMPTY: &str = r#"{"items":[]}"#;

/// A client of one login: it carries what it is given, by header or as a browser does.
struct Client {
    bearer: String,
    state: Option<String>,
    browser: bool,
}

impl Client {
    fn new(bearer: &str) -> Self {
        Self {
            bearer: bearer.to_owned(),
            state: None,
            browser: false,
        }
    }

    fn headers(&self) -> Vec<Header> {
        let mut headers = vec![("authorization", format!("Bearer {}", self.bearer))];
        headers.extend(self.state.iter().map(|state| match self.browser {
            true => ("cookie", format!("theme=dark; __Host-cart={state}")),
            false => ("statewise-state", state.clone()),
        }));
        headers
    }

    async fn read(&mut self, service: &Service) -> Answer {
        let answer = service.get("/cart", &self.headers()).await;
        self.keep(&answer);
        answer
    }

    async fn write(&mut self, service: &Service, if_match: &str, body: &str) -> Answer {
        let answer = put(service, self.headers(), Some(if_match), body).await;
        self.keep(&answer);
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        let given = answer.header("statewise-state").map(str::to_owned);
        self.state = given.or(self.state.take());
    }
}

async fn put(
    service: &Service,
    mut headers: Vec<Header>,
    if_match: Option<&str>,
    body: &str,
) -> Answer {
    headers.push(("content-type", "application/json".to_owned()));
    headers.extend(if_match.map(|tag| ("if-match", tag.to_owned())));
    let body = body.to_owned();
    service
        .send_body(Method::PUT, "/cart", &headers, body)
        .await
}

/// Services that share what they depend on, and two credentials of different logins.
struct Arm {
    replicas: [Service; 2],
    ours: String,
    other: String,
    _backend: Arc<dyn std::any::Any>,
}

async fn tokens() -> Arm {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Keys::Keys(signer.jwks()));
    let start = || Service::ready_with(jwt(&issuer, NEVER, NEVER), state_keys(&[("a", 1)]));
    let mut other = claims(NOW, &["user"]);
    other["sid"] = json!("s-2");
    Arm {
        replicas: [start().await, start().await],
        ours: signer.sign(&claims(NOW, &["user"])),
        other: signer.sign(&other),
        _backend: Arc::new(issuer),
    }
}

async fn sessions() -> Arm {
    let redis = Redis::start();
    let store = redis.store().await;
    Arm {
        replicas: [
            Service::ready(session(redis.settings())).await,
            Service::ready(session(redis.settings())).await,
        ],
        ours: log_in(&store, &["user"], NOW + 900).await,
        other: log_in(&store, &["user"], NOW + 900).await,
        _backend: Arc::new(redis),
    }
}

#[track_caller]
fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let wanted = format!("urn:problem-type:statewise:{code}");
    assert_eq!(answer.json()["type"], wanted.as_str(), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_begins_empty_counts_its_changes_and_survives_a_change_of_replica() {
    for arm in [tokens().await, sessions().await] {
        let mut client = Client::new(&arm.ours);
        let answer = client.read(&arm.replicas[0]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            (answer.header("etag"), &*answer.body),
            (Some("\"0\""), EMPTY)
        );
        for change in 0..4 {
            let tag = format!("\"{change}\"");
            let answer = client.write(&arm.replicas[change % 2], &tag, TEA).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let next = format!("\"{}\"", change + 1);
            assert_eq!(answer.header("etag"), Some(&*next));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let seen = client.read(&arm.replicas[(change + 1) % 2]).await;
            assert_eq!((seen.header("etag"), &*seen.body), (Some(&*next), TEA));
        }
        // Nothing of it belongs to another login.
        let seen = Client::new(&arm.other).read(&arm.replicas[0]).await;
        assert_eq!((seen.header("etag"), &*seen.body), (Some("\"0\""), EMPTY));
        let headers = client.headers();
        let head = arm.replicas[0].send(Method::HEAD, "/cart", &headers).await;
        assert_eq!(head.header("etag"), Some("\"4\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_the_version_it_was_made_from_so_that_none_is_lost() {
    for arm in [tokens().await, sessions().await] {
        let service = &arm.replicas[0];
        let mut client = Client::new(&arm.ours);
        let without = put(service, client.headers(), None, TEA).await;
        is_problem(&without, 428, "precondition-required");
        is_problem(
            &client.write(service, "*", TEA).await,
            428,
            "precondition-required",
        );
        is_problem(&client.write(service, "0", TEA).await, 400, "bad-request");
        assert_eq!(client.write(service, "\"0\"", TEA).await.status, 200);
        for stale in [
            "\"0\"",
            "\"2\"",
            "W/\"1\"",
            "\"01\"",
            "\"abc\"",
            "\"7\", \"8\"",
        ] {
            let answer = client.write(service, stale, EMPTY).await;
            is_problem(&answer, 412, "cart-changed");
            assert_eq!(answer.header("etag"), Some("\"1\""), "{stale}");
        }
        assert_eq!(client.read(service).await.body, TEA);
        let one_of = client.write(service, "\"9\", \"1\"", EMPTY).await;
        assert_eq!(one_of.header("etag"), Some("\"2\""), "{one_of:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_cart_is_refused_with_every_fault_and_changes_nothing() {
    for arm in [tokens().await, sessions().await] {
        let service = &arm.replicas[0];
        let mut client = Client::new(&arm.ours);
        let bad = r#"{"items":[{"sku":"","quantity":0},{"quantity":1}],"note":1}"#;
        let answer = client.write(service, "\"0\"", bad).await;
        is_problem(&answer, 400, "invalid-input");
        let detail = answer.json()["detail"].to_string();
        for fault in [
            "items[0].sku",
            "items[0].quantity",
            "items[1].sku",
            "the body",
        ] {
            assert!(detail.contains(fault), "{detail}");
        }
        let large = " ".repeat(64 * 1024 + 1);
        is_problem(
            &client.write(service, "\"0\"", &large).await,
            413,
            "content-too-large",
        );
        let mut headers = client.headers();
        headers.push(("if-match", "\"0\"".to_owned()));
        headers.push(("content-type", "text/plain".to_owned()));
        let text = service.send_body(Method::PUT, "/cart", &headers, TEA).await;
        is_problem(&text, 415, "unsupported-media-type");
        assert_eq!(client.read(service).await.header("etag"), Some("\"0\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_does_not_come_is_late_and_not_wrong() {
    let arm = tokens().await;
    let address = arm.replicas[0].url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT /cart HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\nif-match: \"0\"\r\n\
         content-type: application/json\r\ncontent-length: 99\r\n\r\n{{",
        arm.ours
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("cache-control: no-store"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_credential_nothing_of_the_request_is_looked_at() {
    for arm in [tokens().await, sessions().await] {
        for answer in [
            put(&arm.replicas[0], vec![], Some("nonsense"), "nonsense").await,
            arm.replicas[0]
                .get("/cart", &[("statewise-state", "x".to_owned())])
                .await,
        ] {
            is_problem(&answer, 401, "unauthenticated");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_cart_is_bounded_by_where_it_is_kept() {
    let items = |count: usize| {
        let items: Vec<String> = (0..count)
            .map(|number| format!("{{\"sku\":\"thing-{number:03}\",\"quantity\":1}}"))
            .collect();
        format!("{{\"items\":[{}]}}", items.join(","))
    };
    let arm = sessions().await;
    let mut client = Client::new(&arm.ours);
    let answer = client.write(&arm.replicas[0], "\"0\"", &items(1_000)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        client.read(&arm.replicas[1]).await.body.len(),
        items(1_000).len()
    );

    let arm = tokens().await;
    let mut client = Client::new(&arm.ours);
    let answer = client.write(&arm.replicas[0], "\"0\"", &items(100)).await;
    is_problem(&answer, 413, "state-too-large");
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("4000"), "{detail}");
    assert_eq!(answer.header("set-cookie"), None);
    let answer = client.write(&arm.replicas[0], "\"0\"", &items(85)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("set-cookie").unwrap().len() <= 4_096);
    client.browser = true;
    assert_eq!(client.read(&arm.replicas[1]).await.body, items(85));
}

// With the client.

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_carries_the_state_in_a_cookie_that_scripts_and_other_hosts_do_not_see() {
    let arm = tokens().await;
    let mut client = Client::new(&arm.ours);
    client.browser = true;
    let answer = client.write(&arm.replicas[0], "\"0\"", TEA).await;
    let state = client.state.clone().unwrap();
    let cookie =
        format!("__Host-cart={state}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=43200");
    assert_eq!(answer.header("set-cookie"), Some(&*cookie));
    assert!(!state.contains("tea"), "{state}");
    assert_eq!(client.read(&arm.replicas[1]).await.body, TEA);
    let me = arm.replicas[0].get("/me", &client.headers()).await.json();
    let carried = &me["known"]["carried_by_client"];
    assert_eq!(carried["bytes"], arm.ours.len() + state.len());
    assert_eq!(
        carried["holds"],
        json!(["subject", "username", "roles", "expiry", "cart"])
    );

    let mut both = client.headers();
    both.push(("statewise-state", state));
    assert_eq!(arm.replicas[0].get("/cart", &both).await.status, 200);
    both.push(("statewise-state", "v1.a.other".to_owned()));
    let answer = arm.replicas[0].get("/cart", &both).await;
    is_problem(&answer, 400, "ambiguous-state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_forged_malformed_or_of_another_login_is_a_bad_request_and_forgotten() {
    let arm = tokens().await;
    let mut theirs = Client::new(&arm.other);
    theirs.write(&arm.replicas[0], "\"0\"", TEA).await;
    let theirs = theirs.state.unwrap();
    let forged = format!("{}AAAA", &theirs[..theirs.len() - 4]);
    let long = "a".repeat(9_000);
    for state in [
        "",
        "nonsense",
        "v1.a.",
        "v1..AAAA",
        "v2.a.AAAA",
        &long,
        &forged,
        &theirs,
    ] {
        for browser in [false, true] {
            let mut client = Client::new(&arm.ours);
            client.state = Some(state.to_owned());
            client.browser = browser;
            for answer in [
                client.read(&arm.replicas[0]).await,
                client.write(&arm.replicas[0], "\"0\"", TEA).await,
            ] {
                is_problem(&answer, 400, "invalid-state");
                assert_eq!(answer.header("www-authenticate"), None);
                let forgotten = answer.header("set-cookie").map(|cookie| {
                    cookie.starts_with("__Host-cart=; ") && cookie.ends_with("Max-Age=0")
                });
                assert_eq!(forgotten, browser.then_some(true), "{answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_seals_the_old_one_opens_until_it_is_removed_and_reading_renews() {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Keys::Keys(signer.jwks()));
    let start = async |keys: &[(&str, u8)]| {
        Service::ready_with(jwt(&issuer, NEVER, NEVER), state_keys(keys)).await
    };
    let before = start(&[("a", 1)]).await;
    let during = start(&[("b", 2), ("a", 1)]).await;
    let after = start(&[("b", 2)]).await;
    let mut client = Client::new(&signer.sign(&claims(NOW, &["user"])));
    client.write(&before, "\"0\"", TEA).await;
    let old = client.state.clone().unwrap();
    client.browser = true;

    let refused = client.read(&after).await;
    is_problem(&refused, 400, "invalid-state");
    // A replica without the key may be one that does not have it yet.
    assert_eq!(refused.header("set-cookie"), None);

    let renewed = client.read(&during).await;
    assert_eq!(
        (renewed.header("etag"), &*renewed.body),
        (Some("\"1\""), TEA)
    );
    let new = client.state.clone().unwrap();
    assert!(
        old.starts_with("v1.a.") && new.starts_with("v1.b."),
        "{new}"
    );
    assert_eq!(client.read(&after).await.body, TEA);
    assert_eq!(client.read(&during).await.header("statewise-state"), None);
}

/// By design: what the client keeps, the client can put back. The version tells the client's own
/// writes apart, not the client's time.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_of_the_same_login_can_be_replayed() {
    let arm = tokens().await;
    let service = &arm.replicas[0];
    let mut client = Client::new(&arm.ours);
    client.write(service, "\"0\"", TEA).await;
    let older = client.state.clone();
    client.write(service, "\"1\"", EMPTY).await;
    client.state = older;
    let back = client.read(service).await;
    assert_eq!((back.header("etag"), &*back.body), (Some("\"1\""), TEA));
    assert_eq!(client.write(service, "\"2\"", EMPTY).await.status, 412);
    assert_eq!(client.write(service, "\"1\"", EMPTY).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_or_without_a_login_there_is_no_cart_and_that_is_said() {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Keys::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
    let mut client = Client::new(&signer.sign(&claims(NOW, &["user"])));
    let answer = client.read(&service).await;
    answer.is_undecidable();
    is_problem(&answer, 503, "state-keys-missing");

    let service = Service::ready_with(jwt(&issuer, NEVER, NEVER), state_keys(&[("a", 1)])).await;
    let mut machine = claims(NOW, &[]);
    machine.as_object_mut().unwrap().remove("sid");
    let mut client = Client::new(&signer.sign(&machine));
    is_problem(&client.read(&service).await, 403, "no-login");
}

// In the session.

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_made_from_one_version_on_two_replicas_exactly_one_is_kept() {
    let arm = sessions().await;
    let client = Client::new(&arm.ours);
    let mut writing = Vec::new();
    for number in 0..16 {
        writing.push(put(
            &arm.replicas[number % 2],
            client.headers(),
            Some("\"0\""),
            TEA,
        ));
    }
    let mut answers = Vec::new();
    for answer in crate::keys::join_all(writing.into_iter()).await {
        answers.push(answer.status);
    }
    answers.sort_unstable();
    assert_eq!(answers[0], 200);
    assert!(
        answers[1..].iter().all(|status| *status == 412),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_writes_no_cart_on_behalf_of_another_site() {
    let arm = sessions().await;
    let service = &arm.replicas[0];
    let by_cookie = |from: Header| vec![("cookie", format!("__Host-sid={}", arm.ours)), from];
    for from in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let from = (from.0, from.1.to_owned());
        let answer = put(service, by_cookie(from.clone()), Some("\"0\""), TEA).await;
        is_problem(&answer, 403, "cross-site");
        assert_eq!(service.get("/cart", &by_cookie(from)).await.status, 200);
    }
    let own = ("sec-fetch-site", "same-origin".to_owned());
    let answer = put(service, by_cookie(own), Some("\"0\""), TEA).await;
    assert_eq!(answer.status, 200, "and it was the first to change it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cart_of_an_ended_session_is_gone_and_no_write_brings_it_back() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let id = log_in(&store, &["user"], NOW + 900).await;
    let mut client = Client::new(&id);
    assert_eq!(client.write(&service, "\"0\"", TEA).await.status, 200);
    store
        .end(&SessionId::parse(&id).unwrap(), None)
        .await
        .unwrap();
    is_problem(
        &client.write(&service, "\"1\"", TEA).await,
        401,
        "invalid-credential",
    );
    is_problem(&client.read(&service).await, 401, "invalid-credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_gone_a_cart_cannot_be_decided_and_is_not_lost() {
    let redis = Redis::start();
    let store = redis.store().await;
    let service = Service::ready(session(redis.settings())).await;
    let mut client = Client::new(&log_in(&store, &["user"], NOW + 900).await);
    client.write(&service, "\"0\"", TEA).await;
    redis.hang();
    client.read(&service).await.is_undecidable();
    client
        .write(&service, "\"1\"", EMPTY)
        .await
        .is_undecidable();
    redis.resume();
    eventually(async || service.get("/cart", &client.headers()).await.status == 200).await;
    // Whether the write that was given up has happened, the version tells.
    let answer = client.read(&service).await;
    assert!(
        matches!(answer.header("etag"), Some("\"1\"" | "\"2\"")),
        "{answer:?}"
    );
}
