//! The first moments, and what ends the gateway by itself.

use std::{net::TcpListener, sync::Arc, time::Duration};

use shared::clock::Clock;
use tokio::sync::watch;

use crate::support::*;

const DNS_POOL: [&str; 2] = ["--routes=/p=p", "--pools=p=dns:api:8082"];

/// A name server that answers with this upstream once the gate is open.
fn behind(gate: &watch::Receiver<bool>, upstream: &Upstream) -> gateway::Resolver {
    let (gate, address) = (gate.clone(), upstream.address);
    Arc::new(move |_, _| {
        let mut gate = gate.clone();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.unwrap();
            Ok(vec![address])
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_wait_for_the_first_answer_of_the_name_server_and_get_no_503() {
    let (open, gate) = watch::channel(false);
    let upstream = Upstream::named("a").await;
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let operators = admin.local_addr().unwrap();
    let resolver = behind(&gate, &upstream);
    let gateway =
        Gateway::start_with(config(&DNS_POOL), Clock::system(), resolver, Some(admin)).await;
    // They connect and ask before anything is known.
    let address = gateway.address;
    let early: Vec<_> = (0..16)
        .map(|_| tokio::spawn(async move { get(address, "/p").await }))
        .collect();
    let ready = get(operators, "/readyz").await;
    assert_eq!((ready.status, ready.problem().as_str()), (503, "not-ready"));
    assert!(
        ready.text().contains("server: starting"),
        "{}",
        ready.text()
    );
    open.send(true).unwrap();
    for request in early {
        let reply = soon(request).await.unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "a"));
    }
    assert_eq!(get(operators, "/readyz").await.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_says_nothing_keeps_clients_waiting_for_a_moment_only() {
    let (_never, gate) = watch::channel(false);
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let pools = format!("--pools=p=dns:api:8082;q={}", b.address);
    let options = ["--routes=/p=p,/q=q", pools.as_str()];
    let gateway = Gateway::start(config(&options), Clock::system(), behind(&gate, &a)).await;
    // What needs no name is answered.
    assert_eq!(soon(get(gateway.address, "/q")).await.status, 200);
    let reply = get(gateway.address, "/p").await;
    assert_eq!(reply.problem(), "no-upstream");
    assert_eq!(reply.all("retry-after"), ["1"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_from_the_start_gets_no_request() {
    let hung = Listening::start().await;
    let good = Upstream::named("good").await;
    let members = format!("{},{}", hung.address, good.address);
    let options = ["--health-timeout=200ms"];
    let gateway = Gateway::before_addresses(&members, &options).await;
    let mut wire = Wire::open(gateway.address).await;
    for _ in 0..50 {
        assert_eq!(wire.get("/p").await.unwrap().text(), "good");
    }
    gateway.stop().await;
}

/// A port where connections are made and nobody reads.
struct Listening {
    address: std::net::SocketAddr,
    _listener: tokio::net::TcpListener,
}

impl Listening {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            _listener: listener,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_comes_while_it_starts_is_obeyed() {
    let (_never, gate) = watch::channel(false);
    let upstream = Upstream::named("a").await;
    let resolver = behind(&gate, &upstream);
    let gateway = Gateway::start(config(&DNS_POOL), Clock::system(), resolver).await;
    let begun = std::time::Instant::now();
    gateway.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_ends_the_gateway_with_an_error() {
    let resolver: gateway::Resolver = Arc::new(|_, _| panic!("on purpose"));
    let gateway = Gateway::start(config(&DNS_POOL), Clock::system(), resolver).await;
    let ended = soon(gateway.ended).await.unwrap();
    assert!(matches!(ended, Err(gateway::Error::Failed)), "{ended:?}");
}
