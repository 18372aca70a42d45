//! What takes too long ends, and says at whose side.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::support::*;

/// An upstream that reads a head and then says nothing until the gateway closes.
async fn silent() -> RawUpstream {
    RawUpstream::start(|mut stream, _| async move {
        let mut room = [0; 1024];
        while matches!(stream.read(&mut room).await, Ok(count) if count > 0) {}
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_is_a_504_and_is_not_asked_twice() {
    let upstream = silent().await;
    let members = upstream.address.to_string();
    let gateway = Gateway::before_addresses(&members, &["--response-timeout=200ms"]).await;
    let begun = Instant::now();
    let reply = get(gateway.address, "/p").await;
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (504, "upstream-timeout")
    );
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(upstream.heads().len(), 1);
    assert_eq!(
        gateway
            .metric("gateway_upstream_attempts_total{pool=\"p\",outcome=\"timeout\"}")
            .await,
        1.0
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_finish_its_head_is_closed_on() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &["--header-timeout=200ms"]).await;
    let mut wire = Wire::open(gateway.address).await;
    // A byte now and then does not prolong it.
    let (mut read, mut write) = wire.stream.split();
    let dripping = async {
        for byte in b"GET /p HTTP/1.1\r\nhost: t\r\nx: aaaaaaaaaaaaaaaaaaaaaaaa" {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut room = [0; 16];
    let closed = tokio::select! {
        count = soon(read.read(&mut room)) => matches!(count, Ok(0) | Err(_)),
        () = dripping => false,
    };
    assert!(closed);
    assert_eq!(upstream.count(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &["--keep-alive=200ms"]).await;
    let mut wire = Wire::open(gateway.address).await;
    assert_eq!(wire.get("/p").await.unwrap().status, 200);
    assert_eq!(wire.rest().await, "");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_a_408() {
    let upstream = silent().await;
    let members = upstream.address.to_string();
    let gateway = Gateway::before_addresses(&members, &["--body-timeout=200ms"]).await;
    // A streamed one, and one that is read whole first.
    for method in ["POST", "PUT"] {
        let request = format!("{method} /p HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhalf");
        let reply = raw(gateway.address, request).await;
        assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
        assert!(reply.contains("connection: close"), "{reply}");
    }
    // Not the upstream's fault.
    assert_eq!(gateway.upstreams().await[0]["ejected"], false);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_only_drips_is_a_408() {
    let upstream = silent().await;
    let members = upstream.address.to_string();
    let options = ["--body-timeout=300ms", "--body-min-rate=1000"];
    let gateway = Gateway::before_addresses(&members, &options).await;
    for head in [
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 60000\r\n\r\n",
        "PUT /p HTTP/1.1\r\nhost: t\r\ncontent-length: 60000\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let part = if head.contains("chunked") {
            "1\r\nx\r\n"
        } else {
            "x"
        };
        let mut wire = Wire::open(gateway.address).await;
        wire.send(head).await;
        let (mut read, mut write) = wire.stream.split();
        let dripping = async {
            while write.write_all(part.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut room = [0; 1024];
        let count = tokio::select! {
            count = soon(read.read(&mut room)) => count.unwrap(),
            () = dripping => 0,
        };
        let reply = String::from_utf8_lossy(&room[..count]);
        assert!(reply.starts_with("HTTP/1.1 408"), "{head}: {reply}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stops_coming_ends_the_connection() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
        stream.write_all(begun).await.ok()?;
        // Stays open and silent.
        let mut room = [0; 16];
        while matches!(stream.read(&mut room).await, Ok(count) if count > 0) {}
        None
    })
    .await;
    let members = upstream.address.to_string();
    let gateway = Gateway::before_addresses(&members, &["--body-timeout=200ms"]).await;
    let reply = raw(gateway.address, "GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert!(
        reply.starts_with("HTTP/1.1 200") && reply.ends_with("begun"),
        "{reply}"
    );
    gateway.stop().await;
}

/// Sockets take megabytes, and then nothing until a good part of these is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_what_its_socket_holds_is_not_cut_off() {
    const ALL: usize = 32 << 20;
    const SLOWLY: usize = 2 << 20;
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {ALL}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let block = vec![b'x'; 64 << 10];
        for _ in 0..ALL / block.len() {
            stream.write_all(&block).await.ok()?;
        }
        None
    })
    .await;
    let members = upstream.address.to_string();
    let options = ["--body-timeout=300ms", "--body-min-rate=1000"];
    let gateway = Gateway::before_addresses(&members, &options).await;
    let socket = TcpSocket::new_v4().unwrap();
    // A small window, whose every movement the gateway's side sees.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut wire = Wire::over(socket.connect(gateway.address).await.unwrap());
    wire.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    wire.until("\r\n\r\n").await;
    let mut taken = wire.taken();
    let mut room = vec![0; 256 << 10];
    while taken < ALL {
        let slowly = taken < SLOWLY;
        let part = if slowly { 8 << 10 } else { room.len() };
        match soon(wire.stream.read(&mut room[..part])).await {
            Ok(count @ 1..) => taken += count,
            ended => panic!("cut off after {taken} bytes: {ended:?}"),
        }
        if slowly {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_moving_body_outlives_every_timeout() {
    let upstream = Upstream::echo().await;
    let options = [
        "--body-timeout=300ms",
        "--body-min-rate=5",
        "--response-timeout=300ms",
        "--header-timeout=300ms",
    ];
    let gateway = Gateway::before(&[&upstream], &options).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send("POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n")
        .await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.send("x").await;
    }
    assert!(wire.reply().await.unwrap().text().ends_with("xxxxxxxxxx"));
    gateway.stop().await;
}
