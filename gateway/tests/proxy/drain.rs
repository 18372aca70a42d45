//! The end: nobody is cut off who was let in.

use std::time::Duration;

use http::Response;
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_and_the_port_is_closed() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let upstream = Upstream::with(move |request| {
        let mut gate = gate.clone();
        async move {
            if request.uri().path() == "/slow" {
                gate.wait_for(|open| *open).await.unwrap();
            }
            Response::new(full("done"))
        }
    })
    .await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let address = gateway.address;
    let mut idle = Wire::open(address).await;
    assert_eq!(idle.get("/p").await.unwrap().status, 200);
    let slow = tokio::spawn(async move {
        let mut wire = Wire::open(address).await;
        let reply = wire.get("/p/slow").await.unwrap();
        (reply, wire.rest().await)
    });
    eventually("it is at the upstream", || async { upstream.count() == 2 }).await;

    gateway.shutdown.cancel();
    assert_eq!(idle.rest().await, "", "an idle connection is closed");
    eventually("the port is closed", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    assert!(!gateway.ended.is_finished());
    release.send(true).unwrap();
    let (reply, rest) = soon(slow).await.unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
    assert_eq!(reply.all("connection"), ["close"]);
    assert_eq!(rest, "");
    soon(gateway.ended).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_just_connected_when_the_port_is_closed_is_answered() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let address = gateway.address;
    let (mut asks, silent) = (Wire::open(address).await, Wire::open(address).await);
    gateway.shutdown.cancel();
    eventually("the port is closed", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    let reply = asks.get("/p").await.expect("no answer");
    assert_eq!((reply.status, reply.text().as_str()), (200, "a"));
    assert_eq!(reply.all("connection"), ["close"]);
    // Who says nothing holds the end up for a moment only.
    let begun = std::time::Instant::now();
    assert_eq!(silent.rest().await, "");
    soon(gateway.ended).await.unwrap().unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_grace_it_is_not_ready_and_still_answers() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &["--drain-grace=1500ms"]).await;
    let mut kept = Wire::open(gateway.address).await;
    assert_eq!(kept.get("/p").await.unwrap().all("connection"), [""; 0]);
    gateway.shutdown.cancel();
    eventually("it is not ready", || async {
        let ready = get(gateway.address, "/readyz").await;
        ready.status == 503 && ready.problem() == "ending" && ready.text().contains("draining")
    })
    .await;
    assert_eq!(get(gateway.address, "/p").await.text(), "a");
    assert_eq!(get(gateway.address, "/healthz").await.status, 200);
    let reply = kept.get("/p").await.unwrap();
    assert_eq!(
        (reply.status, reply.all("connection")),
        (200, vec!["close"])
    );
    assert_eq!(kept.rest().await, "");
    soon(gateway.ended).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_cut_at_the_deadline() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::before(&[&upstream], &["--drain-timeout=200ms"]).await;
    let address = gateway.address;
    let stuck = tokio::spawn(raw(address, "GET /p HTTP/1.1\r\nhost: t\r\n\r\n"));
    eventually("it is at the upstream", || async { upstream.count() == 1 }).await;
    let begun = std::time::Instant::now();
    gateway.stop().await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(soon(stuck).await.unwrap(), "");
}
