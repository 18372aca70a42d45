//! One trace a request through every part, with the agreed names and without a secret; and an
//! exporter that does not work costs nothing.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use loadtest::{
    load::{self, Arm, Arrivals, Load, SpanExport, Variant},
    subject::stack::{Role, StackOptions},
};
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
    traced_with(endpoint, &["jwt", "session"])
}

/// The same with a pool for each of these strategies.
fn traced_with(endpoint: &str, strategies: &[&str]) -> Cluster {
    let options = StackOptions {
        strategies: strategies.iter().map(ToString::to_string).collect(),
        ..StackOptions::default()
    };
    Cluster::with(exporting(options, endpoint))
}

/// Has every process export everything quickly.
fn exporting(options: StackOptions, endpoint: &str) -> StackOptions {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32"),
        ("RUST_LOG", "debug"),
    ];
    variables.iter().fold(options, |options, (name, value)| {
        options.variable_everywhere(name, value)
    })
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
    // A refusal is an answer.
    assert!(!spans.iter().any(|span| span.failed), "{spans:?}");
    let attempt = one(&spans, "gateway", "GET jwt");
    assert_eq!(attempt.attributes["http.response.status_code"], "401");

    // A credential in the wrong places.
    let misplaced = cluster
        .get(&format!("/session/{session}"))
        .header("user-agent", format!("by {session}"))
        .header("x-forwarded-proto", session.as_str());
    let (_, spans) = trace_of(&receiver, 10, UNMATCHED, misplaced);
    let shown = &one(&spans, "api-session", "GET").attributes;
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

    assert_no_secret(&receiver, &cluster, &[&token, &session, "no.good.token"]);
}

