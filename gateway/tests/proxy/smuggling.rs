//! Requests that two readers may understand differently do not get past the first.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use crate::support::*;

/// Counts how often a head was seen by the upstream that the test did not mean to send.
async fn refused(request: &[u8]) {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let reply = raw(gateway.address, request).await;
    let text = String::from_utf8_lossy(request).into_owned();
    let status = reply.split(' ').nth(1).unwrap_or_default();
    assert!(
        status.starts_with('4') || status == "501",
        "{text:?}: {reply:?}"
    );
    assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{text:?}: {reply:?}");
    assert_eq!(upstream.count(), 0, "{text:?} reached the upstream");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_ambiguous_heads_are_refused_and_the_connection_is_closed() {
    let after = "GET /p/smuggled HTTP/1.1\r\nhost: t\r\n\r\n";
    for head in [
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 3, 4\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: +3\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 0x3\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ntransfer-encoding: xchunked\r\n\r\n",
        "POST /p HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length : 3\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\n content-length: 3\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\nx: a\r\n b\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: t\r\nx: a\0b\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: t\r\nx y: a\r\n\r\n",
        "GET /p HTTP/1.1\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: a\"b\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: a, b\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET  /p HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET p HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET /p/../q HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET /p/%2e%2e/q HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET /p/%2F.. HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET /p//evil.example/ HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET https://t/p HTTP/1.1\r\nhost: t\r\n\r\n",
        "GET http://user@t/p HTTP/1.1\r\nhost: t\r\n\r\n",
        "CONNECT t:443 HTTP/1.1\r\nhost: t:443\r\n\r\n",
        "GET /p HTTP/2.0\r\nhost: t\r\n\r\n",
    ] {
        refused(format!("{head}{after}").as_bytes()).await;
    }
    let long = format!(
        "GET /p HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    refused(long.as_bytes()).await;
    let many = format!(
        "GET /p HTTP/1.1\r\nhost: t\r\n{}\r\n",
        "x: 1\r\n".repeat(200)
    );
    refused(many.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_both_framings_the_coding_wins_the_length_is_dropped_and_the_connection_ends() {
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let upstream = Upstream::echo().await;
        let gateway = Gateway::before(&[&upstream], &[]).await;
        let request = format!(
            "POST /p HTTP/1.1\r\nhost: t\r\n{framing}\r\n0\r\n\r\n\
             GET /p/smuggled HTTP/1.1\r\nhost: t\r\n\r\n"
        );
        let reply = raw(gateway.address, request).await;
        assert!(!reply.contains("smuggled"), "{reply}");
        assert_eq!(upstream.count(), 1);
        assert!(!reply.contains("content-length: 4"), "{reply}");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_repeated_length_is_one_length() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let request = "POST /p HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
        content-length: 2\r\ncontent-length: 2\r\n\r\nhi";
    let reply = raw(gateway.address, request).await;
    assert_eq!(reply.matches("content-length: 2").count(), 1, "{reply}");
    assert!(reply.ends_with("\n\nhi"), "{reply}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_not_passed_on() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send(
        "GET /p HTTP/1.1\r\nhost: t\r\nconnection: upgrade, http2-settings\r\n\
         upgrade: h2c\r\nhttp2-settings: AA\r\n\r\n",
    )
    .await;
    let reply = wire.reply().await.unwrap();
    assert_eq!(reply.status, 200);
    for name in ["upgrade", "http2-settings", "connection"] {
        assert!(!reply.text().contains(name), "{}", reply.text());
    }
    // The connection speaks HTTP/1.1 as before.
    assert_eq!(wire.get("/p").await.unwrap().status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let mut wire = Wire::open(gateway.address).await;
    let requests: String = (0..20)
        .map(|turn| format!("GET /p/{turn} HTTP/1.1\r\nhost: t\r\n\r\n"))
        .collect();
    wire.send(requests).await;
    for turn in 0..20 {
        let text = wire.reply().await.unwrap().text();
        assert!(text.starts_with(&format!("GET /{turn} ")), "{text}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsolicited_answer_of_an_upstream_is_given_to_nobody() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let two = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine\
            HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
        stream.write_all(two).await.ok()?;
        Some(stream)
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    for _ in 0..20 {
        assert_eq!(get(gateway.address, "/p").await.text(), "mine");
    }
    gateway.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Each case is a gateway that is sent many mutilated requests and must answer a good one after.
    #[test]
    fn whatever_bytes_come_the_gateway_goes_on(
        requests in prop::collection::vec(mutilated(), 50..100),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let upstream = Upstream::echo().await;
            let gateway = Gateway::before(&[&upstream], &["--header-timeout=100ms"]).await;
            for request in requests {
                let mut wire = Wire::open(gateway.address).await;
                // The gateway may have closed before all was written.
                drop(wire.stream.write_all(&request).await);
            }
            assert_eq!(get(gateway.address, "/p").await.status, 200);
            eventually("nothing is left behind", || async {
                gateway.metric("gateway_client_connections").await <= 1.0
                    && gateway.upstreams().await[0]["in_flight"] == 0
            })
            .await;
            gateway.stop().await;
        });
    }
}

/// A valid request with some bytes changed, cut out or put in.
fn mutilated() -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(vec![
        "GET /p HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
        "POST /p/x?y HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello",
        "PUT /p HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /p HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
        "GET http://h/p HTTP/1.1\r\nhost: t\r\nte: trailers\r\nconnection: te\r\n\r\n",
    ]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..6);
    (seed, edits).prop_map(|(seed, edits)| {
        let mut bytes = seed.as_bytes().to_vec();
        for (index, kind, byte) in edits {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}
