//! The document is true: it is what the copy in the repository says, and it has every path.

use std::{collections::BTreeSet, fs, path::Path};

use reqwest::Method;
use serde_json::Value;

use crate::{
    redis::{Redis, Sessions as _},
    service::{Service, session},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_in_the_repository_is_what_is_served() {
    let redis = Redis::start();
    let service = Service::start(session(redis.settings()));
    let served = service.get("/openapi.json", &[]).await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi/api-service.json");
    if std::env::var_os("STATEWISE_WRITE_OPENAPI").is_some() {
        fs::write(&copy, &served.body).unwrap();
    }
    let copy = fs::read_to_string(copy).unwrap();
    assert!(
        copy == served.body,
        "it differs: renew it with `make openapi`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_path_and_no_other() {
    let redis = Redis::start();
    let service = Service::start(session(redis.settings()));
    let document: Value = service.get("/openapi.json", &[]).await.json();
    let described: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let own = ["/public", "/me", "/admin", "/cart"];
    let common = ["/healthz", "/readyz", "/metrics", "/openapi.json"];
    assert_eq!(described, own.into_iter().chain(common).collect());
    for path in described {
        let allowed = service.send(Method::DELETE, path, &[]).await;
        assert_eq!(allowed.status, 405, "{path}");
        let mut methods: BTreeSet<String> = allowed
            .header("allow")
            .unwrap()
            .split(", ")
            .map(str::to_lowercase)
            .collect();
        // GET is described, HEAD is the same without a body.
        methods.remove("head");
        let described: BTreeSet<String> = document["paths"][path]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(described, methods, "{path}");
    }
}
