//! One exchange over the gateway's own data path: chosen, retried, blamed and measured like a
//! client's request, but with a deadline of its own and nobody's connection to end with.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use hyper::body::{Body, Incoming};
use shared::config::Secret;

use super::{cache::Landed, credential::OpaqueId, reply::Reply};
use crate::{
    metrics::Exchanged,
    problems::Refusal,
    proxy::{
        attempt::{self, Answer, Caller, Prepared},
        body::RequestBody,
        spans::{self, Detached},
    },
    server::{client::Upload, worker::Worker},
    upstream::link::Link,
};

/// The most of an answer that is read, in bytes.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

/// Where and as whom to ask.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Index of the pool.
    pub(super) pool: usize,
    pub(super) path: Uri,
    /// In characters that need no encoding.
    pub(super) audience: Option<String>,
    /// HTTP Basic, RFC 6749 §2.3.1.
    pub(super) authorization: Secret<HeaderValue>,
    pub(super) timeout: Duration,
}

/// The trace that an exchange is part of.
pub(super) struct Trace {
    /// Headers that the client's request has, for when no span is made here.
    pub(super) headers: HeaderMap,
    pub(super) parent: Option<Detached>,
}

/// Asks once, and again where the data path may.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    id: &OpaqueId,
    trace: Trace,
) -> Landed {
    let asked = Instant::now();
    let caller = Patience {
        worker: Rc::clone(worker),
        deadline: asked + endpoint.timeout,
    };
    let exchange = exchange(&caller, endpoint, id, trace);
    // The deadline wakes the attempt first, which then notes against the upstream that it is late.
    let reply = match tokio::time::timeout(endpoint.timeout, exchange).await {
        Ok(reply) => reply,
        Err(_) => Err(Refusal::GatewayTimeout),
    };
    let (outcome, landed) = match reply {
        Ok(Reply::Token(authorization, lives)) => (
            Exchanged::Token,
            Landed::Token {
                authorization,
                lives,
                asked,
            },
        ),
        Ok(Reply::Unknown) => (Exchanged::Unknown, Landed::Unknown),
        Ok(Reply::Refused) => (Exchanged::Refused, Landed::Undecided),
        Ok(Reply::Failed) => (Exchanged::Failed, Landed::Undecided),
        Err(_) => (Exchanged::Unreachable, Landed::Undecided),
    };
    let metrics = &worker.shared.families.exchange;
    metrics.exchanged(outcome, asked.elapsed());
    landed
}

async fn exchange(
    caller: &Patience,
    endpoint: &Endpoint,
    id: &OpaqueId,
    trace: Trace,
) -> Result<Reply, Refusal> {
    let prepared = Prepared {
        request: request(endpoint, id, trace.headers),
        // The address of the upstream will do.
        host_missing: true,
        // A token more changes nothing.
        repeatable: true,
    };
    let parent = trace
        .parent
        .as_ref()
        .map(|parent| parent as &dyn spans::Parent);
    let answer = attempt::run(caller, endpoint.pool, prepared, parent).await?;
    let Answer {
        response,
        mut link,
        in_flight,
        mut span,
    } = answer;
    let (head, mut incoming) = response.into_parts();
    spans::received(&mut span, head.status);
    let body = collect(&mut link, &mut incoming).await?;
    let worker = &caller.worker;
    worker.links.put(in_flight.endpoint(), link, worker);
    let reply = super::reply::read(head.status, &body);
    if reply == Reply::Refused {
        // The status only: what an endpoint writes may repeat what it was sent.
        tracing::warn!(
            status = head.status.as_u16(),
            "the token endpoint refuses the gateway; see GATEWAY_CLIENT_ID and AUTH_CLIENTS"
        );
    }
    Ok(reply)
}

fn request(endpoint: &Endpoint, id: &OpaqueId, trace: HeaderMap) -> Request<RequestBody> {
    // The alphabet of ids needs no encoding in a form.
    let mut form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &subject_token={}\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
        id.expose()
    );
    if let Some(audience) = &endpoint.audience {
        form.push_str("&audience=");
        form.push_str(audience);
    }
    let mut request = Request::new(RequestBody::Whole(Some(Bytes::from(form))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.path.clone();
    let headers = request.headers_mut();
    *headers = trace;
    headers.insert(
        header::AUTHORIZATION,
        endpoint.authorization.expose().clone(),
    );
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}

/// Reads an answer whole.
async fn collect(link: &mut Link, incoming: &mut Incoming) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    while !incoming.is_end_stream() {
        let frame = poll_fn(|cx| link.drive(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)));
        match frame.await {
            None => break,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    whole.extend_from_slice(&data);
                }
            }
            Some(Err(_)) => return Err(Refusal::BadGateway),
        }
        if whole.len() > ANSWER_LIMIT_BYTES {
            return Err(Refusal::BadGateway);
        }
    }
    Ok(whole.freeze())
}

/// Who waits for an exchange: nobody's connection, until a deadline.
struct Patience {
    worker: Rc<Worker>,
    deadline: Instant,
}

impl Caller for Patience {
    fn worker(&self) -> &Worker {
        &self.worker
    }

    fn attempt_began(&self) {}

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn upload(&self) -> Upload {
        Upload::Done
    }
}
