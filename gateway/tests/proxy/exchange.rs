//! Opaque session ids become tokens on the way to the API.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gateway::system_resolver;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use shared::clock::Clock;

use crate::support::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// What the token endpoint hands out.
const TOKEN: &str = "eyJh.eyJz.c2ln";

/// An id that no other test has.
fn id() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{:042}A", NEXT.fetch_add(1, Ordering::SeqCst))
}

/// What the token endpoint does next.
#[derive(Clone, Debug)]
enum Plan {
    /// A token that lives this many seconds.
    Grant(u64),
    /// This status and body.
    Say(u16, &'static str),
    /// Nothing for a long time.
    Hang,
}

/// A token endpoint that remembers what it was asked.
struct Endpoint {
    upstream: Upstream,
    plan: Arc<Mutex<Plan>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start() -> Self {
        let plan = Arc::new(Mutex::new(Plan::Grant(60)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (planned, remembered) = (Arc::clone(&plan), Arc::clone(&asked));
        let upstream = Upstream::with(move |request| {
            let (plan, asked) = (Arc::clone(&planned), Arc::clone(&remembered));
            async move {
                let text = whole(request).await;
                asked.lock().unwrap().push(text);
                let plan = plan.lock().unwrap().clone();
                match plan {
                    Plan::Grant(seconds) => grant(seconds).await,
                    Plan::Say(status, body) => say(status, body),
                    Plan::Hang => {
                        tokio::time::sleep(PATIENCE * 2).await;
                        say(200, "late")
                    }
                }
            }
        })
        .await;
        Self {
            upstream,
            plan,
            asked,
        }
    }

    fn plan(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn whole(request: Request<Incoming>) -> String {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let body = body.collect().await.unwrap().to_bytes();
    format!(
        "{} {} {} {} {}",
        head.method,
        head.uri,
        header("authorization"),
        header("content-type"),
        String::from_utf8_lossy(&body)
    )
}

async fn grant(seconds: u64) -> Response<Body> {
    // Long enough for others to come while it is on its way.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut response = Response::new(full(format!(
        r#"{{"access_token":"{TOKEN}","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":{seconds}}}"#
    )));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

fn say(status: u16, body: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A gateway before an API that says what it gets, and a token endpoint.
struct System {
    gateway: Gateway,
    api: Upstream,
    endpoint: Endpoint,
}

impl System {
    async fn start(options: &[&str]) -> Self {
        let (api, endpoint) = (Upstream::echo().await, Endpoint::start().await);
        let pools = format!(
            "--pools=p={};auth={}",
            api.address, endpoint.upstream.address
        );
        let secret = format!("--client-secret={SECRET}");
        let mut all = vec![
            "--routes=/p=p,/p/public=p/public,/other=p",
            pools.as_str(),
            "--exchange-routes=/p",
            "--client-id=statewise-gateway",
            "--exchange-audience=inner-api",
            secret.as_str(),
        ];
        all.extend(options);
        let gateway = Gateway::start(config(&all), Clock::system(), system_resolver()).await;
        let system = Self {
            gateway,
            api,
            endpoint,
        };
        eventually("all upstreams are healthy", || async {
            system.gateway.healthy().await == 1 && system.gateway.metric(HEALTHY_AUTH).await == 1.0
        })
        .await;
        system
    }

    async fn send(&self, path: &str, headers: &str) -> Reply {
        let mut wire = Wire::open(self.gateway.address).await;
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n{headers}\r\n"))
            .await;
        wire.reply().await.unwrap()
    }

    async fn bearer(&self, credential: &str) -> Reply {
        self.send("/p/me", &format!("authorization: Bearer {credential}\r\n"))
            .await
    }

    /// Fails unless the answer is "cannot be decided".
    #[track_caller]
    fn assert_undecided(&self, reply: &Reply) {
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (503, "session-exchange-unavailable")
        );
        assert_eq!(reply.all("retry-after"), ["1"]);
        assert!(reply.all("www-authenticate").is_empty() && reply.all("set-cookie").is_empty());
    }
}

const HEALTHY_AUTH: &str = "gateway_pool_members{pool=\"auth\",state=\"healthy\"}";

/// The values of one header as the API saw them.
fn seen(reply: &Reply, name: &str) -> Vec<String> {
    let prefix = format!("{name}: ");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.map(str::to_owned).collect()
}

fn granted() -> Vec<String> {
    vec![format!("Bearer {TOKEN}")]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_exchanged_once_and_the_token_takes_its_place() {
    let system = System::start(&[]).await;
    let id = id();
    for _ in 0..5 {
        assert_eq!(seen(&system.bearer(&id).await, "authorization"), granted());
    }
    let asked = system.endpoint.asked();
    // "statewise-gateway:0123456789abcdef0123456789abcdef"
    let basic = "Basic c3RhdGV3aXNlLWdhdGV3YXk6MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    assert_eq!(
        asked,
        [format!(
            "POST /oauth/token {basic} application/x-www-form-urlencoded \
             grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &subject_token={id}\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
             &audience=inner-api"
        )]
    );
    for (line, value) in [
        ("gateway_exchange_lookups_total{result=\"miss\"}", 1.0),
        ("gateway_exchange_lookups_total{result=\"hit\"}", 4.0),
        ("gateway_exchanges_total{outcome=\"token\"}", 1.0),
        ("gateway_exchange_duration_seconds_count", 1.0),
        ("gateway_exchange_tokens", 1.0),
    ] {
        assert_eq!(system.gateway.metric(line).await, value, "{line}");
    }
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_requests_at_once_with_one_id_are_one_exchange() {
    let system = Arc::new(System::start(&[]).await);
    let id = id();
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let (system, id) = (Arc::clone(&system), id.clone());
            tokio::spawn(async move { seen(&system.bearer(&id).await, "authorization") })
        })
        .collect();
    for client in clients {
        assert_eq!(soon(client).await.unwrap(), granted());
    }
    assert_eq!(system.endpoint.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_outlives_the_client_that_began_it() {
    let system = System::start(&[]).await;
    let id = id();
    let mut wire = Wire::open(system.gateway.address).await;
    wire.send(format!(
        "GET /p/me HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {id}\r\n\r\n"
    ))
    .await;
    eventually("it is asked", || async {
        system.endpoint.asked().len() == 1
    })
    .await;
    drop(wire);
    assert_eq!(seen(&system.bearer(&id).await, "authorization"), granted());
    assert_eq!(system.endpoint.asked().len(), 1);
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cookie_is_exchanged_and_only_the_other_cookies_go_on() {
    let system = System::start(&[]).await;
    let id = id();
    let cookies = format!("cookie: theme=dark; __Host-sid={id}; a=b\r\n");
    let reply = system.send("/p/me", &cookies).await;
    assert_eq!(seen(&reply, "authorization"), granted());
    assert_eq!(seen(&reply, "cookie"), ["theme=dark; a=b"]);
    // A stray token is somebody else's, as for the session strategies.
    let both = format!("authorization: Bearer a.b.c\r\ncookie: __Host-sid={id}\r\n");
    let reply = system.send("/p/me", &both).await;
    assert_eq!(seen(&reply, "authorization"), granted());
    assert!(seen(&reply, "cookie").is_empty());
    assert!(!reply.text().contains(&id));
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_exchanged_for_no_change_on_behalf_of_another_site() {
    let system = System::start(&[]).await;
    let cookie = format!("cookie: __Host-sid={}\r\n", id());
    let bearer = format!("authorization: Bearer {}\r\n", id());
    let sent = async |method: &str, headers: String| {
        let mut wire = Wire::open(system.gateway.address).await;
        wire.send(format!(
            "{method} /p/cart HTTP/1.1\r\nhost: t\r\n{headers}\r\n"
        ))
        .await;
        wire.reply().await.unwrap()
    };
    for from in ["sec-fetch-site: same-site", "origin: https://evil.example"] {
        let reply = sent("DELETE", format!("{cookie}{from}\r\n")).await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (403, "cross-site")
        );
        assert!(system.endpoint.asked().is_empty(), "{from}");
    }
    for (method, headers) in [
        ("GET", format!("{cookie}sec-fetch-site: cross-site\r\n")),
        ("DELETE", format!("{bearer}sec-fetch-site: cross-site\r\n")),
        ("DELETE", format!("{cookie}origin: http://t\r\n")),
    ] {
        let reply = sent(method, headers.clone()).await;
        assert_eq!(seen(&reply, "authorization"), granted(), "{headers}");
    }
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_clear_id_passes_untouched() {
    let system = System::start(&[]).await;
    let (one, other) = (id(), id());
    for (headers, authorization, cookie) in [
        (String::new(), vec![], vec![]),
        (
            "authorization: Bearer a.b.c\r\n".to_owned(),
            vec!["Bearer a.b.c".to_owned()],
            vec![],
        ),
        (
            format!("authorization: Bearer {one}\r\nauthorization: Bearer {other}\r\n"),
            vec![format!("Bearer {one}"), format!("Bearer {other}")],
            vec![],
        ),
        (
            format!(
                "authorization: Bearer {one}\r\nconnection: authorization\r\nAuthorization: x\r\n"
            ),
            vec![format!("Bearer {one}"), "x".to_owned()],
            vec![],
        ),
        (
            format!("cookie: __Host-sid={one}\r\ncookie: __Host-sid={other}\r\n"),
            vec![],
            vec![format!("__Host-sid={one}"), format!("__Host-sid={other}")],
        ),
    ] {
        let reply = system.send("/p/me", &headers).await;
        assert_eq!(seen(&reply, "authorization"), authorization, "{headers}");
        assert_eq!(seen(&reply, "cookie"), cookie, "{headers}");
    }
    assert!(system.endpoint.asked().is_empty());
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_routes_are_not_looked_at() {
    let system = System::start(&[]).await;
    let id = id();
    for path in ["/other/me", "/p/public"] {
        let headers = format!("authorization: Bearer {id}\r\n");
        let reply = system.send(path, &headers).await;
        assert_eq!(seen(&reply, "authorization"), [format!("Bearer {id}")]);
    }
    assert!(system.endpoint.asked().is_empty());
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_is_the_apis_to_refuse_and_is_asked_for_anew_each_time() {
    let system = System::start(&[]).await;
    let id = id();
    let denied = r#"{"error":"invalid_request","error_description":"no such session"}"#;
    system.endpoint.plan(Plan::Say(400, denied));
    for _ in 0..3 {
        let reply = system.bearer(&id).await;
        assert_eq!(seen(&reply, "authorization"), [format!("Bearer {id}")]);
    }
    assert_eq!(system.endpoint.asked().len(), 3);
    system.endpoint.plan(Plan::Grant(60));
    assert_eq!(seen(&system.bearer(&id).await, "authorization"), granted());
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_cannot_tell_is_undecided_and_forgotten() {
    let system = System::start(&[]).await;
    for (plan, outcome) in [
        (Plan::Say(503, "{}"), "failed"),
        (Plan::Say(500, ""), "failed"),
        (Plan::Say(429, ""), "failed"),
        (Plan::Say(200, "{}"), "failed"),
        (Plan::Say(401, r#"{"error":"invalid_client"}"#), "refused"),
        (
            Plan::Say(400, r#"{"error":"unauthorized_client"}"#),
            "refused",
        ),
        (Plan::Say(404, ""), "refused"),
    ] {
        let line = format!("gateway_exchanges_total{{outcome=\"{outcome}\"}}");
        let before = system.gateway.metric(&line).await;
        system.endpoint.plan(plan.clone());
        let id = id();
        let reply = system.bearer(&id).await;
        system.assert_undecided(&reply);
        assert_eq!(system.gateway.metric(&line).await, before + 1.0, "{plan:?}");
        system.endpoint.plan(Plan::Grant(60));
        assert_eq!(seen(&system.bearer(&id).await, "authorization"), granted());
    }
    // Nobody at the API saw the requests that could not be decided.
    assert_eq!(system.api.count(), 7);
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_is_waited_for_until_the_deadline_by_all_at_once() {
    let system = Arc::new(System::start(&["--exchange-timeout=200ms"]).await);
    system.endpoint.plan(Plan::Hang);
    let id = id();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (system, id) = (Arc::clone(&system), id.clone());
            tokio::spawn(async move {
                let reply = system.bearer(&id).await;
                system.assert_undecided(&reply);
            })
        })
        .collect();
    for client in clients {
        soon(client).await.unwrap();
    }
    let timeouts = "gateway_upstream_attempts_total{pool=\"auth\",outcome=\"timeout\"}";
    assert!(system.gateway.metric(timeouts).await >= 1.0);
    system.endpoint.plan(Plan::Grant(60));
    eventually("it is asked again", || async {
        system.bearer(&id).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_session_outlives_the_endpoint_until_its_token_ends() {
    let System {
        gateway,
        api,
        endpoint,
    } = System::start(&[]).await;
    endpoint.plan(Plan::Grant(4));
    let (known, unknown) = (id(), id());
    let ask = async |id: &str| {
        let mut wire = Wire::open(gateway.address).await;
        wire.send(format!(
            "GET /p/me HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {id}\r\n\r\n"
        ))
        .await;
        wire.reply().await.unwrap()
    };
    assert_eq!(ask(&known).await.status, 200);
    endpoint.upstream.kill().await;
    let reply = ask(&known).await;
    assert_eq!(seen(&reply, "authorization"), granted());
    assert_eq!(ask(&unknown).await.status, 503);
    // Then it cannot be decided any more, which is no reason to refuse it.
    eventually("its token ends", || async {
        let status = ask(&known).await.status;
        assert!([200, 503].contains(&status), "{status}");
        status == 503
    })
    .await;
    drop(api);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refreshed_before_it_ends_without_anybody_waiting() {
    let system = System::start(&[]).await;
    system.endpoint.plan(Plan::Grant(3));
    let id = id();
    eventually("it was refreshed twice", || async {
        assert_eq!(seen(&system.bearer(&id).await, "authorization"), granted());
        system.endpoint.asked().len() >= 3
    })
    .await;
    let misses = "gateway_exchange_lookups_total{result=\"miss\"}";
    assert_eq!(system.gateway.metric(misses).await, 1.0);
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_bounded() {
    let system = System::start(&["--exchange-cache=10"]).await;
    for _ in 0..30 {
        assert_eq!(system.bearer(&id()).await.status, 200);
    }
    let kept = system.gateway.metric("gateway_exchange_tokens").await;
    assert_eq!(kept, 10.0);
    system.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_loses_its_connection_is_repeated_at_another_member() {
    let bad = RawUpstream::start(|stream, _| async move {
        drop(stream);
        None
    })
    .await;
    let (api, endpoint) = (Upstream::echo().await, Endpoint::start().await);
    let pools = format!(
        "--pools=p={};auth={},{}",
        api.address, bad.address, endpoint.upstream.address
    );
    let secret = format!("--client-secret={SECRET}");
    let options = [
        "--routes=/p=p",
        &pools,
        "--exchange-routes=/p",
        "--client-id=g",
        &secret,
    ];
    let gateway = Gateway::start(config(&options), Clock::system(), system_resolver()).await;
    eventually("both are healthy", || async {
        gateway.metric(HEALTHY_AUTH).await == 2.0
    })
    .await;
    eventually("one was sent again", || async {
        let mut wire = Wire::open(gateway.address).await;
        wire.send(format!(
            "GET /p HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\n\r\n",
            id()
        ))
        .await;
        assert_eq!(
            seen(&wire.reply().await.unwrap(), "authorization"),
            granted()
        );
        !bad.heads().is_empty()
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_is_in_the_trace_of_the_request() {
    let endpoint_traces = Arc::new(Mutex::new(Vec::new()));
    let traces = Arc::clone(&endpoint_traces);
    let api = Upstream::echo().await;
    let auth = Upstream::with(move |request| {
        let header = request.headers().get("traceparent").cloned();
        traces.lock().unwrap().push(header);
        grant(60)
    })
    .await;
    let pools = format!("--pools=p={};auth={}", api.address, auth.address);
    let secret = format!("--client-secret={SECRET}");
    let options = [
        "--routes=/p=p",
        &pools,
        "--exchange-routes=/p",
        "--client-id=g",
        &secret,
        "--otlp-endpoint=http://127.0.0.1:9",
        "--trust-trace=true",
    ];
    let gateway = Gateway::start(config(&options), Clock::system(), system_resolver()).await;
    eventually("both are healthy", || async {
        gateway.healthy().await == 1 && gateway.metric(HEALTHY_AUTH).await == 1.0
    })
    .await;
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    for flags in ["01", "00"] {
        let mut wire = Wire::open(gateway.address).await;
        wire.send(format!(
            "GET /p HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\n\
             traceparent: 00-{TRACE}-b7ad6b7169203331-{flags}\r\n\r\n",
            id()
        ))
        .await;
        let reply = wire.reply().await.unwrap();
        let api_parent = seen(&reply, "traceparent").remove(0);
        let auth_parent = endpoint_traces.lock().unwrap().pop().unwrap().unwrap();
        let auth_parent = auth_parent.to_str().unwrap();
        assert!(auth_parent.starts_with(&format!("00-{TRACE}-")));
        assert!(auth_parent.ends_with(&format!("-{flags}")));
        // Each has a span of its own when the trace is recorded.
        assert_eq!(auth_parent != api_parent, flags == "01");
    }
    gateway.stop().await;
}
