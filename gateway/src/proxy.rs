//! The life of a request: admit, route, prepare, send, pass on, observe.

pub(crate) mod client;
mod durations;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, Version, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};
use shared::telemetry::metrics::{self, Metrics};

use crate::{
    admin::Admin,
    deadline::{Deadline, Progress, SMALL_BYTES, Upload},
    exchange::{self, Exchange},
    forward::{
        attempt::PoolClient,
        body::{self, ResponseBody},
        retry::REPLAY_LIMIT_BYTES,
        spans::{Trace, Tracer},
    },
    front_page::FrontPage,
    headers::{self, Caller},
    hops::{self, Onward},
    memory::Memory,
    problem::{self, Refusal},
    routes::{PathRule, RouteSettings, RouteTable, Unroutable},
    upstream::{
        request::{RequestBody, Streamed},
        response::UpstreamBody,
    },
};
use client::Client;
use durations::Durations;

/// What the proxies of all threads are made of.
pub(crate) struct ProxySettings {
    pub(crate) routes: Vec<RouteSettings>,
    /// What `/` is where no route takes it.
    pub(crate) front_page: Option<Arc<FrontPage>>,
    /// For the routes that exchange session ids.
    pub(crate) exchange: Option<Arc<Exchange>>,
    pub(crate) admin: Arc<Admin>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    /// Proxies in front whose forwarding headers are kept.
    pub(crate) trusted_hops: usize,
}

/// Answers the requests of one thread.
pub(crate) struct Proxy {
    routes: RouteTable<Route>,
    /// Of what no route takes.
    unmatched: Durations,
    front_page: Option<Arc<FrontPage>>,
    admin: Arc<Admin>,
    memory: Arc<Memory>,
    tracer: Tracer,
    trusted_hops: usize,
}

/// Where the requests below one prefix go.
struct Route {
    pool: Rc<PoolClient>,
    /// What exchanges session ids, and where.
    exchange: Option<(Arc<Exchange>, Rc<PoolClient>)>,
    durations: Durations,
}

impl Proxy {
    /// `pools` are this thread's, in the order of the configuration.
    pub(crate) fn new(settings: &ProxySettings, pools: &[Rc<PoolClient>]) -> Rc<Self> {
        let with_endpoint =
            |exchange: &Arc<Exchange>| (Arc::clone(exchange), Rc::clone(&pools[exchange.pool()]));
        let exchange = settings.exchange.as_ref().map(with_endpoint);
        let routes = settings.routes.iter().map(|route| {
            let label = format!("{}/*", route.rule.prefix.trim_end_matches('/'));
            let made = Route {
                pool: Rc::clone(&pools[route.pool]),
                exchange: exchange.clone().filter(|_| route.exchanges),
                durations: Durations::new(&settings.metrics, label.into()),
            };
            (route.rule.clone(), made)
        });
        Rc::new(Self {
            routes: RouteTable::new(routes),
            unmatched: Durations::new(&settings.metrics, "unmatched".into()),
            front_page: settings.front_page.clone(),
            admin: Arc::clone(&settings.admin),
            memory: Arc::clone(&settings.memory),
            tracer: settings.tracer.clone(),
            trusted_hops: settings.trusted_hops,
        })
    }
}

/// Answers one request. Never fails: what cannot be passed on is a problem document.
pub(crate) async fn answer(
    client: Rc<Client>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let started = Instant::now();
    let proxy = &client.proxy;
    let method = metrics::method_label(request.method().as_str());
    client
        .progress
        .request_began(!request.body().is_end_stream());
    let (durations, (trace_id, outcome)) = match admit(proxy, &mut request) {
        Admitted::Own(response) => {
            return Ok(conclude(&client, response.map(body::whole)));
        }
        Admitted::Refused(refusal) => (&proxy.unmatched, (None, Err(refusal))),
        Admitted::Routed(rule, route) => (
            &route.durations,
            forward(&client, rule, route, method, request).await,
        ),
    };
    let response = outcome.unwrap_or_else(|refusal| refusal.response().map(body::whole));
    durations.observe(method, response.status().as_u16(), started, trace_id);
    Ok(conclude(&client, response))
}

