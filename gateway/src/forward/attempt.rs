//! Attempts at the upstreams of a pool: which, over which connection, and what to do when one
//! fails.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{HeaderValue, Request, Response, header};
use http_body_util::Either;
use hyper::body::Incoming;

use super::{
    retry::{self, Budget, MAX_ATTEMPTS},
    spans::Trace,
};
use crate::{
    deadline::{Deadline, TICK, Ticks, Timeouts, Upload, ticks},
    problem::Refusal,
    upstream::{
        connection::Connection,
        counters::Cause,
        health::{Fault, State},
        idle::{IdleConnections, Reuse},
        pool::{Endpoint, InFlight, Pool},
        request::RequestBody,
        response::UpstreamBody,
        select::{self, Dice, Wanted},
    },
};

/// One thread's way to one pool: its connections, its budget of retries, its dice.
#[derive(Debug)]
pub(crate) struct PoolClient {
    pool: Arc<Pool>,
    idle: Rc<IdleConnections>,
    budget: RefCell<Budget>,
    dice: Dice,
    ticks: Rc<Ticks>,
    connect_timeout: Duration,
}

/// How an attempt failed.
enum Failure {
    /// Nothing of the request was sent; here it is again.
    Intact(Cause, Box<Request<RequestBody>>),
    /// It was sent at least in part. An idle connection may have been closed just then.
    Lost { over_idle: bool },
    /// Trying again would not help, or nobody is left to be answered.
    Final(Refusal),
}

impl PoolClient {
    pub(crate) fn new(
        pool: Arc<Pool>,
        timeouts: Timeouts,
        reuse: Reuse,
        ticks: &Rc<Ticks>,
    ) -> Self {
        // The standard library's own source of unpredictable numbers.
        let seed = RandomState::new().hash_one(&pool.name);
        Self {
            pool,
            idle: Rc::new(IdleConnections::new(reuse, Rc::clone(ticks))),
            budget: RefCell::new(Budget::new()),
            dice: Dice::new(seed),
            ticks: Rc::clone(ticks),
            connect_timeout: timeouts.connect,
        }
    }

    /// `passed` ticks went by.
    pub(crate) fn tick(&self, passed: u64) {
        let seconds = TICK.as_secs_f64() * passed as f64;
        self.budget.borrow_mut().pass(seconds);
    }

    /// Connections that wait for a request.
    pub(crate) fn idle(&self) -> &IdleConnections {
        &self.idle
    }

