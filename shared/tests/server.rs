//! The server that every service is built on, over real sockets.

use std::{net::TcpListener, rc::Rc, time::Duration};

use actix_web::{HttpResponse, web};
use shared::{
    server::{Missing, ServerSettings, Worker, resource, serve},
    shutdown::{CancellationToken, Drain},
    telemetry::{Identity, metrics::Metrics, trace::Tracing},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

struct Running {
    address: String,
    shutdown: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

#[derive(serde::Deserialize)]
struct Greeting {
    name: String,
}

fn start(missing: &'static [&'static str], grace: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let shutdown = CancellationToken::new();
    let identity = Identity {
        service: "test".into(),
        version: "0",
        instance: "a".to_owned(),
    };
    let settings = ServerSettings {
        workers: 1,
        drain: Drain {
            grace,
            timeout: Duration::from_secs(5),
        },
    };
    let token = shutdown.clone();
    let server = tokio::spawn(async move {
        let metrics = Metrics::new(&identity);
        serve(
            listener,
            settings,
            Tracing::off(),
            metrics,
            token,
            move || Worker {
                routes: Box::new(|config| {
                    config.service(resource("/greet", "POST").route(web::post().to(
                        |greeting: web::Json<Greeting>| async move {
                            HttpResponse::Ok().body(greeting.into_inner().name)
                        },
                    )));
                }),
                readiness: Rc::new(move || {
                    Box::pin(async move {
                        let missing = missing
                            .iter()
                            .map(|name| Missing::needed(name, "not there"));
                        missing.collect()
                    })
                }),
            },
        )
        .await
    });
    Running {
        address,
        shutdown,
        server,
    }
}

impl Running {
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address)
            .await
            .expect("a connection");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the request is sent");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .await
            .expect("the answer ends");
        String::from_utf8(answer).expect("the answer is text")
    }

    async fn get(&self, path: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn post(&self, body: &str) -> String {
        self.send(&format!(
            "POST /greet HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.expect("no panic").expect("a clean end");
    }
}

#[track_caller]
fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(
        answer.contains("content-type: application/problem+json"),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("urn:problem-type:statewise:{code}")),
        "{answer}"
    );
}

/// A body that drips is no reason to keep a connection, however often a part of it comes.
#[tokio::test]
async fn a_body_that_drips_is_given_up_and_its_connection_closed() {
    let running = start(&[], Duration::ZERO);
    let mut stream = TcpStream::connect(&running.address).await.unwrap();
    let head = "POST /greet HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
        content-length: 16000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while to.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = from.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    dripping.await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let server = start(&[], Duration::ZERO);
    assert_problem(&server.get("/nowhere").await, 404, "not-found");
    let answer = server.get("/greet").await;
    assert_problem(&answer, 405, "method-not-allowed");
    assert!(answer.contains("allow: POST"), "{answer}");
    assert_problem(&server.post("{").await, 400, "bad-request");
    assert_problem(&server.post("{}").await, 400, "bad-request");
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(20_000));
    assert_problem(&server.post(&large).await, 413, "content-too-large");
    assert!(server.post("{\"name\":\"ada\"}").await.ends_with("ada"));
    server.stop().await;
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_liveness_does_not_care() {
    let server = start(&["redis"], Duration::ZERO);
    let answer = server.get("/readyz").await;
    assert_problem(&answer, 503, "not-ready");
    assert!(answer.contains("redis: not there"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    server.stop().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let server = start(&[], Duration::ZERO);
    server.get("/a").await;
    server.get("/b").await;
    let metrics = server.get("/metrics").await;
    let line = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                http_route=\"unmatched\",http_response_status_code=\"404\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn while_it_drains_it_still_answers_is_not_ready_and_closes_connections() {
    let server = start(&[], Duration::from_secs(2));
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 "));
    server.shutdown.cancel();
    let mut answer = server.get("/readyz").await;
    // The token is seen by another task; the first answer may come before it.
    while answer.starts_with("HTTP/1.1 200 ") {
        answer = server.get("/readyz").await;
    }
    assert!(answer.contains("server: draining"), "{answer}");
    assert!(
        answer.contains("urn:problem-type:statewise:ending"),
        "{answer}"
    );
    let answer = server
        .send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.stop().await;
}