/// What is to be done with a request.
enum Admitted<'a> {
    /// It is for us.
    Own(Response<Bytes>),
    Refused(Refusal),
    Routed(&'a PathRule, &'a Route),
}

/// Sees that the request means the same to us as to any reader behind us, and finds its route.
fn admit<'a>(proxy: &'a Proxy, request: &mut Request<Incoming>) -> Admitted<'a> {
    if let Err(refusal) = settle_target(request) {
        return Admitted::Refused(refusal);
    }
    let path = request.uri().path();
    if let Some(response) = proxy.admin.answer(request.method(), path, true) {
        return Admitted::Own(response);
    }
    let length = request.body().size_hint().upper();
    if proxy
        .memory
        .refuses(length.is_none_or(|length| length > SMALL_BYTES as u64))
    {
        return Admitted::Refused(Refusal::Overloaded);
    }
    let (rule, route) = match proxy.routes.find(path) {
        Ok(found) => found,
        Err(Unroutable::NoRoute) => {
            let page = proxy.front_page.as_ref().filter(|_| path == "/");
            return page.map_or(Admitted::Refused(Refusal::NoRoute), |page| {
                Admitted::Own(page.answer(request.method(), request.headers()))
            });
        }
        Err(Unroutable::Ambiguous) => {
            return Admitted::Refused(Refusal::BadRequest(
                "The path has dot segments, empty segments or encoded slashes.",
            ));
        }
    };
    if matches!(*request.method(), Method::OPTIONS | Method::TRACE) {
        match hops::count_down(request.headers_mut()) {
            Onward::Allowed => {}
            Onward::Exhausted if request.method() == Method::OPTIONS => {
                return Admitted::Own(problem::nothing());
            }
            // To send it back would show its cookies to a script that may not read them.
            Onward::Exhausted => return Admitted::Refused(Refusal::Untraced),
            Onward::Malformed => {
                return Admitted::Refused(Refusal::BadRequest("Max-Forwards is not one number."));
            }
        }
    }
    Admitted::Routed(rule, route)
}

/// RFC 9112 §3.2: one target, one host, and the absolute form overrides `Host`.
fn settle_target(request: &mut Request<Incoming>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Tunnel);
    }
    if let Some(authority) = request.uri().authority() {
        if request.uri().scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(Refusal::BadRequest(
                "The target is not one of this gateway.",
            ));
        }
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Refusal::BadRequest("The target's host is malformed."))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let headers = request.headers();
    // A name that is there twice shows in the two counts; only then is it worth looking for.
    if headers.len() != headers.keys_len() && headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Refusal::BadRequest("There is more than one Host."));
    }
    Ok(())
}

/// Gets an upstream's answer; before it the id of the trace, where one is recorded.
async fn forward(
    client: &Client,
    rule: &PathRule,
    route: &Route,
    method: &'static str,
    request: Request<Incoming>,
) -> (Option<String>, Result<Response<ResponseBody>, Refusal>) {
    let label = &route.durations.label;
    let tracer = &client.proxy.tracer;
    let mut trace = tracer.server(label, method, client.address(request.headers()), &request);
    let repeatable = request.method().is_idempotent();
    let sent = match prepare(client, rule, route, request, &mut trace).await {
        Ok(request) => {
            let deadline = &*client.progress;
            route
                .pool
                .send(request, repeatable, deadline, &mut trace)
                .await
        }
        Err(refusal) => Err(refusal),
    };
    let trace_id = trace.id();
    let outcome = match sent {
        Ok(response) => Ok(pass_on(client, response, trace)),
        Err(refusal) => {
            trace.refused(refusal);
            Err(refusal)
        }
    };
    (trace_id, outcome)
}

