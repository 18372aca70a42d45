//! The servlet case: a session cookie that means nothing changes no answer.

use reqwest::Method;
use shared::session::SessionId;

use crate::{
    issuer::{Answer as Keys, Issuer},
    redis::{Redis, Sessions as _},
    service::{Answer, Header, NEVER, NOW, Service, jwt, no_state, session, state_keys},
    signer::{Signer, claims},
    verdicts::log_in,
};

/// One service as it is, and one that hands out the cookie.
struct Arm {
    plain: Service,
    servlet: Service,
    credential: String,
    _backend: Box<dyn std::any::Any>,
}

async fn arms() -> [Arm; 2] {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Keys::Keys(signer.jwks()));
    let mut settings = state_keys(&[("a", 1)]);
    let plain = Service::ready_with(jwt(&issuer, NEVER, NEVER), settings.clone()).await;
    settings.meaningless_cookie = true;
    let tokens = Arm {
        plain,
        servlet: Service::ready_with(jwt(&issuer, NEVER, NEVER), settings).await,
        credential: signer.sign(&claims(NOW, &["user"])),
        _backend: Box::new(issuer),
    };
    let redis = Redis::start();
    let store = redis.store().await;
    let mut settings = no_state();
    settings.meaningless_cookie = true;
    let sessions = Arm {
        plain: Service::ready(session(redis.settings())).await,
        servlet: Service::ready_with(session(redis.settings()), settings).await,
        credential: log_in(&store, &["user"], NOW + 900).await,
        _backend: Box::new(redis),
    };
    [tokens, sessions]
}

fn requests(credential: &str) -> Vec<(Method, &'static str, Vec<Header>)> {
    let bearer = vec![("authorization", format!("Bearer {credential}"))];
    let unknown = vec![("authorization", "Bearer nonsense".to_owned())];
    vec![
        (Method::GET, "/public", vec![]),
        (Method::GET, "/me", bearer.clone()),
        (Method::HEAD, "/me", bearer.clone()),
        (Method::GET, "/me", unknown),
        (Method::GET, "/me", vec![]),
        (Method::GET, "/admin", bearer.clone()),
        (Method::GET, "/cart", bearer.clone()),
        (Method::PUT, "/cart", bearer.clone()),
        (Method::POST, "/me", bearer),
        (Method::GET, "/nowhere", vec![]),
    ]
}

/// All that a caller acts on: everything but the cookie and the time.
fn meaning(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let ignored = ["set-cookie", "date"];
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !ignored.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    // They are written in no particular order.
    headers.sort_unstable();
    (answer.status, answer.body.clone(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_means_nothing_changes_no_answer_of_any_strategy() {
    for arm in arms().await {
        for (method, path, headers) in requests(&arm.credential) {
            let wanted = meaning(&arm.plain.send(method.clone(), path, &headers).await);
            for cookie in [
                None,
                // One that was handed out, one that was not, the id of a session, and two at once.
                Some("SESSION=00112233445566778899AABBCCDDEEFF".to_owned()),
                Some("SESSION=x; SESSION=y".to_owned()),
                Some(format!(
                    "SESSION={}",
                    SessionId::generate("nobody").expose()
                )),
                Some(format!("SESSION={}", arm.credential)),
            ] {
                let mut headers = headers.clone();
                headers.extend(cookie.iter().map(|cookie| ("cookie", cookie.clone())));
                let answer = arm.servlet.send(method.clone(), path, &headers).await;
                assert_eq!(meaning(&answer), wanted, "{method} {path} {cookie:?}");
                let given = answer.header("set-cookie");
                assert_eq!(
                    given.is_some(),
                    cookie.is_none(),
                    "{method} {path} {given:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_another_each_time_and_costs_what_it_costs() {
    let [tokens, _] = arms().await;
    let mut given = Vec::new();
    for _ in 0..2 {
        let answer = tokens.servlet.get("/public", &[]).await;
        given.push(answer.header("set-cookie").unwrap().to_owned());
    }
    assert_ne!(given[0], given[1]);
    // On the first answer; and 40 on each request after it ("SESSION=" and 32 digits).
    assert_eq!(
        given[0].len(),
        "SESSION=; HttpOnly; SameSite=Lax; Secure; Path=/".len() + 32
    );
}
