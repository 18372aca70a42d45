//! Attempts at upstreams: which, over which connection, and what to do when one fails.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use shared::telemetry::trace::Span;

use super::{
    body::RequestBody,
    spans::{self, Parent},
};
use crate::{
    metrics::Outcome,
    problems::Refusal,
    retry::{Cause, MAX_ATTEMPTS},
    server::{
        client::{Client, Upload},
        worker::Worker,
    },
    upstream::{
        InFlight, Pool,
        health::Fault,
        link::Link,
        select::{self, Wanted},
    },
};

/// A request as an upstream is to see it.
pub(crate) struct Prepared {
    pub(crate) request: Request<RequestBody>,
    /// It came without a `Host`, as HTTP/1.0 may.
    pub(crate) host_missing: bool,
    /// Acting on it twice does no more than acting on it once.
    pub(crate) repeatable: bool,
}

/// Who waits for an answer, and for how long.
pub(crate) trait Caller {
    /// The thread that it all happens on.
    fn worker(&self) -> &Worker;
    /// Another upstream, or the first, gets its time to answer.
    fn attempt_began(&self);
    /// Whether the deadline has passed.
    fn is_late(&self) -> bool;
    /// State of the request's body.
    fn upload(&self) -> Upload;
}

impl Caller for Client {
    fn worker(&self) -> &Worker {
        &self.worker
    }

    fn attempt_began(&self) {
        Client::attempt_began(self);
    }

    fn is_late(&self) -> bool {
        Client::is_late(self)
    }

    fn upload(&self) -> Upload {
        Client::upload(self)
    }
}

/// The head of an upstream's answer and what its body needs.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) link: Box<Link>,
    pub(crate) in_flight: InFlight,
    pub(crate) span: Option<Box<Span>>,
}

/// How an attempt failed.
enum Failure {
    /// Nothing of the request was sent; here it is again.
    Intact(Cause, Box<Request<RequestBody>>),
    /// It was sent at least in part.
    Spent,
    /// Trying again would not help, or nobody is left to be answered.
    Final(Refusal),
}

/// Attempts until there is an answer, the cause forbids another attempt, or the budget is used up.
pub(crate) async fn run(
    caller: &impl Caller,
    pool: usize,
    prepared: Prepared,
    server_span: Option<&dyn Parent>,
) -> Result<Answer, Refusal> {
    let worker = caller.worker();
    let budget = &worker.budgets[pool];
    let pool = &worker.shared.pools[pool];
    budget.borrow_mut().request();
    let mut request = prepared.request;
    let repeatable = prepared.repeatable;
    let mut tried = [u64::MAX; MAX_ATTEMPTS];
    let mut again = false;
    let mut refusal = Refusal::NoUpstream;
    for attempt in 0..MAX_ATTEMPTS {
        let wanted = Wanted {
            tried: &tried[..attempt],
            again,
        };
        let Some(in_flight) = choose(worker, pool, wanted) else {
            break;
        };
        tried[attempt] = in_flight.endpoint().id;
        if prepared.host_missing {
            // HTTP/1.1 may not go without.
            let address = in_flight.endpoint().address.to_string();
            if let Ok(value) = HeaderValue::try_from(address) {
                request.headers_mut().insert(header::HOST, value);
            }
        }
        let mut span = server_span
            .map(|server| spans::attempt(server, pool, &in_flight, &mut request, attempt));
        // Kept only for what may be sent twice.
        let spare = if repeatable { spare(&request) } else { None };
        let failure = match once(caller, pool, &in_flight, request).await {
            Ok((response, link)) => {
                pool.metrics.attempt(Outcome::Answered);
                in_flight.endpoint().health.answered();
                return Ok(Answer {
                    response,
                    link,
                    in_flight,
                    span,
                });
            }
            Err((failure, reused)) => {
                again = reused;
                failure
            }
        };
        let (cause, next) = match failure {
            Failure::Final(refusal) => {
                spans::failed(&mut span, refusal.code());
                return Err(refusal);
            }
            Failure::Intact(cause, request) => (cause, Some(*request)),
            Failure::Spent => (Cause::Lost, spare),
        };
        spans::failed(&mut span, cause.label());
        pool.metrics.attempt(Outcome::Failed(cause));
        // What was sent once may have been acted on, however later attempts fail.
        if refusal != Refusal::BadGateway {
            refusal = match cause {
                Cause::Connect | Cause::Unsent => Refusal::Unreachable,
                Cause::Lost => Refusal::BadGateway,
            };
        }
        let Some(next) = next.filter(|next| cause.permits(repeatable, next.body().is_whole()))
        else {
            break;
        };
        if attempt + 1 == MAX_ATTEMPTS {
            break;
        }
        if !budget.borrow_mut().take() {
            pool.metrics.exhausted.inc();
            break;
        }
        pool.metrics.retry(cause);
        request = next;
    }
    Err(refusal)
}

