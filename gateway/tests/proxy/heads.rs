//! What each side sees of the other's head.

use tokio::io::AsyncWriteExt;

use crate::support::*;

/// The lines of the head that the upstream saw.
async fn seen(options: &[&str], request: &str) -> Vec<String> {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], options).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send(request).await;
    let reply = wire.reply().await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    gateway.stop().await;
    reply.text().lines().map(str::to_owned).collect()
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|found| found == line)
}

fn names(lines: &[String], name: &str) -> usize {
    lines
        .iter()
        .filter(|line| line.starts_with(&format!("{name}: ")))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prefix_is_stripped_and_the_query_is_kept() {
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n");
    for (target, line) in [
        ("/p", "GET / HTTP/1.1"),
        ("/p/", "GET / HTTP/1.1"),
        ("/p?a=1&b=%2F..", "GET /?a=1&b=%2F.. HTTP/1.1"),
        ("/p/a%20b/c?", "GET /a%20b/c HTTP/1.1"),
        (
            "/p/.well-known/jwks.json",
            "GET /.well-known/jwks.json HTTP/1.1",
        ),
    ] {
        assert_eq!(seen(&[], &request(target)).await[0], line, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_can_put_another_path_in_the_prefixs_place() {
    let upstream = Upstream::echo().await;
    let options = ["--routes=/p=p/base/v1,/p/deep=p"];
    let gateway = Gateway::before(&[&upstream], &options).await;
    let first = |text: String| text.lines().next().unwrap().to_owned();
    let text = get(gateway.address, "/p/x?q=1").await.text();
    assert_eq!(first(text), "GET /base/v1/x?q=1 HTTP/1.1");
    let text = get(gateway.address, "/p/deep/x").await.text();
    assert_eq!(first(text), "GET /x HTTP/1.1");
    for unknown in ["/px", "/", "/q/p"] {
        let reply = get(gateway.address, unknown).await;
        assert_eq!((reply.status, reply.problem().as_str()), (404, "not-found"));
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_about_itself_is_replaced() {
    let request = "GET /p HTTP/1.1\r\nhost: shop.example:8080\r\nx-forwarded-for: 10.0.0.1\r\n\
        x-forwarded-proto: https\r\nforwarded: for=10.0.0.1\r\nx-real-ip: 10.0.0.1\r\n\
        baggage: a=b\r\nauthorization: Bearer t\r\ncookie: a=b\r\ncookie: c=d\r\n\
        connection: keep-alive, authorization, x-mine\r\nx-mine: 1\r\n\r\n";
    let lines = seen(&[], request).await;
    for line in [
        "host: shop.example:8080",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example:8080",
        "forwarded: for=127.0.0.1;host=\"shop.example:8080\";proto=http",
        "authorization: Bearer t",
        "cookie: a=b",
        "cookie: c=d",
    ] {
        assert!(has(&lines, line), "{line} is missing in {lines:#?}");
    }
    for name in ["x-real-ip", "baggage", "connection", "x-mine"] {
        assert_eq!(names(&lines, name), 0, "{name} in {lines:#?}");
    }
    for name in ["x-forwarded-for", "forwarded", "x-forwarded-proto"] {
        assert_eq!(names(&lines, name), 1, "{name} in {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_word_is_kept_and_added_to() {
    let request = "GET /p HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 192.0.2.66, 10.0.0.1\r\n\
        x-forwarded-proto: https\r\nforwarded: for=192.0.2.66\r\nforwarded: for=10.0.0.1\r\n\r\n";
    let lines = seen(&["--trusted-hops=1"], request).await;
    for line in [
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
        "forwarded: for=10.0.0.1",
        "forwarded: for=127.0.0.1;host=\"t\";proto=http",
    ] {
        assert!(has(&lines, line), "{line} is missing in {lines:#?}");
    }
    for name in ["x-forwarded-for", "forwarded"] {
        assert_eq!(
            names(&lines, name),
            2,
            "nothing that a client wrote: {lines:#?}"
        );
    }

    // A proxy that writes the standard's list only.
    let request = "GET /p HTTP/1.1\r\nhost: t\r\n\
        forwarded: for=192.0.2.66, for=\"[2001:db8::1]:4711\"\r\n\r\n";
    let lines = seen(&["--trusted-hops=1"], request).await;
    for line in ["x-forwarded-for: 2001:db8::1", "x-forwarded-for: 127.0.0.1"] {
        assert!(has(&lines, line), "{line} is missing in {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tracing_the_trace_headers_pass_when_they_are_trusted() {
    let request = "GET /p HTTP/1.1\r\nhost: t\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
        tracestate: a=1\r\n\r\n";
    let lines = seen(&["--trust-trace=true"], request).await;
    assert_eq!(
        names(&lines, "traceparent") + names(&lines, "tracestate"),
        2
    );
    let lines = seen(&[], request).await;
    assert_eq!(
        names(&lines, "traceparent") + names(&lines, "tracestate"),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_answered_and_gets_a_host_and_an_end() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let reply = raw(gateway.address, "GET /p HTTP/1.0\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.0 200"), "{reply}");
    assert!(
        reply.contains(&format!("\nhost: {}\n", upstream.address)),
        "{reply}"
    );
    assert!(reply.contains("GET / HTTP/1.1\n"), "{reply}");
    assert!(reply.contains("\nvia: 1.0 statewise\n"), "{reply}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_overrides_the_host() {
    let request = "GET http://other.example/p/x HTTP/1.1\r\nhost: t\r\n\r\n";
    let lines = seen(&[], request).await;
    assert_eq!(lines[0], "GET /x HTTP/1.1");
    assert!(has(&lines, "host: other.example"), "{lines:#?}");
    assert!(has(&lines, "x-forwarded-host: other.example"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_hop_by_hop_headers_end_here_and_repeated_ones_stay() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let answer = b"HTTP/1.1 200 OK\r\nconnection: x-hop, content-length\r\nx-hop: 1\r\n\
            keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\n\
            set-cookie: a=b\r\nset-cookie: c=d\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.ok()?;
        Some(stream)
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    let reply = get(gateway.address, "/p").await;
    assert_eq!(reply.text(), "ok");
    assert_eq!(reply.all("set-cookie"), ["a=b", "c=d"]);
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
    ] {
        assert!(reply.all(name).is_empty(), "{}", reply.head);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_answer_keeps_its_length_and_has_no_body() {
    let upstream = Upstream::named("hello").await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let request = "HEAD /p HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let reply = raw(gateway.address, request).await;
    assert!(
        reply.contains("content-length: 5\r\n") && reply.ends_with("\r\n\r\n"),
        "{reply}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn informational_answers_are_not_taken_for_the_final_one() {
    let upstream = RawUpstream::start(|mut stream, _| async move {
        let answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
            HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.ok()?;
        Some(stream)
    })
    .await;
    let gateway = Gateway::before_addresses(&upstream.address.to_string(), &[]).await;
    assert_eq!(get(gateway.address, "/p").await.text(), "ok");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_to_come_no_further_ends_here_and_others_are_counted() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], &[]).await;
    let send = async |method: &str, count: &str| {
        let mut wire = Wire::open(gateway.address).await;
        let head = format!("{method} /p HTTP/1.1\r\nhost: t\r\nmax-forwards: {count}\r\n\r\n");
        wire.send(head).await;
        wire.reply().await.unwrap()
    };
    for (method, status) in [("OPTIONS", 204), ("TRACE", 405)] {
        assert_eq!(send(method, "0").await.status, status, "{method}");
        let reply = send(method, "five").await;
        let problem = (reply.status, reply.problem());
        assert_eq!(problem, (400, "bad-request".to_owned()), "{method}");
    }
    assert_eq!(upstream.count(), 0);
    // Other methods have no such count: the field is passed on as it is.
    for (method, line) in [
        ("OPTIONS", "\nmax-forwards: 4\n"),
        ("TRACE", "\nmax-forwards: 4\n"),
        ("GET", "\nmax-forwards: 5\n"),
    ] {
        let text = send(method, "5").await.text();
        assert!(text.contains(line), "{text}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_sees_every_program_that_a_request_came_through() {
    let through = |lines: &[String]| {
        let through: Vec<_> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("via: ").map(str::to_owned))
            .collect();
        through.join(", ")
    };
    let lines = seen(&[], "GET /p HTTP/1.1\r\nhost: t\r\nvia: 1.0 fred\r\n\r\n").await;
    assert_eq!(through(&lines), "1.0 fred, 1.1 statewise");
    let lines = seen(&[], "GET /p HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!(through(&lines), "1.1 statewise");
}
