//! `introspection`: an opaque id that the authorization server is asked about, RFC 7662.
//!
//! | the server says | verdict |
//! | --- | --- |
//! | `"active": true` | the principal |
//! | `"active": false` | 401 |
//! | anything else: nothing, an error, that it does not know us, a document that is not one | undecidable |
//!
//! However many requests present one id at a time, one call serves them all. A server that fails is
//! left alone for a while ([`breaker`]). Answers are kept only when configured, only when they say
//! that the session is active, and never past its end.

mod breaker;
mod client;
mod known;
mod observe;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use actix_web::{HttpRequest, rt};
use shared::{server::Missing, session::SessionId, telemetry::trace::TraceHandle};
use tokio::sync::watch;

use self::{breaker::Breaker, client::Client, known::KnownActive, observe::Calls};
use super::{Open, Outcome, Pending, Strategy, session::presented, sources::OfProcess};
use crate::{IntrospectionSettings, error::Refusal, extract::Principal};

const NAME: &str = "introspection";

/// What the server said of a credential: whose it is, or that it is nobody's; or why it said
/// nothing of use.
type Answer = Result<Option<Rc<Principal>>, Rc<str>>;

/// Asks over this thread's connections.
struct Introspection(Rc<Inner>);

struct Inner {
    client: Client,
    breaker: Breaker,
    known: Option<KnownActive>,
    /// The calls under way, by id.
    under_way: RefCell<HashMap<String, watch::Receiver<Option<Answer>>>>,
    calls: Calls,
}

/// Prepares the strategy.
pub(super) fn prepare(
    settings: &IntrospectionSettings,
    process: &OfProcess<'_>,
) -> Result<Open, reqwest::Error> {
    let settings = settings.clone();
    let calls = Calls::register(process.metrics);
    // What cannot be built ends the start. Each thread then has connections of its own, which its
    // runtime drives.
    let client = Client::new(&settings)?;
    Ok(Arc::new(move |_| {
        Rc::new(Introspection(Rc::new(Inner {
            client: Client::new(&settings).unwrap_or_else(|_| client.clone()),
            breaker: Breaker::default(),
            known: KnownActive::new(settings.cache),
            under_way: RefCell::default(),
            calls: calls.clone(),
        })))
    }))
}

impl Strategy for Introspection {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify<'a>(
        &'a self,
        request: &'a HttpRequest,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let id = presented(request)?;
            if let Some(known) = &self.0.known {
                if let Some(principal) = known.find(&id, now) {
                    self.0.calls.hits.inc();
                    return Ok(principal);
                }
                self.0.calls.misses.inc();
            }
            match self.0.ask(&id, now, trace).await {
                Ok(Some(principal)) => Ok(principal),
                Ok(None) => Err(Refusal::Invalid("session_unknown")),
                Err(reason) => Err(Refusal::Undecidable((*reason).to_owned())),
            }
        })
    }

    fn missing(&self) -> Pending<'_, Option<Missing>> {
        Box::pin(async move {
            let reason = self.0.probe().await.err()?;
            Some(Missing {
                name: "introspection",
                reason: (*reason).to_owned(),
            })
        })
    }
}

impl Inner {
    /// Waits for the call about this id that is under way, or makes it.
    async fn ask(self: &Rc<Self>, id: &SessionId, now: u64, trace: Option<&TraceHandle>) -> Answer {
        let waiting = self.under_way.borrow().get(id.expose()).cloned();
        let mut answer = match waiting {
            Some(answer) => {
                self.calls.shared.inc();
                answer
            }
            None => {
                if !self.breaker.admits() {
                    self.calls.broken.inc();
                    return Err("the authorization server failed just now".into());
                }
                self.begin(id, now, trace)
            }
        };
        match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer
                .clone()
                .unwrap_or_else(|| Err("there is no answer".into())),
            // The worker is about to end.
            Err(_) => Err("the call was given up".into()),
        }
    }

    /// Makes the call apart from the request: it goes on for others when the one that caused it is
    /// gone, and ends by its deadline in any case.
    fn begin(
        self: &Rc<Self>,
        id: &SessionId,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> watch::Receiver<Option<Answer>> {
        let (publish, answer) = watch::channel(None);
        self.under_way
            .borrow_mut()
            .insert(id.expose().to_owned(), answer.clone());
        let (inner, id, trace) = (Rc::clone(self), id.clone(), trace.cloned());
        rt::spawn(async move {
            let answer = inner.call(&id, trace.as_ref()).await;
            if let (Some(known), Ok(Some(principal))) = (&inner.known, &answer) {
                known.insert(&id, principal, now);
            }
            inner.under_way.borrow_mut().remove(id.expose());
            // Nobody may be waiting any more.
            let _ = publish.send(Some(answer));
        });
        answer
    }

    async fn call(&self, id: &SessionId, trace: Option<&TraceHandle>) -> Answer {
        let outcome = self.client.introspect(id.expose(), trace).await;
        self.calls.count(&outcome);
        match outcome {
            Ok(active) => {
                self.breaker.succeeded();
                Ok(active.map(|active| Rc::new(active.into())))
            }
            Err(error) => {
                if self.breaker.failed() {
                    self.calls.opened.inc();
                    tracing::warn!(%error, "introspection (API_INTROSPECTION_URL) fails");
                }
                Err(error.to_string().into())
            }
        }
    }

    /// Whether the server answers now, whatever the breaker says: asked about an id that is
    /// nobody's, it needs all that it needs for any other.
    async fn probe(&self) -> Result<(), Rc<str>> {
        self.call(&SessionId::generate(), None).await.map(drop)
    }
}
