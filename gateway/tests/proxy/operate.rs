//! What operators see.

use std::net::TcpListener;

use gateway::Listeners;
use shared::{clock::Clock, shutdown::CancellationToken};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_attempts_are_counted() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    for _ in 0..5 {
        assert_eq!(get(gateway.address, "/p/x").await.status, 200);
    }
    assert_eq!(get(gateway.address, "/unknown").await.status, 404);
    let text = get(gateway.address, "/metrics").await.text();
    for line in [
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/p/*\",http_response_status_code=\"200\"} 5",
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"unmatched\",http_response_status_code=\"404\"} 1",
        "gateway_upstream_attempts_total{pool=\"p\",outcome=\"answered\"} 5",
        "gateway_pool_members{pool=\"p\",state=\"healthy\"} 1",
        "gateway_pool_members{pool=\"p\",state=\"unready\"} 0",
        "gateway_pool_members{pool=\"p\",state=\"ejected\"} 0",
        "gateway_upstream_in_flight{pool=\"p\"} 0",
        "gateway_pool_changes_total{pool=\"p\"} 1",
        "gateway_ejections_total{pool=\"p\"} 0",
        "process_cpu_seconds_total ",
        "statewise_worker_threads ",
        "target_info{service_name=\"gateway\"",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_are_shown_in_the_form_that_load_tests_read() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    assert_eq!(
        gateway.pools().await,
        serde_json::json!({"pools": {"p": {"upstreams": [{
            "address": upstream.address.to_string(),
            "health_address": upstream.address.to_string(),
            "healthy": true,
            "ending": false,
            "ejected": false,
            "in_flight": 0,
        }]}}})
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_paths_take_only_reading() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    for path in ["/healthz", "/readyz", "/metrics", "/pools", "/openapi.json"] {
        assert_eq!(get(gateway.address, path).await.status, 200, "{path}");
        let request = format!("DELETE {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        let reply = raw(gateway.address, request).await;
        assert!(reply.starts_with("HTTP/1.1 405"), "{reply}");
        assert!(reply.contains("allow: GET, HEAD\r\n"), "{reply}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_admin_listener_the_public_port_shows_only_health() {
    let upstream = Upstream::named("a").await;
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = Listeners {
        public: bind(),
        admin: Some(bind()),
    };
    let public = listeners.public.local_addr().unwrap();
    let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
    let pools = format!("--pools=p={}", upstream.address);
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(gateway::run_with(
        config(&["--routes=/p=p", &pools]),
        listeners,
        Clock::system(),
        shutdown.clone(),
        gateway::system_resolver(),
    ));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(public, path).await.status, 200, "{path}");
        assert_eq!(get(admin, path).await.status, 200, "{path}");
    }
    for path in ["/metrics", "/pools"] {
        assert_eq!(get(public, path).await.status, 404, "{path}");
        assert_eq!(get(admin, path).await.status, 200, "{path}");
    }
    assert_eq!(get(public, "/p").await.status, 200);
    assert_eq!(get(admin, "/p").await.status, 404);
    shutdown.cancel();
    soon(ended).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_paths_of_the_services_cannot_be_reached_however_they_are_written() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &["--routes=/p=p,/deep=p/base"]).await;
    let mut wire = Wire::open(gateway.address).await;
    for path in [
        "/p/metrics",
        "/p/readyz?verbose",
        "/p/healthz/",
        "/p/Metrics",
        "/p/%6Detrics",
        "/p/%256detrics",
        "/p/metrics;v=1",
        "/p//metrics",
        "/p/./metrics",
        "/p/x/../metrics",
        "/p/%2Fmetrics",
        "/p/%2e%2e/metrics",
        "/deep/metrics",
    ] {
        let reply = wire.get(path).await.unwrap();
        let problem = (reply.status, reply.problem());
        assert_eq!(problem, (404, "not-found".to_owned()), "{path}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(wire.get("/p/metrics/x").await.unwrap().status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_on_all_threads_are_counted_until_they_close() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &["--threads=4"]).await;
    let mut wires = Vec::new();
    for _ in 0..40 {
        let mut wire = Wire::open(gateway.address).await;
        assert_eq!(wire.get("/p").await.unwrap().status, 200);
        wires.push(wire);
    }
    // The one that asks is open too.
    assert_eq!(gateway.metric("gateway_client_connections").await, 41.0);
    drop(wires);
    eventually("they are gone", || async {
        gateway.metric("gateway_client_connections").await == 1.0
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_what_the_copy_in_the_repository_says() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let served = get(gateway.address, "/openapi.json").await.text();
    let copy =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi/gateway.json");
    if std::env::var_os("STATEWISE_WRITE_OPENAPI").is_some() {
        std::fs::write(&copy, &served).unwrap();
    }
    let copy = std::fs::read_to_string(copy).unwrap();
    assert!(copy == served, "it differs: renew it with `make openapi`");
    let document: serde_json::Value = serde_json::from_str(&served).unwrap();
    let paths: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        paths,
        ["/healthz", "/metrics", "/openapi.json", "/pools", "/readyz"]
    );
    gateway.stop().await;
}
