//! The phantom token: an opaque session id outside, a short-lived token inside (RFC 8693).
//!
//! The gateway asks the token endpoint what a session id is worth and puts the token that it gets
//! into the request. It neither reads the token nor verifies anything: whoever presents no session
//! id gets what the API says (`docs/adr/0010`).

mod ask;
mod cache;
mod credential;
mod reply;

use std::{rc::Rc, sync::Arc, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use shared::{
    config::Secret,
    telemetry::trace::{TRACEPARENT, TRACESTATE},
};

use crate::{
    config::ExchangeSettings,
    metrics::Looked,
    problems::Refusal,
    proxy::spans::{Detached, Parent},
    server::worker::Worker,
};
use ask::{Endpoint, Trace};
use cache::{Cache, Flight, Lookup, Verdict, Waiting};

/// Exchanges session ids for tokens and keeps those.
pub(crate) struct Exchange {
    endpoint: Endpoint,
    cache: Arc<Cache>,
}

/// What is to be done before a request is passed on.
pub(crate) enum Step {
    /// Nothing (more): its credential is as the API is to see it.
    Ready,
    /// Wait for an exchange.
    Wait(Pending),
}

/// An exchange that a request waits for.
pub(crate) struct Pending(Waiting);

impl Exchange {
    /// An exchange at the pool of this index.
    pub(crate) fn new(settings: &ExchangeSettings, pool: usize) -> Result<Self, http::Error> {
        let pair = format!("{}:{}", settings.client_id, settings.client_secret.expose());
        let mut authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
        authorization.set_sensitive(true);
        Ok(Self {
            endpoint: Endpoint {
                pool,
                path: Uri::try_from(settings.path.as_str())?,
                audience: settings.audience.clone(),
                authorization: Secret::new(authorization),
                timeout: settings.timeout,
            },
            cache: Cache::new(settings.cache),
        })
    }

    /// Tokens kept now.
    pub(crate) fn kept(&self) -> usize {
        self.cache.len()
    }

    /// Puts a token in the place of the session id of a request, when it has one and the token is
    /// at hand.
    pub(crate) fn begin(
        self: &Arc<Self>,
        worker: &Rc<Worker>,
        headers: &mut HeaderMap,
        parent: Option<&dyn Parent>,
    ) -> Step {
        let Some(id) = credential::find(headers) else {
            return Step::Ready;
        };
        let metrics = &worker.shared.families.exchange;
        let looked = match self.cache.look(id, Instant::now()) {
            Lookup::Kept(authorization) => {
                credential::replace(headers, authorization);
                (Looked::Hit, Step::Ready)
            }
            Lookup::Aging(authorization, flight) => {
                self.fly(worker, flight, headers, parent);
                credential::replace(headers, authorization);
                (Looked::Hit, Step::Ready)
            }
            Lookup::Join(waiting) => (Looked::Joined, Step::Wait(Pending(waiting))),
            Lookup::Lead(flight, waiting) => {
                self.fly(worker, flight, headers, parent);
                (Looked::Miss, Step::Wait(Pending(waiting)))
            }
        };
        metrics.looked(looked.0);
        looked.1
    }

    /// Exchanges on this thread, whatever becomes of the request that made it necessary: others
    /// may be waiting for the same.
    fn fly(
        self: &Arc<Self>,
        worker: &Rc<Worker>,
        flight: Flight,
        headers: &HeaderMap,
        parent: Option<&dyn Parent>,
    ) {
        let trace = Trace {
            headers: trace_headers(headers),
            parent: parent.map(Detached::of),
        };
        let (exchange, worker) = (Arc::clone(self), Rc::clone(worker));
        tokio::task::spawn_local(async move {
            let landed = ask::ask(&worker, &exchange.endpoint, flight.id(), trace).await;
            flight.land(landed);
        });
    }
}

impl Pending {
    /// Waits, and puts the token into the request. A session that is unknown is left in it, so that
    /// the API gives the one answer for that.
    pub(crate) async fn settle(self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        match self.0.verdict().await {
            Verdict::Token(authorization) => {
                credential::replace(headers, authorization);
                Ok(())
            }
            Verdict::Unknown => Ok(()),
            Verdict::Undecided => Err(Refusal::ExchangeUnavailable),
        }
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
