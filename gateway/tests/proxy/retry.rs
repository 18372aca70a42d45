//! What is sent again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Response;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_member_under_load_fails_no_request() {
    let answer = |_| async {
        // Long enough that some requests are there when it is killed.
        tokio::time::sleep(Duration::from_millis(2)).await;
        Response::new(full("ok"))
    };
    let (a, b, c) = (
        Upstream::with(answer).await,
        Upstream::with(answer).await,
        Upstream::with(answer).await,
    );
    let gateway = Gateway::before(&[&a, &b, &c], &[]).await;
    let address = gateway.address;
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut wire = Wire::open(address).await;
                while !stop.load(Ordering::SeqCst) {
                    let reply = wire.get("/p").await.expect("the connection ended");
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    eventually("load runs", || async { done.load(Ordering::SeqCst) > 300 }).await;
    // Not at a quiet moment: with requests at it.
    eventually("it is busy", || async {
        let upstreams = gateway.upstreams().await;
        let killed = a.address.to_string();
        upstreams.iter().any(|upstream| {
            upstream["address"] == killed.as_str() && upstream["in_flight"].as_u64().unwrap() > 1
        })
    })
    .await;
    a.kill().await;
    let so_far = done.load(Ordering::SeqCst);
    eventually("load went on", || async {
        done.load(Ordering::SeqCst) > so_far + 500
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        soon(client).await.unwrap();
    }
    assert!(
        gateway
            .metric("gateway_retries_total{pool=\"p\",reason=\"lost\"}")
            .await
            > 0.0
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_was_lost_goes_to_another_member_and_a_post_does_not() {
    // Takes the request and hangs up.
    let bad = RawUpstream::start(|stream, _| async move {
        drop(stream);
        None
    })
    .await;
    let good = RawUpstream::start(|mut stream, _| async move {
        stream.write_all(OK).await.ok()?;
        Some(stream)
    })
    .await;
    let members = format!("{},{}", bad.address, good.address);
    let gateway = Gateway::before_addresses(&members, &[]).await;
    eventually("both are healthy", || async {
        gateway.healthy().await == 2
    })
    .await;
    let seen = |method: &str| bad.heads().iter().any(|head| head.starts_with(method));
    let begun = Instant::now();
    let (mut sent, mut lost) = (0, 0);
    // Three failures eject it for a while, and they may all be of one method.
    while !(seen("GET") && seen("POST")) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", bad.heads());
        let reply = get(gateway.address, "/p/get").await;
        assert_eq!(reply.status, 200);
        let reply = raw(
            gateway.address,
            "POST /p/post HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        sent += 1;
        if reply.starts_with("HTTP/1.1 502") {
            lost += 1;
        } else {
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        }
    }
    let posts = |heads: Vec<String>| heads.iter().filter(|head| head.starts_with("POST")).count();
    // Every copy of a POST that anybody saw is one that a client sent.
    assert_eq!(posts(bad.heads()) + posts(good.heads()), sent);
    assert_eq!(posts(bad.heads()), lost);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_with_a_small_body_is_sent_again_whole() {
    let bad = RawUpstream::start(|stream, _| async move {
        drop(stream);
        None
    })
    .await;
    let good = Upstream::echo().await;
    let members = format!("{},{}", bad.address, good.address);
    let gateway = Gateway::before_addresses(&members, &[]).await;
    eventually("both are healthy", || async {
        gateway.healthy().await == 2
    })
    .await;
    eventually("one was sent again", || async {
        let reply = raw(
            gateway.address,
            "PUT /p HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        )
        .await;
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.ends_with("\n\nhello"),
            "{reply}"
        );
        !bad.heads().is_empty()
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_closed_while_idle_costs_a_post_nothing() {
    // Each connection takes one request and is then closed without a word.
    let closed = Arc::new(AtomicUsize::new(0));
    let closing = Arc::clone(&closed);
    let upstream = RawUpstream::start(move |mut stream, _| {
        let closing = Arc::clone(&closing);
        async move {
            stream.write_all(OK).await.ok()?;
            drop(stream);
            closing.fetch_add(1, Ordering::SeqCst);
            None
        }
    })
    .await;
    let members = upstream.address.to_string();
    let gateway = Gateway::before_addresses(&members, &["--threads=1"]).await;
    eventually("it is healthy", || async { gateway.healthy().await == 1 }).await;
    let mut wire = Wire::open(gateway.address).await;
    for turn in 1..=30 {
        wire.send("POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi")
            .await;
        assert_eq!(wire.reply().await.unwrap().status, 200);
        eventually("it is closed", || async {
            closed.load(Ordering::SeqCst) == turn
        })
        .await;
        // The thread has seen the end of the connection once it answers what came after it.
        assert_eq!(get(gateway.address, "/healthz").await.status, 200);
    }
    assert_eq!(upstream.heads().len(), 30);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_goes_to_another_member_when_connecting_fails() {
    let gone = Upstream::named("gone").await;
    let good = Upstream::echo().await;
    let gateway = Gateway::before(&[&gone, &good], &["--health-interval=1h"]).await;
    gone.kill().await;
    eventually("one had to go elsewhere", || async {
        let reply = raw(
            gateway.address,
            "POST /p HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        )
        .await;
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.ends_with("\n\nhello"),
            "{reply}"
        );
        gateway
            .metric("gateway_retries_total{pool=\"p\",reason=\"connect\"}")
            .await
            > 0.0
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_are_asked_before_the_answer_is_503() {
    let good = Upstream::named("good").await;
    let mut gone = Vec::new();
    for _ in 0..15 {
        gone.push(Upstream::named("gone").await);
    }
    let members: Vec<&Upstream> = gone.iter().chain([&good]).collect();
    let options = ["--health-interval=1h", "--threads=1"];
    let gateway = Gateway::before(&members, &options).await;
    for member in gone {
        member.kill().await;
    }
    // The first may find the good one by chance, and each finds out about some of the others.
    for method in ["POST", "GET"].repeat(5) {
        let head = format!("{method} /p HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi");
        let mut wire = Wire::open(gateway.address).await;
        wire.send(head).await;
        let reply = wire.reply().await.unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "good"));
    }
    assert_eq!(
        gateway
            .metric("gateway_retry_budget_exhausted_total{pool=\"p\"}")
            .await,
        0.0
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_can_be_reached_the_answer_is_503_and_says_when_to_come_back() {
    // One, and more than a request is sent to.
    for count in [1, 4] {
        let mut gone = Vec::new();
        for _ in 0..count {
            gone.push(Upstream::named("gone").await);
        }
        let members: Vec<&Upstream> = gone.iter().collect();
        let gateway = Gateway::before(&members, &[]).await;
        // A connection that is idle when its upstream dies has not taken the request either.
        assert_eq!(get(gateway.address, "/p").await.status, 200);
        for member in gone {
            member.kill().await;
        }
        // Nothing was sent, so the method does not matter. At the end all are ejected.
        for method in ["GET", "POST"].repeat(count) {
            let head = format!("{method} /p HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi");
            let mut wire = Wire::open(gateway.address).await;
            wire.send(head).await;
            assert_unreachable(&wire.reply().await.unwrap());
        }
        let upstreams = gateway.upstreams().await;
        assert!(
            upstreams.iter().all(|upstream| upstream["ejected"] == true),
            "{upstreams:?}"
        );
        let unavailable = "http_server_request_duration_seconds_count{http_request_method=\"POST\",\
                           http_route=\"/p/*\",http_response_status_code=\"503\"}";
        assert_eq!(gateway.metric(unavailable).await, count as f64);
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_connecting_takes_too_long_the_answer_is_503() {
    // Nobody accepts, and the queue of those who wait for it is full.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(connected.unwrap());
    }
    let options = ["--connect-timeout=100ms"];
    let gateway = Gateway::before_addresses(&address.to_string(), &options).await;
    assert_unreachable(&get(gateway.address, "/p").await);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_once_is_502_though_the_next_member_cannot_be_reached() {
    let hangs_up = RawUpstream::start(|stream, _| async move {
        drop(stream);
        None
    })
    .await;
    let gone = Upstream::named("gone").await;
    let members = format!("{},{}", hangs_up.address, gone.address);
    let gateway = Gateway::before_addresses(&members, &["--health-interval=1h"]).await;
    gone.kill().await;
    // Whichever comes first.
    for _ in 0..20 {
        let reply = get(gateway.address, "/p").await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (502, "upstream-failed")
        );
        assert!(reply.all("retry-after").is_empty(), "{reply:?}");
    }
    assert_eq!(hangs_up.heads().len(), 20);
    gateway.stop().await;
}

/// Fails unless this says that nothing was sent and when to come back.
#[track_caller]
fn assert_unreachable(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (503, "upstream-unreachable")
    );
    assert_eq!(reply.all("retry-after"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_stop_when_the_budget_is_used_up() {
    let bad = || {
        RawUpstream::start(|stream, _| async move {
            drop(stream);
            None
        })
    };
    let (a, b) = (bad().await, bad().await);
    let members = format!("{},{}", a.address, b.address);
    let gateway = Gateway::before_addresses(&members, &["--threads=1"]).await;
    eventually("both are healthy", || async {
        gateway.healthy().await == 2
    })
    .await;
    // At most 2 attempts each while the reserve of 100 lasts, then 1 and now and then 2.
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let address = gateway.address;
            tokio::spawn(async move {
                let mut wire = Wire::open(address).await;
                for _ in 0..60 {
                    assert_eq!(wire.get("/p").await.unwrap().status, 502);
                }
            })
        })
        .collect();
    for client in clients {
        soon(client).await.unwrap();
    }
    assert!(
        gateway
            .metric("gateway_retry_budget_exhausted_total{pool=\"p\"}")
            .await
            > 0.0
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_an_upstream_is_a_502_and_is_not_asked_for_twice() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        stream.write_all(b"BLAH\r\n\r\n").await.ok()?;
        None
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let reply = get(gateway.address, "/p").await;
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (502, "upstream-failed")
    );
    assert_eq!(upstream.heads().len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_ends_the_connection_and_is_never_sent_again() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
        stream.write_all(begun).await.ok()?;
        None
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let reply = raw(gateway.address, "GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert!(
        reply.starts_with("HTTP/1.1 200") && reply.ends_with("begun"),
        "{reply}"
    );
    assert_eq!(upstream.heads().len(), 1);
    gateway.stop().await;
}
