//! The phantom token: an opaque session id outside, a short-lived token inside (RFC 8693).
//!
//! The gateway asks the token endpoint what a session id is worth and puts the token that it gets
//! into the request. It neither reads the token nor verifies anything: whoever presents no session
//! id gets what the API says (`docs/adr/0010`).

mod cache;
mod client;
mod credential;
pub(crate) mod metrics;
mod response;

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use shared::telemetry::{
    metrics::Metrics,
    trace::{TRACEPARENT, TRACESTATE},
};

use crate::{
    forward::{attempt::PoolClient, spans::Trace},
    problem::Refusal,
};
use cache::{Cache, Flight, Lookup, Verdict, Waiting};
use metrics::{ExchangeMetrics, KeptTokens};

/// Where and as whom session ids are exchanged.
#[derive(Clone, Debug)]
pub struct ExchangeSettings {
    /// Index of the token endpoint's pool in the configuration's pools.
    pub pool: usize,
    /// The token endpoint, RFC 8693.
    pub path: Uri,
    /// The audience to ask for, if any, in characters that need no encoding in a form.
    pub audience: Option<String>,
    /// HTTP Basic, RFC 6749 §2.3.1, marked as sensitive.
    pub authorization: HeaderValue,
    /// Most tokens kept.
    pub cache: usize,
    /// Deadline of an exchange.
    pub timeout: Duration,
}

/// Exchanges session ids for tokens and keeps those, for all threads.
pub(crate) struct Exchange {
    settings: ExchangeSettings,
    cache: Arc<Cache>,
    metrics: ExchangeMetrics,
}

impl Exchange {
    /// An exchange without tokens yet.
    pub(crate) fn new(
        settings: ExchangeSettings,
        counters: ExchangeMetrics,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let cache = Cache::new(settings.cache);
        let kept = KeptTokens(Arc::clone(&cache));
        metrics.register(|registry| registry.register_collector(Box::new(kept)));
        Arc::new(Self {
            settings,
            cache,
            metrics: counters,
        })
    }

    /// Index of the token endpoint's pool in the configuration's pools.
    pub(crate) fn pool(&self) -> usize {
        self.settings.pool
    }

    /// Puts a token in the place of the session id of a request, when it has one and the token is
    /// at hand. Otherwise returns the exchange to wait for, which runs at `endpoint`.
    ///
    /// # Errors
    ///
    /// Another site had the session's cookie sent to change something.
    pub(crate) fn begin(
        self: &Arc<Self>,
        endpoint: &Rc<PoolClient>,
        method: &Method,
        headers: &mut HeaderMap,
        trace: &mut Trace,
    ) -> Result<Option<Waiting>, Refusal> {
        let Some(id) = credential::find(method, headers)? else {
            return Ok(None);
        };
        let (counter, waiting) = match self.cache.look(id, Instant::now()) {
            Lookup::Kept(authorization) => {
                trace.exchanged("kept", None);
                credential::replace(headers, authorization);
                (&self.metrics.hits, None)
            }
            Lookup::Aging(authorization, flight) => {
                trace.exchanged("kept", None);
                self.spawn(endpoint, flight, headers, trace);
                credential::replace(headers, authorization);
                (&self.metrics.hits, None)
            }
            Lookup::Join(waiting) => {
                trace.exchanged("shared", waiting.leader());
                (&self.metrics.joins, Some(waiting))
            }
            Lookup::Lead(flight, waiting) => {
                trace.exchanged("asked", None);
                self.spawn(endpoint, flight, headers, trace);
                (&self.metrics.misses, Some(waiting))
            }
        };
        counter.inc();
        Ok(waiting)
    }

    /// Exchanges on this thread, whatever becomes of the request that made it necessary: others
    /// may be waiting for the same.
    fn spawn(
        self: &Arc<Self>,
        endpoint: &Rc<PoolClient>,
        flight: Flight,
        headers: &HeaderMap,
        trace: &Trace,
    ) {
        let request = client::request(&self.settings, flight.id(), trace_headers(headers));
        let (exchange, endpoint) = (Arc::clone(self), Rc::clone(endpoint));
        flight.led_by(trace.handle());
        let trace = Trace::below(trace.parent());
        tokio::task::spawn_local(async move {
            let asked = Instant::now();
            let timeout = exchange.settings.timeout;
            let reply = client::ask(&endpoint, request, asked, timeout, trace).await;
            exchange.metrics.ended(reply.label(), asked.elapsed());
            flight.finish(reply, asked);
        });
    }
}

/// Waits for an exchange and puts the token into the request. A session that is unknown is left in
/// it, so that the API gives the one answer for that.
pub(crate) async fn settle(waiting: Waiting, headers: &mut HeaderMap) -> Result<(), Refusal> {
    match waiting.verdict().await {
        Verdict::Token(authorization) => {
            credential::replace(headers, authorization);
            Ok(())
        }
        Verdict::Unknown => Ok(()),
        Verdict::Undecided => Err(Refusal::ExchangeUnavailable),
    }
}

fn trace_headers(headers: &HeaderMap) -> HeaderMap {
    [TRACEPARENT, TRACESTATE]
        .into_iter()
        .map(HeaderName::from_static)
        .filter_map(|name| {
            let value = headers.get(&name)?.clone();
            Some((name, value))
        })
        .collect()
}
