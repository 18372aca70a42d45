//! One trace a request through every part, with the agreed names and without a secret; and an
//! exporter that does not work costs nothing.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use loadtest::subject::stack::StackOptions;
use reqwest::Method;
use serde_json::json;
use system_tests::{
    Answer, Cluster,
    cluster::{PASSWORD, answer},
    eventually,
    spans::{Receiver, Span, tree},
};

/// The caller's own span, which is above all others.
const CALLER: &str = "00f067aa0ba902b7";

/// A stack that exports everything quickly to `endpoint`, logging all that it can say.
fn traced(endpoint: &str) -> Cluster {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32"),
        ("RUST_LOG", "debug"),
    ];
    let options = variables
        .iter()
        .fold(StackOptions::default(), |options, (name, value)| {
            options.variable_everywhere(name, value)
        });
    Cluster::with(options)
}

/// Sends a request as part of a trace with a known id, and returns the spans below the caller once
/// as many as in `wanted` have come.
fn trace_of(
    receiver: &Receiver,
    number: u32,
    wanted: &str,
    request: reqwest::blocking::RequestBuilder,
) -> (Answer, Vec<Span>) {
    let id = format!("4bf92f3577b34da6a3ce929d{number:08x}");
    let found = answer(request.header("traceparent", format!("00-{id}-{CALLER}-01")));
    let spans = eventually(&format!("all spans of:\n{wanted}"), || {
        let spans = receiver.trace(&id);
        (spans.len() >= wanted.lines().count()).then_some(spans)
    });
    assert_eq!(tree(&spans, CALLER), wanted);
    (found, spans)
}

#[test]
fn a_request_is_one_trace_through_every_part_it_touches() {
    let receiver = Receiver::start();
    let cluster = traced(&receiver.endpoint);
    cluster.register("ada");
    let login = |credential: &str| {
        let body = json!({"username": "ada", "password": PASSWORD, "credential": credential});
        cluster.post("/auth/login", &body)
    };

    let (token, spans) = trace_of(&receiver, 1, LOGIN_TOKEN, login("token"));
    assert_http(&spans, "POST", "200");
    let (session, spans) = trace_of(&receiver, 2, LOGIN_SESSION, login("session"));
    assert_redis(&spans);
    let token = token.json["access_token"].as_str().unwrap().to_owned();
    let session = session.json["session_id"].as_str().unwrap().to_owned();

    let me = cluster.get("/jwt/me").bearer_auth(&token);
    let (_, spans) = trace_of(&receiver, 3, JWT_ME, me);
    assert_http(&spans, "GET", "200");
    assert_verdict(&spans, "jwt", "valid");

    let me = cluster.get("/session/me").bearer_auth(&session);
    let (_, spans) = trace_of(&receiver, 4, SESSION_ME, me);
    assert_http(&spans, "GET", "200");
    assert_redis(&spans);
    assert_verdict(&spans, "session", "valid");

    let by_cookie = cluster
        .get("/session/me")
        .header("cookie", format!("__Host-sid={session}"));
    trace_of(&receiver, 5, SESSION_ME, by_cookie);

    let (refused, spans) = trace_of(
        &receiver,
        6,
        JWT_ME,
        cluster.get("/jwt/me").bearer_auth("no.good.token"),
    );
    assert_eq!(refused.status, 401);
    // Semantic conventions: a 4xx is an error of the client's span and none of the server's.
    assert!(!one(&spans, "api-service", "GET /me").failed);

    // A credential in the wrong places.
    let misplaced = cluster
        .get(&format!("/session/{session}"))
        .header("user-agent", format!("by {session}"))
        .header("x-forwarded-proto", session.as_str());
    let (_, spans) = trace_of(&receiver, 10, UNMATCHED, misplaced);
    let shown = &one(&spans, "api-service", "GET").attributes;
    assert_eq!(shown["url.path"], "/REDACTED");
    assert_eq!(shown["user_agent.original"], "by REDACTED");
    assert_eq!(shown["url.scheme"], "http");
    let method = Method::from_bytes(session.as_bytes()).unwrap();
    let url = format!("{}/session/me", cluster.stack.gateway_url);
    let invented = cluster.client.request(method, url);
    trace_of(&receiver, 11, INVENTED, invented);

    cluster.stack.kill9("redis").unwrap();
    let me = cluster.get("/session/me").bearer_auth(&session);
    let (refused, spans) = trace_of(&receiver, 7, SESSION_ME, me);
    assert_eq!(refused.status, 503);
    assert!(spans.iter().all(|span| span.failed), "{spans:?}");

    let told = format!("{:?}{}", receiver.all(), cluster.logs());
    assert!(told.len() > 10_000, "nothing was recorded: {told}");
    let signature = token.rsplit('.').next().unwrap();
    for secret in [
        token.as_str(),
        signature,
        &session,
        PASSWORD,
        "no.good.token",
    ] {
        assert!(
            !told.contains(secret),
            "a secret of {} characters is told",
            secret.len()
        );
    }
}

/// The first login from an address, which is then known for this account.
const LOGIN_TOKEN: &str = "\
gateway SERVER POST /auth/*
  gateway CLIENT POST auth
    auth-service SERVER POST /login
      auth-service CLIENT INSERT login_limits
      auth-service CLIENT INSERT refresh_tokens
      auth-service CLIENT SELECT login_limits
      auth-service CLIENT SELECT login_limits
      auth-service CLIENT SELECT login_limits
      auth-service CLIENT SELECT refresh_families
      auth-service CLIENT SELECT users
      auth-service INTERNAL verify password";