/// The members are looked at for this moment only: the snapshot is not held while waiting.
fn choose(worker: &Worker, pool: &Pool, wanted: Wanted<'_>) -> Option<InFlight> {
    let members = pool.members();
    let endpoint = select::choose(&members, wanted, &pool.clock, &worker.dice)?;
    Some(InFlight::new(Arc::clone(endpoint)))
}

/// A copy of a request, when its body is at hand.
fn spare(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = request.body().again()?;
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// One attempt: over an idle connection if there is one, else over a new one. A failure comes with
/// whether its connection had been used before, when an idle one may have been closed just then.
async fn once(
    caller: &impl Caller,
    pool: &Pool,
    in_flight: &InFlight,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Box<Link>), (Failure, bool)> {
    let worker = caller.worker();
    let endpoint = in_flight.endpoint();
    while let Some(mut link) = worker.links.take(endpoint, worker) {
        match send(caller, pool, in_flight, &mut link, request).await {
            Ok(response) => return Ok((response, link)),
            // Closed by the upstream while it was idle: it never saw the request.
            Err(Failure::Intact(cause, unsent)) => {
                pool.metrics.retry(cause);
                request = *unsent;
            }
            Err(failure) => return Err((failure, true)),
        }
    }
    let timeout = worker.shared.timeouts.connect;
    let connecting = Box::pin(Link::connect(endpoint, timeout, worker.now()));
    let mut link = match connecting.await {
        Ok(link) => link,
        Err(error) => {
            tracing::debug!(pool = pool.name, upstream = %endpoint.address, %error, "connecting failed");
            if let Some(fault) = fault_of(&error) {
                pool.blame(endpoint, fault);
            }
            worker.links.forget(endpoint);
            return Err((Failure::Intact(Cause::Connect, Box::new(request)), false));
        }
    };
    match send(caller, pool, in_flight, &mut link, request).await {
        Ok(response) => Ok((response, link)),
        Err(failure) => Err((failure, false)),
    }
}

/// Sends over one connection and waits for the head of the answer, until the deadline.
async fn send(
    caller: &impl Caller,
    pool: &Pool,
    in_flight: &InFlight,
    link: &mut Link,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, Failure> {
    caller.attempt_began();
    let endpoint = in_flight.endpoint();
    let mut sending = pin!(link.send(request));
    let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
        Poll::Pending if caller.is_late() => Poll::Ready(None),
        polled => polled.map(Some),
    });
    let mut error = match sent.await {
        Some(Ok(response)) if response.status().is_informational() => {
            // 101 without being asked for: what follows is not HTTP.
            return Err(Failure::Final(Refusal::BadGateway));
        }
        Some(Ok(response)) => return Ok(response),
        Some(Err(error)) => error,
        None if caller.upload() == Upload::Awaited => {
            return Err(Failure::Final(Refusal::BodyTimeout));
        }
        None => {
            pool.metrics.attempt(Outcome::TimedOut);
            pool.blame(endpoint, Fault::Failed);
            return Err(Failure::Final(Refusal::GatewayTimeout));
        }
    };
    if let Some(request) = error.take_message() {
        return Err(Failure::Intact(Cause::Unsent, Box::new(request)));
    }
    let error = error.into_error();
    if caller.upload() == Upload::Lost {
        return Err(Failure::Final(Refusal::BodyLost));
    }
    tracing::debug!(pool = pool.name, upstream = %endpoint.address, %error, "an attempt failed");
    pool.blame(endpoint, Fault::Failed);
    caller.worker().links.forget(endpoint);
    if error.is_parse() {
        return Err(Failure::Final(Refusal::BadGateway));
    }
    Err(Failure::Spent)
}

/// What a failed connection says of the upstream; `None` when the fault is on our side, such as
/// too many open files.
fn fault_of(error: &io::Error) -> Option<Fault> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Some(Fault::Refused),
        io::ErrorKind::TimedOut => Some(Fault::Failed),
        _ => None,
    }
}
