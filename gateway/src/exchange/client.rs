//! One exchange over the gateway's own data path: chosen, retried, blamed and measured like a
//! client's request, but with a deadline of its own and nobody's connection to end with.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Either, Full, Limited};

use super::{
    ExchangeSettings,
    credential::OpaqueId,
    response::{self, Reply},
};
use crate::{
    forward::{attempt::PoolClient, spans::Trace},
    upstream::request::RequestBody,
};

/// The most of an answer that is read, in bytes.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

/// Asks once, and again where the data path may, until `timeout` after `asked`.
pub(super) async fn ask(
    endpoint: &Rc<PoolClient>,
    request: Request<RequestBody>,
    asked: Instant,
    timeout: Duration,
    mut trace: Trace,
) -> Reply {
    let deadline = asked + timeout;
    let exchange = async {
        // A token more changes nothing, so the request may be sent twice.
        let sent = endpoint.send(request, true, &deadline, &mut trace).await;
        let (head, body) = sent.ok()?.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT_BYTES).collect().await;
        Some(response::read(head.status, &body.ok()?.to_bytes()))
    };
    // The deadline wakes the attempt first, which then notes against the upstream that it is late.
    let reply = tokio::time::timeout(timeout, exchange).await;
    reply.ok().flatten().unwrap_or(Reply::Unreachable)
}

/// Asks for a token for the session with this id, as part of the trace that `headers` carry.
pub(super) fn request(
    settings: &ExchangeSettings,
    id: &OpaqueId,
    mut headers: HeaderMap,
) -> Request<RequestBody> {
    // The alphabet of ids needs no encoding in a form.
    let mut form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &subject_token={}\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
        id.expose()
    );
    if let Some(audience) = &settings.audience {
        form.push_str("&audience=");
        form.push_str(audience);
    }
    headers.extend([
        (header::AUTHORIZATION, settings.authorization.clone()),
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        ),
        (header::ACCEPT, HeaderValue::from_static("application/json")),
    ]);
    let mut request = Request::new(Either::Left(Full::from(form)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = settings.path.clone();
    *request.headers_mut() = headers;
    request
}