/// Makes the client's request into the upstream's.
async fn prepare(
    client: &Client,
    rule: &PathRule,
    route: &Route,
    request: Request<Incoming>,
    trace: &mut Trace,
) -> Result<Request<RequestBody>, Refusal> {
    let (mut head, incoming) = request.into_parts();
    let host = head.headers.get(header::HOST).cloned();
    if host.is_none() && head.version == Version::HTTP_11 {
        return Err(Refusal::BadRequest("There is no Host."));
    }
    let forwarded = client
        .forwarded(host.as_ref())
        .ok_or(Refusal::BadRequest("The Host is malformed."))?;
    headers::to_upstream(
        &mut head.headers,
        Caller {
            address: &client.peer,
            forwarded: &forwarded,
            host,
            trusted_hops: client.proxy.trusted_hops,
            trace_trusted: client.proxy.tracer.trusted,
        },
    );
    hops::sign(&mut head.headers, head.version);
    if let Some(target) = rule.rewrite(head.uri.path(), head.uri.query()) {
        head.uri = PathAndQuery::from_maybe_shared(Bytes::from(target))
            .map(Uri::from)
            .map_err(|_| Refusal::BadRequest("The path is malformed."))?;
    }
    head.version = Version::HTTP_11;
    // Whatever hyper attached (an upgrade in waiting) is of this hop.
    head.extensions.clear();
    if let Some((exchange, endpoint)) = &route.exchange
        && let Some(waiting) = exchange.begin(endpoint, &head.method, &mut head.headers, trace)?
    {
        // Boxed: few requests wait, and the others would carry the room for it.
        Box::pin(exchange::settle(waiting, &mut head.headers)).await?;
    }
    let body = take_body(&client.progress, &head.method, incoming).await?;
    Ok(Request::from_parts(head, body))
}

/// Takes a small body of an idempotent request whole, so that it can be sent again.
async fn take_body(
    progress: &Rc<Progress>,
    method: &Method,
    incoming: Incoming,
) -> Result<RequestBody, Refusal> {
    if incoming.is_end_stream() {
        return Ok(Either::Left(Full::default()));
    }
    let streamed = Streamed {
        incoming,
        progress: Rc::clone(progress),
    };
    let length = streamed.size_hint().exact();
    let small = length.is_some_and(|length| length <= REPLAY_LIMIT_BYTES);
    if small && method.is_idempotent() {
        Box::pin(read_whole(&**progress, streamed)).await
    } else {
        Ok(Either::Right(streamed))
    }
}

async fn read_whole(deadline: &impl Deadline, body: Streamed) -> Result<RequestBody, Refusal> {
    let mut collecting = pin!(body.collect());
    let collected = poll_fn(|cx| match collecting.as_mut().poll(cx) {
        Poll::Pending if deadline.upload() == Upload::Refused => {
            Poll::Ready(Err(Refusal::Overloaded))
        }
        Poll::Pending if deadline.is_late() => Poll::Ready(Err(Refusal::BodyTimeout)),
        polled => polled.map_err(|_| Refusal::BodyLost),
    });
    Ok(Either::Left(Full::new(collected.await?.to_bytes())))
}

/// Makes the upstream's answer into ours.
fn pass_on(
    client: &Client,
    response: Response<UpstreamBody>,
    trace: Trace,
) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    headers::to_client(&mut head.headers);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    client.progress.answer_began();
    let body = body::flow(body, &client.progress, trace);
    Response::from_parts(head, body)
}

/// The last touch on every answer.
fn conclude(client: &Client, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    // After a body that was not read to its end the connection cannot be used again.
    if client.proxy.admin.is_draining() || client.progress.upload() != Upload::Done {
        // The client then opens its next connection elsewhere instead of finding this one closed.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(response.body(), Either::Left(_)) {
        client.progress.answer_ended();
    }
    response
}