    /// Attempts until there is an answer, the cause forbids another attempt, or nobody is left to be
    /// asked: who takes no connection costs none of the attempts while others were not ejected.
    /// `repeatable` says that acting on the request twice does no more than acting on it once.
    /// Without a `Host` it gets the upstream's address as one.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        repeatable: bool,
        deadline: &impl Deadline,
        trace: &mut Trace,
    ) -> Result<Response<UpstreamBody>, Refusal> {
        self.budget.borrow_mut().request();
        let host_missing = !request.headers().contains_key(header::HOST);
        // Allocates when the first attempt has failed.
        let mut tried = Vec::new();
        let mut left = MAX_ATTEMPTS - 1;
        let mut again = false;
        let mut refusal = Refusal::NoUpstream;
        let began = self.ticks.now();
        while let Some(in_flight) = self.choose(&tried, again) {
            let Endpoint { id, address, .. } = **in_flight.endpoint();
            if host_missing && let Ok(host) = HeaderValue::try_from(address.to_string()) {
                request.headers_mut().insert(header::HOST, host);
            }
            trace.attempt(&self.pool.name, address, &mut request, tried.len());
            // Kept only for what may be sent twice.
            let spare = if repeatable { spare(&request) } else { None };
            let (cause, next) = match self.attempt(in_flight, request, deadline).await {
                Ok(response) => {
                    trace.answered(response.status());
                    return Ok(response);
                }
                Err(Failure::Final(refusal)) => {
                    trace.attempt_failed(refusal.code());
                    return Err(refusal);
                }
                Err(Failure::Intact(cause, request)) => {
                    again = false;
                    (cause, Some(*request))
                }
                Err(Failure::Lost { over_idle }) => {
                    again = over_idle;
                    (Cause::Lost, spare)
                }
            };
            tried.push(id);
            self.note_failure(cause, (id, address), trace);
            // What was sent once may have been acted on, however later attempts fail.
            refusal = match (refusal, cause) {
                (Refusal::BadGateway, _) | (_, Cause::Lost) => Refusal::BadGateway,
                _ => Refusal::Unreachable,
            };
            let Some(next) = next.filter(|next| retry::permits(cause, repeatable, is_whole(next)))
            else {
                break;
            };
            let quickly = self.ticks.now() - began < 2 * ticks(self.connect_timeout);
            if !self.may_retry(cause, quickly, &tried, &mut left) {
                break;
            }
            trace.event("statewise.gateway.retry", &[("error.type", cause.label())]);
            request = next;
        }
        Err(refusal)
    }

    /// Counts a failed attempt at a member, and says in the trace whether that one is left alone now.
    fn note_failure(&self, cause: Cause, (id, address): (u64, SocketAddr), trace: &mut Trace) {
        self.pool.counters.failed(cause).inc();
        trace.attempt_failed(cause.label());
        if !trace.is_recorded() {
            return;
        }
        let members = self.pool.members();
        let member = members.iter().find(|member| member.id == id);
        if member.is_some_and(|member| member.health.state(&self.pool.clock) == State::Ejected) {
            let upstream = address.to_string();
            trace.event(
                "statewise.gateway.ejected",
                &[("server.address", &upstream)],
            );
        }
    }

    /// The members are looked at for this moment only: the snapshot is not held while waiting.
    fn choose(&self, tried: &[u64], again: bool) -> Option<InFlight> {
        let members = self.pool.members();
        let wanted = Wanted { tried, again };
        let endpoint = select::choose(&members, wanted, &self.pool.clock, &self.dice)?;
        Some(InFlight::new(Arc::clone(endpoint)))
    }

    /// Whether there may be another attempt, of which so many are `left`. `quickly` says that no more than
    /// two members can have been waited for in vain.
    fn may_retry(&self, cause: Cause, quickly: bool, tried: &[u64], left: &mut usize) -> bool {
        // A member that refuses is ejected for it, so however many members and requests there are,
        // each costs one such attempt in half a second. One that does not answer at all is not, and
        // takes the whole time-out.
        let free = cause == Cause::Connect && quickly && self.knows_better_than(tried);
        if !free {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if !self.budget.borrow_mut().take() {
                self.pool.counters.exhausted.inc();
                return false;
            }
        }
        self.pool.counters.retries(cause).inc();
        true
    }

    /// Whether there is a member that was not tried and is not ejected.
    fn knows_better_than(&self, tried: &[u64]) -> bool {
        let clock = &self.pool.clock;
        self.pool.members().iter().any(|member| {
            !tried.contains(&member.id) && member.health.state(clock) != State::Ejected
        })
    }

    /// One attempt: over an idle connection if there is one, else over a new one.
    async fn attempt(
        &self,
        in_flight: InFlight,
        mut request: Request<RequestBody>,
        deadline: &impl Deadline,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let endpoint = in_flight.endpoint();
        loop {
            let mut connection = match self.idle.take(endpoint) {
                Some(connection) => connection,
                // Boxed: few requests connect, and the others would carry the room for it.
                None => match Box::pin(self.connect(endpoint)).await {
                    Ok(connection) => connection,
                    Err(cause) => return Err(Failure::Intact(cause, Box::new(request))),
                },
            };
            match self
                .exchange(endpoint, &mut connection, request, deadline)
                .await
            {
                Ok(response) => {
                    endpoint.health.answered();
                    self.pool.counters.answered.inc();
                    let idle = Rc::clone(&self.idle);
                    return Ok(response
                        .map(|incoming| UpstreamBody::new(incoming, connection, in_flight, idle)));
                }
                // Closed by the upstream while it was idle: it never saw the request.
                Err(Failure::Intact(cause, unsent)) if connection.reused => {
                    self.pool.counters.retries(cause).inc();
                    request = *unsent;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Box<Connection>, Cause> {
        let connecting = Connection::connect(endpoint, self.connect_timeout, self.ticks.now());
        connecting.await.map_err(|error| {
            tracing::debug!(pool = self.pool.name, upstream = %endpoint.address, %error, "connecting failed");
            if let Some(fault) = fault_of(&error) {
                self.pool.blame(endpoint, fault);
            }
            self.idle.forget(endpoint);
            Cause::Connect
        })
    }

    /// Sends over one connection and waits for the head of the answer, until the deadline.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        connection: &mut Connection,
        request: Request<RequestBody>,
        deadline: &impl Deadline,
    ) -> Result<Response<Incoming>, Failure> {
        deadline.attempt_began();
        let over_idle = connection.reused;
        let mut sending = pin!(connection.send(request));
        let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Pending if deadline.is_late() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        let mut error = match sent.await {
            Some(Ok(response)) if response.status().is_informational() => {
                // 101 without being asked for: what follows is not HTTP.
                return Err(Failure::Final(Refusal::BadGateway));
            }
            Some(Ok(response)) => return Ok(response),
            Some(Err(error)) => error,
            None if deadline.upload() == Upload::Awaited => {
                return Err(Failure::Final(Refusal::BodyTimeout));
            }
            None if deadline.upload() == Upload::Refused => {
                return Err(Failure::Final(Refusal::Overloaded));
            }
            None => {
                self.pool.counters.timed_out.inc();
                self.pool.blame(endpoint, Fault::Failed);
                return Err(Failure::Final(Refusal::GatewayTimeout));
            }
        };
        if let Some(request) = error.take_message() {
            return Err(Failure::Intact(Cause::Unsent, Box::new(request)));
        }
        let error = error.into_error();
        if deadline.upload() == Upload::Lost {
            return Err(Failure::Final(Refusal::BodyLost));
        }
        tracing::debug!(pool = self.pool.name, upstream = %endpoint.address, %error, "an attempt failed");
        self.pool.blame(endpoint, Fault::Failed);
        self.idle.forget(endpoint);
        if error.is_parse() {
            return Err(Failure::Final(Refusal::BadGateway));
        }
        Err(Failure::Lost { over_idle })
    }
}

fn is_whole(request: &Request<RequestBody>) -> bool {
    matches!(request.body(), Either::Left(_))
}

/// A copy of a request, when its body is at hand.
fn spare(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let Either::Left(body) = request.body() else {
        return None;
    };
    let mut copy = Request::new(Either::Left(body.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
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
