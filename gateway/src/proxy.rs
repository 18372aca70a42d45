//! The life of a request: admit, route, prepare, attempt (again), pass on, observe.

pub(crate) mod attempt;
pub(crate) mod body;
pub(crate) mod spans;

use std::{convert::Infallible, rc::Rc, sync::atomic::Ordering, time::Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, Uri, Version, header, uri::PathAndQuery};
use hyper::body::{Body, Incoming};
use shared::telemetry::{metrics, trace::Span};

use crate::{
    admin,
    exchange::Step,
    headers::{self, Caller},
    problems::Refusal,
    retry::REPLAY_LIMIT_BYTES,
    routes::Unroutable,
    server::client::{Client, Upload},
};
use attempt::{Answer, Prepared};
use body::{Flow, RequestBody, ResponseBody};
use spans::Parent;

/// Label of what no route takes.
const UNMATCHED: usize = usize::MAX;

/// Answers one request. Never fails: what cannot be passed on is a problem document.
pub(crate) async fn answer(
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let started = Instant::now();
    let method = metrics::method_label(request.method().as_str());
    client.begin(!request.body().is_end_stream());
    let (route, outcome) = match admit(&client, request) {
        Admitted::Own(response) => {
            return Ok(conclude(&client, response.map(ResponseBody::whole)));
        }
        Admitted::Refused(refusal) => (UNMATCHED, Err(refusal)),
        Admitted::Routed(route, request) => (route, forward(&client, route, method, request).await),
    };
    let response = outcome.unwrap_or_else(|refusal| refusal.response().map(ResponseBody::whole));
    let worker = &client.worker;
    let label = route.min(worker.shared.route_labels.len());
    worker.observe(method, label, response.status().as_u16(), started);
    Ok(conclude(&client, response))
}

/// What is to be done with a request.
enum Admitted {
    /// It is for us.
    Own(Response<Bytes>),
    Refused(Refusal),
    /// The index of its route.
    Routed(usize, Request<Incoming>),
}

/// Sees that the request means the same to us as to any reader behind us, and finds its route.
fn admit(client: &Client, mut request: Request<Incoming>) -> Admitted {
    if let Err(refusal) = settle_target(&mut request) {
        return Admitted::Refused(refusal);
    }
    let shared = &client.worker.shared;
    let path = request.uri().path();
    if let Some(response) = admin::answer(shared, request.method(), path, true) {
        return Admitted::Own(response);
    }
    match shared.routes.find(path) {
        Ok(route) => Admitted::Routed(route, request),
        Err(Unroutable::NoRoute) => Admitted::Refused(Refusal::NoRoute),
        Err(Unroutable::Ambiguous) => Admitted::Refused(Refusal::BadRequest(
            "The path has dot segments, empty segments or encoded slashes.",
        )),
    }
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

/// Gets an upstream's answer.
async fn forward(
    client: &Rc<Client>,
    route: usize,
    method: &'static str,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Refusal> {
    let shared = &client.worker.shared;
    let mut server_span = spans::server(client, route, method, &request);
    let pool = shared.route_pools[route];
    let parent = server_span.as_deref().map(|span| span as &dyn Parent);
    let outcome = match prepare(client, route, request, parent).await {
        Ok(prepared) => attempt::run(&**client, pool, prepared, parent).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(answer) => Ok(pass_on(client, answer, server_span)),
        Err(refusal) => {
            if let Some(span) = &mut server_span {
                spans::refused(span, refusal);
            }
            Err(refusal)
        }
    }
}

/// Makes the client's request into the upstream's.
async fn prepare(
    client: &Rc<Client>,
    route: usize,
    request: Request<Incoming>,
    parent: Option<&dyn Parent>,
) -> Result<Prepared, Refusal> {
    let shared = &client.worker.shared;
    let (mut head, incoming) = request.into_parts();
    let host = head.headers.get(header::HOST).cloned();
    if host.is_none() && head.version == Version::HTTP_11 {
        return Err(Refusal::BadRequest("There is no Host."));
    }
    let host_missing = host.is_none();
    let forwarded = client
        .forwarded(host.as_ref())
        .ok_or(Refusal::BadRequest("The Host is malformed."))?;
    headers::to_upstream(
        &mut head.headers,
        Caller {
            address: &client.address,
            forwarded: &forwarded,
            host,
            trusted: shared.trust_forwarded,
            trace_trusted: shared.trust_trace,
        },
    );
    if let Some(target) = shared.routes.rewrite(route, &head.uri) {
        head.uri = PathAndQuery::from_maybe_shared(Bytes::from(target))
            .map(Uri::from)
            .map_err(|_| Refusal::BadRequest("The path is malformed."))?;
    }
    head.version = Version::HTTP_11;
    // Whatever hyper attached (an upgrade in waiting) is of this hop.
    head.extensions.clear();
    if let Some(exchange) = &shared.route_exchanges[route]
        && let Step::Wait(pending) = exchange.begin(&client.worker, &mut head.headers, parent)
    {
        // Boxed: few requests wait, and the others would carry the room for it.
        Box::pin(pending.settle(&mut head.headers)).await?;
    }
    let body = take_body(client, &head.method, incoming).await?;
    Ok(Prepared {
        repeatable: head.method.is_idempotent(),
        request: Request::from_parts(head, body),
        host_missing,
    })
}

/// Takes a small body of an idempotent request whole, so that it can be sent again.
async fn take_body(
    client: &Rc<Client>,
    method: &Method,
    incoming: Incoming,
) -> Result<RequestBody, Refusal> {
    if incoming.is_end_stream() {
        return Ok(RequestBody::empty());
    }
    let streamed = RequestBody::Streamed {
        client: Rc::clone(client),
        incoming,
    };
    let small = streamed
        .size_hint()
        .exact()
        .is_some_and(|length| length <= REPLAY_LIMIT_BYTES);
    if small && method.is_idempotent() {
        Box::pin(read_whole(client, streamed)).await
    } else {
        Ok(streamed)
    }
}

async fn read_whole(client: &Client, mut body: RequestBody) -> Result<RequestBody, Refusal> {
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| {
        let polled = std::pin::Pin::new(&mut body).poll_frame(cx);
        if polled.is_pending() && client.is_late() {
            return std::task::Poll::Ready(Some(Err(Refusal::BodyTimeout)));
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(|_| Refusal::BodyLost)))
    })
    .await
    {
        if let Ok(data) = frame?.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(RequestBody::Whole(
        Some(whole.freeze()).filter(|bytes| !bytes.is_empty()),
    ))
}

/// Makes the upstream's answer into ours.
fn pass_on(
    client: &Rc<Client>,
    answer: Answer,
    server_span: Option<Box<Span>>,
) -> Response<ResponseBody> {
    let (mut head, incoming) = answer.response.into_parts();
    headers::to_client(&mut head.headers);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let spans = match (server_span, answer.span) {
        (Some(server), Some(attempt)) => spans::answered(server, attempt, head.status),
        _ => None,
    };
    client.answer_began();
    let body = ResponseBody::upstream(Flow {
        incoming,
        link: Some(answer.link),
        in_flight: answer.in_flight,
        client: Rc::clone(client),
        spans,
        broken: None,
    });
    Response::from_parts(head, body)
}

/// The last touch on every answer.
fn conclude(client: &Client, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let draining = client.worker.shared.draining.load(Ordering::Relaxed);
    // After a body that was not read to its end the connection cannot be used again.
    if draining || client.upload() != Upload::Done {
        // The client then opens its next connection elsewhere instead of finding this one closed.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !response.body().is_upstream() {
        client.answer_ended();
    }
    response
}
