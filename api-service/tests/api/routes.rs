//! What there is, by which method, and that nothing of a credential leaks.

use std::collections::BTreeMap;

use reqwest::Method;

use crate::{
    eventually,
    issuer::{Answer, Issuer},
    redis::{Redis, Sessions as _},
    service::{NEVER, NOW, Service, jwt, session},
    signer::{Signer, claims},
    verdicts::log_in,
};

async fn start() -> (Service, String, Issuer) {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
    (service, signer.sign(&claims(NOW, &["user"])), issuer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_is_answered_like_a_get_without_the_body() {
    let (service, token, _issuer) = start().await;
    let bearer = [("authorization", format!("Bearer {token}"))];
    for (path, headers, status) in [
        ("/public", &[][..], 200),
        ("/me", &bearer[..], 200),
        ("/admin", &bearer[..], 403),
        ("/me", &[][..], 401),
    ] {
        let head = service.send(Method::HEAD, path, headers).await;
        let get = service.get(path, headers).await;
        assert_eq!((head.status, get.status), (status, status), "{path}");
        assert_eq!(head.body, "", "{path}");
        for name in ["content-type", "content-length", "www-authenticate"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_or_path_is_answered_as_what_it_is() {
    let (service, token, _issuer) = start().await;
    let bearer = [("authorization", format!("Bearer {token}"))];
    for path in ["/public", "/me", "/admin"] {
        let post = service.send(Method::POST, path, &bearer).await;
        assert_eq!(post.status, 405, "{path}");
        assert_eq!(post.header("allow"), Some("GET, HEAD"), "{path}");
    }
    for path in ["/", "/me/", "/Me", "/me/../admin"] {
        assert_eq!(
            service.get(path, &[]).await.status,
            expected(path),
            "{path}"
        );
    }
}

/// The client resolves `..` itself, so that path arrives as `/admin`.
fn expected(path: &str) -> u16 {
    if path.contains("..") { 401 } else { 404 }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_show_nothing_of_a_credential_and_no_series_of_a_callers_making() {
    let (service, token, _issuer) = start().await;
    service.me(&token).await;
    service.get(&format!("/{token}"), &[]).await;
    let metrics = service.get("/metrics", &[]).await.body;
    assert!(!metrics.contains(&token[..20]), "{metrics}");
    assert!(metrics.contains("http_route=\"/me\""), "{metrics}");
    assert!(metrics.contains("http_route=\"unmatched\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_the_strategy_of_the_table_however_its_path_is_spelled() {
    let redis = Redis::start();
    let id = log_in(&redis.store().await, &["admin"], NOW + 900).await;
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let token = signer.sign(&claims(NOW, &["admin"]));
    let service = Service::start_with(
        jwt(&issuer, NEVER, NEVER),
        BTreeMap::from([("/admin", session(redis.settings()))]),
    );
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
    for (path, credential, status) in [
        ("/me", &token, 200),
        ("/me", &id, 401),
        ("/admin", &id, 200),
        ("/admin", &token, 401),
        ("/%61dmin", &id, 200),
        ("/%61dmin", &token, 401),
        ("/admin?/me", &token, 401),
    ] {
        let bearer = [("authorization", format!("Bearer {credential}"))];
        let answer = service.get(path, &bearer).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    assert_eq!(service.me(&token).await.json()["strategy"], "jwt");
    let bearer = [("authorization", format!("Bearer {id}"))];
    let admin = service.get("/admin", &bearer).await.json();
    assert_eq!(admin["strategy"], "session");
    for strategy in ["jwt", "session"] {
        let line = format!("statewise_verdicts_total{{strategy=\"{strategy}\",outcome=\"valid\"}}");
        assert!(service.measures(&line).await, "{line}");
    }
}
