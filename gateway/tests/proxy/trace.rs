//! The trace goes on behind the gateway, below the span of the attempt that carries it.

use crate::support::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// The `traceparent` that the upstream sees: trace id, span id, flags.
async fn parent(options: &[&str], flags: &str) -> (String, String, String) {
    let upstream = Upstream::echo().await;
    // Nobody takes the spans there, which must not matter.
    let mut all = vec!["--otlp-endpoint=http://127.0.0.1:9"];
    all.extend(options);
    let gateway = Gateway::before(&[&upstream], &all).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send(format!(
        "GET /p HTTP/1.1\r\nhost: t\r\ntraceparent: 00-{TRACE}-{SPAN}-{flags}\r\n\
         tracestate: vendor=1\r\nbaggage: secret=1\r\n\r\n"
    ))
    .await;
    let text = wire.reply().await.unwrap().text();
    assert!(!text.contains("baggage"), "{text}");
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("traceparent: 00-"))
        .collect();
    let [line] = lines.as_slice() else {
        panic!("one traceparent was expected: {text}");
    };
    let mut parts = line.split('-').map(str::to_owned);
    let mut next = || parts.next().unwrap();
    let parent = (next(), next(), next());
    gateway.stop().await;
    parent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampled_trace_is_continued_below_a_new_span() {
    let (trace, span, flags) = parent(&["--trust-trace=true"], "01").await;
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_ne!(span, SPAN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_sampled_passes_unchanged() {
    let seen = parent(&["--trust-trace=true"], "00").await;
    assert_eq!(seen, (TRACE.to_owned(), SPAN.to_owned(), "00".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_trace_is_not_continued_unless_it_is_trusted() {
    let (trace, _, flags) = parent(&[], "01").await;
    assert_ne!(trace, TRACE);
    assert_eq!(flags, "01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_begun_here_and_not_sampled_says_so_to_the_services_behind() {
    let options = ["--traces-sampler=always_off"];
    let (trace, _, flags) = parent(&options, "01").await;
    assert_ne!(trace, TRACE);
    assert_eq!(flags, "00");
}