const LOGIN_SESSION: &str = "\
gateway SERVER POST /auth/*
  gateway CLIENT POST auth
    auth-service SERVER POST /login
      auth-service CLIENT EVAL
      auth-service CLIENT SELECT login_limits
      auth-service CLIENT SELECT login_limits
      auth-service CLIENT SELECT login_limits
      auth-service CLIENT SELECT users
      auth-service INTERNAL verify password";

const JWT_ME: &str = "\
gateway SERVER GET /jwt/*
  gateway CLIENT GET jwt
    api-service SERVER GET /me
      api-service INTERNAL verify credential";

const UNMATCHED: &str = "\
gateway SERVER GET /session/*
  gateway CLIENT GET session
    api-service SERVER GET";

const INVENTED: &str = "\
gateway SERVER _OTHER /session/*
  gateway CLIENT _OTHER session
    api-service SERVER _OTHER /me";

const SESSION_ME: &str = "\
gateway SERVER GET /session/*
  gateway CLIENT GET session
    api-service SERVER GET /me
      api-service INTERNAL verify credential
        api-service CLIENT HMGET";

#[track_caller]
fn one<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    let found = spans
        .iter()
        .find(|span| span.service == service && span.name == name);
    found.unwrap_or_else(|| panic!("no {name} of {service} in {spans:?}"))
}

/// Semantic conventions for HTTP spans: what each of them must say.
#[track_caller]
fn assert_http(spans: &[Span], method: &str, status: &str) {
    let http = spans
        .iter()
        .filter(|span| span.attributes.contains_key("http.request.method"));
    let mut seen = 0;
    for span in http {
        seen += 1;
        let attribute = |name: &str| span.attributes.get(name).map(String::as_str);
        assert_eq!(attribute("http.request.method"), Some(method), "{span:?}");
        assert_eq!(
            attribute("http.response.status_code"),
            Some(status),
            "{span:?}"
        );
        assert!(attribute("server.address").is_some(), "{span:?}");
        assert!(attribute("server.port").is_some(), "{span:?}");
        let of_kind: &[&str] = match span.kind.as_str_name() {
            "SPAN_KIND_SERVER" => &["http.route", "url.path", "url.scheme"],
            _ => &["url.full"],
        };
        for name in of_kind {
            assert!(attribute(name).is_some(), "{name} is missing in {span:?}");
        }
    }
    assert_eq!(seen, 3, "gateway in, gateway out, service in: {spans:?}");
}

/// Semantic conventions for Redis spans; the command's arguments are keys and stay out.
#[track_caller]
fn assert_redis(spans: &[Span]) {
    let redis = spans
        .iter()
        .find(|span| {
            span.attributes
                .get("db.system.name")
                .is_some_and(|name| name == "redis")
        })
        .unwrap_or_else(|| panic!("no call to Redis in {spans:?}"));
    assert_eq!(redis.kind.as_str_name(), "SPAN_KIND_CLIENT");
    assert_eq!(redis.attributes["db.operation.name"], redis.name);
    assert_eq!(redis.attributes["db.namespace"], "0");
    assert_eq!(redis.attributes["server.address"], "127.0.0.1");
    assert!(redis.attributes.contains_key("server.port"));
    assert!(!redis.attributes.contains_key("db.query.text"));
}

#[track_caller]
fn assert_verdict(spans: &[Span], strategy: &str, outcome: &str) {
    let check = one(spans, "api-service", "verify credential");
    assert_eq!(check.attributes["statewise.auth.strategy"], strategy);
    assert_eq!(check.attributes["statewise.auth.outcome"], outcome);
}

#[test]
fn a_request_that_is_not_sampled_leaves_no_span_anywhere() {
    let receiver = Receiver::start();
    let cluster = traced(&receiver.endpoint);
    cluster.register("ada");
    let token = cluster.token("ada");
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let silent = cluster.get("/jwt/me").bearer_auth(&token);
    let found = answer(silent.header("traceparent", format!("00-{id}-{CALLER}-00")));
    assert_eq!(found.status, 200);
    // Spans are sent in their order, so a later trace being there proves the earlier one absent.
    trace_of(
        &receiver,
        9,
        JWT_ME,
        cluster.get("/jwt/me").bearer_auth(&token),
    );
    assert_eq!(receiver.trace(id).len(), 0);
}

#[test]
fn an_exporter_that_is_down_or_hangs_costs_no_request_anything() {
    // Bound and never accepted from: connections open and nothing answers.
    let hanging = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addresses = [hanging.local_addr().unwrap(), closed.local_addr().unwrap()];
    drop(closed);
    for address in addresses {
        let cluster = traced(&format!("http://{address}"));
        cluster.register("ada");
        let (token, session) = (cluster.token("ada"), cluster.session("ada"));
        // Many times more spans than the export queue holds.
        let load = cluster.load(&token, &session, 60.0, Duration::from_secs(3));
        for arm in &load.join().unwrap().arms {
            assert_eq!(arm.failed(), 0, "{address}: {:?}", arm.outcomes);
            let median = Duration::from_secs_f64(arm.response_time.quantile_us(0.5) / 1e6);
            // An export is given up after ten seconds; the rest is for a busy machine.
            assert!(median < Duration::from_secs(2), "{address}: {median:?}");
        }
        assert_eq!(cluster.get_as("/jwt/me", &token).status, 200);
    }
}
