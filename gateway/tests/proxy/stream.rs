//! Bodies pass through as they come, and no faster than they are taken.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_part_of_an_answer_arrives_before_the_last_is_made() {
    let (parts, receive) = mpsc::channel::<&'static str>(1);
    let receive = Arc::new(Mutex::new(Some(receive)));
    let upstream = Upstream::with(move |_| {
        let mut receive = receive.lock().unwrap().take().unwrap();
        let stream = futures_util::stream::poll_fn(move |cx| {
            let polled = receive.poll_recv(cx);
            polled.map(|part| part.map(|part| Ok(Frame::data(Bytes::from(part)))))
        });
        async move { Response::new(StreamBody::new(stream).boxed()) }
    })
    .await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    wire.until("\r\n\r\n").await;
    for part in ["first", "second", "third"] {
        parts.send(part).await.unwrap();
        wire.until(part).await;
    }
    drop(parts);
    wire.until("0\r\n\r\n").await;
    // The connection is as good as before.
    assert_eq!(wire.get("/healthz").await.unwrap().status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_part_of_a_body_arrives_before_the_last_is_sent() {
    let (seen, mut see) = mpsc::unbounded_channel();
    let upstream = Upstream::with(move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.unwrap().into_data() {
                    seen.send(String::from_utf8(data.to_vec()).unwrap())
                        .unwrap();
                }
            }
            Response::new(full("all"))
        }
    })
    .await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send("POST /p HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for part in ["first", "second", "third"] {
        wire.send(format!("{:x}\r\n{part}\r\n", part.len())).await;
        assert_eq!(soon(see.recv()).await.unwrap(), part);
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.reply().await.unwrap().text(), "all");
    gateway.stop().await;
}

/// Waits until a counter stands still, and returns it: all buffers on the way are full.
async fn stalled(counter: &AtomicU64) -> u64 {
    let mut before = u64::MAX;
    loop {
        let now = counter.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// More than all socket buffers together can hold.
const MUCH: u64 = 256 * 1024 * 1024;
/// What may be on the way: socket buffers of both hops (each up to 6 MiB by the kernel's own
/// choice, sending and receiving) and ours.
const ON_THE_WAY: u64 = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_stops_the_upstream() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let upstream = RawUpstream::start(move |mut stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok()?;
            let block = vec![b'x'; 64 * 1024];
            for _ in 0..MUCH / 65_536 {
                stream.write_all(&block).await.ok()?;
                counter.fetch_add(65_536, Ordering::SeqCst);
            }
            None
        }
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    eventually("it flows", || async { sent.load(Ordering::SeqCst) > 0 }).await;
    let held = stalled(&sent).await;
    assert!(
        held < ON_THE_WAY,
        "{held} bytes were taken from the upstream"
    );

    // Once it reads, everything comes.
    wire.until("\r\n\r\n").await;
    let mut room = vec![0; 256 * 1024];
    let mut total = 0;
    let first = wire.taken();
    total += first as u64;
    while total < MUCH {
        let count = soon(wire.stream.read(&mut room)).await.unwrap();
        assert!(count > 0, "it ended after {total} bytes");
        total += count as u64;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_read_stops_the_client() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let upstream = RawUpstream::start(move |mut stream, _| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            let mut room = vec![0; 256 * 1024];
            let mut total = 0;
            while total < MUCH {
                total += stream.read(&mut room).await.ok()? as u64;
            }
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .ok()?;
            Some(stream)
        }
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let wire = Wire::open(gateway.address).await;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let (mut read, mut write) = wire.stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!("POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: {MUCH}\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        let block = vec![b'x'; 64 * 1024];
        for _ in 0..MUCH / 65_536 {
            write.write_all(&block).await.unwrap();
            counter.fetch_add(65_536, Ordering::SeqCst);
        }
        write
    });
    eventually("it flows", || async { sent.load(Ordering::SeqCst) > 0 }).await;
    let held = stalled(&sent).await;
    assert!(held < ON_THE_WAY, "{held} bytes were taken from the client");
    release.send(true).unwrap();
    let _write = soon(sending).await.unwrap();
    let mut answer = [0; 12];
    soon(read.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_its_request_with_it() {
    let (gone, mut notice) = mpsc::unbounded_channel();
    let upstream = RawUpstream::start(move |mut stream, _| {
        let gone = gone.clone();
        async move {
            // Never answers; reading ends when the gateway closes.
            let ended = stream.read(&mut [0; 16]).await;
            gone.send(matches!(ended, Ok(0) | Err(_))).unwrap();
            None
        }
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    eventually("it is at the upstream", || async {
        upstream.heads().len() == 1
    })
    .await;
    drop(wire);
    assert!(soon(notice.recv()).await.unwrap());
    eventually("it is not counted any more", || async {
        gateway.upstreams().await[0]["in_flight"] == 0
    })
    .await;
    // Not the upstream's fault, and not sent again.
    assert_eq!(gateway.upstreams().await[0]["ejected"], false);
    assert_eq!(upstream.heads().len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_given_before_the_body_was_read_reaches_the_client() {
    let upstream = Upstream::with(|_| async {
        let mut response = Response::new(full("too large"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response
    })
    .await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    for _ in 0..5 {
        let wire = Wire::open(gateway.address).await;
        let (read, mut write) = wire.stream.into_split();
        let sending = tokio::spawn(async move {
            let head = "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 10000000\r\n\r\n";
            write.write_all(head.as_bytes()).await.unwrap();
            let block = vec![b'x'; 100_000];
            for _ in 0..100 {
                // The gateway may stop listening at any point; the answer is what counts.
                if write.write_all(&block).await.is_err() {
                    break;
                }
            }
        });
        let mut text = Vec::new();
        let mut read = read;
        soon(read.read_to_end(&mut text)).await.ok();
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.starts_with("HTTP/1.1 413") && text.ends_with("too large"),
            "{text}"
        );
        // So that the client does not take the connection for its next request.
        assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
        sending.abort();
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_sent_only_when_expected() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send("POST /p HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    wire.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    wire.send("hello").await;
    let reply = wire.reply().await.unwrap();
    assert!(reply.text().ends_with("\n\nhello"));
    assert!(reply.all("connection").is_empty(), "it was read whole");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_to_a_client_that_takes_them() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let answer = b"HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
            5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n";
        stream.write_all(answer).await.ok()?;
        Some(stream)
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let request = "GET /p HTTP/1.1\r\nhost: t\r\nte: trailers\r\nconnection: te, close\r\n\r\n";
    let reply = raw(gateway.address, request).await;
    assert!(
        reply.ends_with("5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n"),
        "{reply}"
    );
    assert!(upstream.heads()[0].contains("\r\nte: trailers\r\n"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            .await
            .ok()?;
        None
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    for _ in 0..3 {
        assert_eq!(wire.get("/p").await.unwrap().text(), "until the end");
    }
    gateway.stop().await;
}