/// Neither spans nor logs have one of these, the signature of one, or a password.
#[track_caller]
fn assert_no_secret(receiver: &Receiver, cluster: &Cluster, secrets: &[&str]) {
    let told = format!("{:?}{}", receiver.all(), cluster.logs());
    assert!(told.len() > 10_000, "nothing was recorded: {told}");
    // Who has the signature of a token has most of what is secret about it.
    let signatures = secrets
        .iter()
        .filter_map(|secret| secret.rsplit('.').next())
        .filter(|signature| signature.len() > 20);
    for secret in secrets.iter().copied().chain(signatures).chain([PASSWORD]) {
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
    api-jwt SERVER GET /me
      api-jwt INTERNAL verify credential";

const UNMATCHED: &str = "\
gateway SERVER GET /session/*
  gateway CLIENT GET session
    api-session SERVER GET";

const INVENTED: &str = "\
gateway SERVER _OTHER /session/*
  gateway CLIENT _OTHER session
    api-session SERVER _OTHER /me";

const SESSION_ME: &str = "\
gateway SERVER GET /session/*
  gateway CLIENT GET session
    api-session SERVER GET /me
      api-session INTERNAL verify credential
        api-session CLIENT HMGET";

const INTROSPECTION_ME: &str = "\
gateway SERVER GET /introspection/*
  gateway CLIENT GET introspection
    api-introspection SERVER GET /me
      api-introspection INTERNAL verify credential
        api-introspection CLIENT POST /oauth/introspect
          auth-service SERVER POST /oauth/introspect
            auth-service CLIENT HMGET";

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
    let check = one(spans, &format!("api-{strategy}"), "verify credential");
    assert_eq!(check.attributes["statewise.auth.strategy"], strategy);
    assert_eq!(check.attributes["statewise.auth.outcome"], outcome);
}

#[test]
fn a_verdict_says_what_it_was_made_of() {
    let receiver = Receiver::start();
    let strategies = [
        "jwt",
        "jwt-remembered",
        "jwt-revocable",
        "session-cached",
        "introspection",
        "phantom",
    ];
    let cluster = traced_with(&receiver.endpoint, &strategies);
    cluster.register("ada");
    let login = cluster.log_in("ada", "token").json;
    let of_login = |name: &str| login[name].as_str().unwrap().to_owned();
    let (token, refresh) = (of_login("access_token"), of_login("refresh_token"));
    let session = cluster.session("ada");
    let mut number = 100;
    let mut asked = |strategy: &str, credential: &str| {
        number += 1;
        let me = cluster.get(&format!("/{strategy}/me"));
        let spans = answered_trace(&receiver, number, me.bearer_auth(credential));
        let check = one(&spans, &format!("api-{strategy}"), "verify credential");
        (check.attributes.clone(), spans)
    };

    let (said, _) = asked("jwt", &token);
    assert_eq!(said["statewise.auth.signature.remembered"], "false");
    assert!(!said["statewise.auth.key.id"].is_empty(), "{said:?}");
    for remembered in ["false", "true"] {
        let (said, _) = asked("jwt-remembered", &token);
        assert_eq!(said["statewise.auth.signature.remembered"], remembered);
    }
    let (said, _) = asked("jwt", "no.good.token");
    assert!(!said.contains_key("statewise.auth.key.id"), "{said:?}");

    let (said, _) = asked("jwt-revocable", &token);
    let age: f64 = said["statewise.auth.revocations.age"].parse().unwrap();
    assert!((0.0..60.0).contains(&age), "{said:?}");

    let (said, _) = asked("session-cached", &session);
    assert_eq!(said["statewise.auth.session.cached"], "false");
    eventually("the session is kept", || {
        let (said, _) = asked("session-cached", &session);
        (said["statewise.auth.session.cached"] == "true").then_some(())
    });

    let (said, spans) = asked("introspection", &session);
    assert_eq!(said["statewise.auth.introspection.source"], "asked");
    let call = one(&spans, "api-introspection", "POST /oauth/introspect");
    assert_eq!(call.attributes["http.response.status_code"], "200");
    assert!(call.attributes["url.full"].ends_with("/oauth/introspect"));
    assert!(call.attributes.contains_key("server.port"), "{call:?}");

    let source = |spans: &[Span]| {
        let request = one(spans, "gateway", "GET /phantom/*");
        request.attributes["statewise.exchange.source"].clone()
    };
    assert_eq!(source(&asked("phantom", &session).1), "asked");
    assert_eq!(source(&asked("phantom", &session).1), "kept");
    assert_no_secret(&receiver, &cluster, &[&token, &session, &refresh]);
}

/// Sends a request as part of a trace with a known id, and returns its spans once the request's own
/// has come, which ends last of all.
fn answered_trace(
    receiver: &Receiver,
    number: u32,
    request: reqwest::blocking::RequestBuilder,
) -> Vec<Span> {
    let id = format!("4bf92f3577b34da6a3ce929d{number:08x}");
    let _ = answer(request.header("traceparent", format!("00-{id}-{CALLER}-01")));
    eventually("a whole trace", || {
        let spans = receiver.trace(&id);
        let parents: BTreeSet<&str> = spans.iter().map(|span| span.parent.as_str()).collect();
        let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
        let whole = parents.contains(CALLER)
            && parents.iter().all(|parent| *parent == CALLER || ids.contains(parent))
            // Each process exports by itself: what the gateway sent on was answered.
            && spans.iter().any(|span| span.name == "verify credential");
        whole.then_some(spans)
    })
}

#[test]
fn a_request_that_waits_for_the_work_of_another_is_linked_with_it() {
    let receiver = Receiver::start();
    let options = StackOptions {
        strategies: vec!["introspection".to_owned()],
        ..StackOptions::default()
    };
    let options = options.variable(Role::Api, "API_INTROSPECTION_TIMEOUT", "60s");
    let cluster = Cluster::with(exporting(options, &receiver.endpoint));
    cluster.register("ada");
    let session = cluster.session("ada");
    // Whoever asks it now waits.
    cluster.stack.sigstop("auth-service").unwrap();
    let receiver = &receiver;
    let ask = |number: u32| {
        let me = cluster.get("/introspection/me").bearer_auth(&session);
        move || answered_trace(receiver, number, me)
    };
    let (one_of, other_of) = std::thread::scope(|scope| {
        let first = scope.spawn(ask(31));
        let second = scope.spawn(ask(32));
        let url = cluster.url("api-introspection-1");
        eventually("one waits for the other", || {
            let text = cluster
                .client
                .get(format!("{url}/metrics"))
                .send()
                .ok()?
                .text()
                .ok()?;
            let shared = "statewise_introspection_events_total{event=\"shared\"} 1";
            text.contains(shared).then_some(())
        });
        cluster.stack.sigcont("auth-service").unwrap();
        (first.join().unwrap(), second.join().unwrap())
    });
    let checks = [&one_of, &other_of]
        .map(|spans| one(spans, "api-introspection", "verify credential").clone());
    let source = |check: &Span| check.attributes["statewise.auth.introspection.source"].clone();
    let (led, joined) = if source(&checks[0]) == "asked" {
        (&checks[0], &checks[1])
    } else {
        (&checks[1], &checks[0])
    };
    assert_eq!(source(joined), "shared");
    assert_eq!(joined.links, std::slice::from_ref(&led.id));
}

#[test]
fn a_request_that_is_sent_again_says_why_and_to_whom() {
    let receiver = Receiver::start();
    let options = StackOptions {
        strategies: vec!["jwt".to_owned()],
        replicas: 2,
        ..StackOptions::default()
    };
    // Nobody but a request finds out that a replica is gone.
    let options = options.variable(Role::Gateway, "GATEWAY_HEALTH_INTERVAL", "600s");
    let cluster = Cluster::with(exporting(options, &receiver.endpoint));
    cluster.register("ada");
    let token = cluster.token("ada");
    cluster.stack.kill9("api-jwt-1").unwrap();
    let mut number = 200;
    let spans = eventually("a request meets the replica that is gone", || {
        number += 1;
        let me = cluster.get("/jwt/me").bearer_auth(&token);
        let spans = answered_trace(&receiver, number, me);
        let attempts = spans.iter().filter(|span| span.name == "GET jwt").count();
        (attempts == 2).then_some(spans)
    });
    let attempts = spans.iter().filter(|span| span.name == "GET jwt");
    let (failed, good): (Vec<&Span>, Vec<&Span>) = attempts.partition(|span| span.failed);
    let cause = &failed[0].attributes["error.type"];
    assert!(
        ["connect", "lost", "unsent"].contains(&cause.as_str()),
        "{failed:?}"
    );
    assert_eq!(good[0].attributes["http.request.resend_count"], "1");
    assert_eq!(good[0].attributes["http.response.status_code"], "200");
    let request = one(&spans, "gateway", "GET /jwt/*");
    assert!(!request.failed, "{request:?}");
    let retried = request
        .events
        .iter()
        .find(|(name, _)| name == "statewise.gateway.retry");
    assert_eq!(&retried.unwrap().1["error.type"], cause);
}

#[test]
fn a_trace_that_the_load_generator_begins_begins_with_its_own_span() {
    let receiver = Receiver::start();
    let cluster = traced_with(&receiver.endpoint, &["jwt"]);
    cluster.register("ada");
    let token = cluster.token("ada");
    let export = SpanExport::start(&receiver.endpoint.parse().unwrap()).unwrap();
    let options = load::Options {
        duration: Duration::from_millis(500),
        trace_ratio: 1.0,
        trace_run: 7,
        spans: Some(export.sink()),
        ..load::Options::default()
    };
    let arm = Arm {
        name: "jwt".to_owned(),
        url: format!("{}/jwt/me?a=b", cluster.stack.gateway_url)
            .parse()
            .unwrap(),
        variants: vec![Variant::bearer(&token)],
        load: Load::Open {
            rate: 20.0,
            arrivals: Arrivals::Uniform,
        },
    };
    let run = load::run(options, vec![arm]).unwrap();
    let sent = export.finish();
    assert_eq!((sent.exported, sent.lost), (run.requests(), 0), "{sent:?}");
    let spans = eventually("all spans of all requests", || {
        let mut spans = receiver.all();
        let begun: BTreeSet<String> = spans
            .iter()
            .filter(|span| span.service == "loadtest")
            .map(|span| span.trace_id.clone())
            .collect();
        spans.retain(|span| begun.contains(&span.trace_id));
        let wanted = BEGUN.lines().count() * usize::try_from(run.requests()).unwrap();
        (spans.len() >= wanted).then_some(spans)
    });
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
    assert_eq!(traces.len() as u64, run.requests());
    for trace in traces {
        let spans: Vec<Span> = spans
            .iter()
            .filter(|span| span.trace_id == trace)
            .cloned()
            .collect();
        assert_eq!(tree(&spans, ""), BEGUN);
        let sent = one(&spans, "loadtest", "GET");
        assert!(sent.attributes["url.full"].ends_with("/jwt/me"), "{sent:?}");
        assert_eq!(sent.attributes["http.response.status_code"], "200");
    }
    assert_no_secret(&receiver, &cluster, &[&token]);
}

const BEGUN: &str = "\
loadtest INTERNAL request
  loadtest CLIENT GET
    gateway SERVER GET /jwt/*
      gateway CLIENT GET jwt
        api-jwt SERVER GET /me
          api-jwt INTERNAL verify credential
  loadtest INTERNAL wait for a connection";

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
fn a_system_that_is_left_alone_leaves_no_trace_and_a_probe_that_fails_does() {
    let receiver = Receiver::start();
    let strategies = ["jwt", "session", "introspection"];
    let cluster = traced_with(&receiver.endpoint, &strategies);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    let replicas = ["api-jwt-1", "api-session-1", "api-introspection-1"];
    for replica in replicas {
        answered(&cluster, replica, "/readyz", 200, 10);
    }
    // A replica asks for that when it is asked whether it is ready.
    answered(&cluster, "auth-service", "/oauth/introspect", 200, 10);
    answered(&cluster, "auth-service", "/.well-known/jwks.json", 200, 1);
    // Every process sends spans of these, after any that it made before.
    for (number, path, credential, wanted) in [
        (20, "/jwt/me", &token, JWT_ME),
        (21, "/session/me", &session, SESSION_ME),
        (22, "/introspection/me", &session, INTROSPECTION_ME),
    ] {
        let me = cluster.get(path).bearer_auth(credential);
        trace_of(&receiver, number, wanted, me);
    }
    let spans = receiver.all();
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
    assert_eq!(traces.len(), 6, "3 to log in, 3 of these: {spans:?}");

    cluster.stack.kill9("redis").unwrap();
    let began = Instant::now();
    let of_probe = |span: &Span| {
        span.attributes
            .get("http.route")
            .is_some_and(|is| is == "/readyz")
    };
    let failed = eventually("the span of a probe that failed", || {
        let mut spans = receiver.all();
        spans.retain(of_probe);
        spans
            .into_iter()
            .find(|span| span.service == "api-session" && span.failed)
    });
    let missing = &failed.attributes["statewise.readiness.missing"];
    assert!(missing.contains("redis"), "{missing}");
    assert_eq!(failed.attributes["error.type"], "503");
    answered(&cluster, "api-session-1", "/readyz", 503, 10);
    let probes = receiver.all().into_iter().filter(of_probe).count();
    // Each of two processes tells of one in ten seconds.
    let most = 2 * (1 + began.elapsed().as_secs() as usize / 10);
    assert!(
        (1..=most).contains(&probes),
        "{probes} in {:?}",
        began.elapsed()
    );
}

/// Waits until a process has answered so many requests for a route with this status.
#[track_caller]
fn answered(cluster: &Cluster, process: &str, route: &str, status: u16, count: u64) {
    let url = format!("{}/metrics", cluster.url(process));
    let (route, status) = (
        format!("http_route=\"{route}\""),
        format!("http_response_status_code=\"{status}\""),
    );
    eventually(&format!("{count} answers, {route} {status}"), || {
        let text = cluster.client.get(&url).send().ok()?.text().ok()?;
        let lines = text.lines().filter(|line| {
            line.starts_with("http_server_request_duration_seconds_count")
                && line.contains(&route)
                && line.contains(&status)
        });
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        (counts.sum::<u64>() >= count).then_some(())
    });
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
