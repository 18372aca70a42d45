//! `introspection`: an opaque id that the authorization server is asked about, RFC 7662.
//!
//! | the server says | verdict |
//! | --- | --- |
//! | `"active": true` | the principal |
//! | `"active": false` | 401 |
//! | anything else: nothing, an error, that our own credentials are wrong, another document | undecidable |
//!
//! However many requests present one id at a time, one call serves them all. A server that fails is
//! left alone for a while ([`breaker`]). Answers are kept only when configured, only when they say
//! that the session is active, and never past its end.

mod breaker;
mod client;
mod kept;
mod observe;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use shared::{
    config::{Faults, Given, Secret, url},
    server::Missing,
    session::SessionId,
    telemetry::trace::TraceHandle,
};
use tokio::{sync::watch, task::spawn_local};

use self::{breaker::Breaker, client::Client, kept::KeptAnswers, observe::Calls};
use super::{Open, Strategy, sources::Process};
use crate::auth::{About, BEARER, Kind, Outcome, Pending, Principal, Refusal, Request, Verifier};

/// The variables.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// introspection: the endpoint of the authorization server.
    #[arg(
        long,
        env = "API_INTROSPECTION_URL",
        default_value = "http://127.0.0.1:8081/oauth/introspect"
    )]
    introspection_url: Given<String>,

    /// introspection: the id of this service as a client of the authorization server; required.
    #[arg(
        long,
        env = "API_CLIENT_ID",
        default_value = "",
        hide_default_value = true
    )]
    client_id: Given<Option<String>>,

    /// introspection: the secret of that client; required.
    #[arg(
        long,
        env = "API_CLIENT_SECRET",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    client_secret: Given<Option<Secret<String>>>,

    /// introspection: deadline of each call.
    #[arg(long, env = "API_INTROSPECTION_TIMEOUT", default_value = "1s")]
    introspection_timeout: Given<Duration>,

    /// introspection: how long an active answer is kept, never past the end of the session; 0s:
    /// not at all.
    #[arg(long, env = "API_INTROSPECTION_CACHE", default_value = "0s")]
    introspection_cache: Given<Duration>,
}

/// The strategy `introspection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// The endpoint of RFC 7662.
    pub url: url::Url,
    /// This service as a client of the authorization server.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret<String>,
    /// Deadline of each call.
    pub timeout: Duration,
    /// How long an active answer is kept; zero: not at all.
    pub cache: Duration,
}

impl Strategy for Introspection {
    const ABOUT: &'static About = &About {
        name: "introspection",
        summary: "opaque ids that the authorization server is asked about",
        kind: Kind::Id,
        challenge: BEARER,
        needs: Some("API_CLIENT_ID and API_CLIENT_SECRET"),
    };

    type Arguments = Arguments;

    fn check(arguments: &Arguments, faults: &mut Faults) -> Option<Self> {
        const REQUIRED: &str = "is required by introspection";
        let url = arguments
            .introspection_url
            .checked(faults, |text| url(&text, &["http", "https"]));
        let id = arguments.client_id.checked(faults, |id| id.ok_or(REQUIRED));
        let secret = arguments
            .client_secret
            .checked(faults, |secret| secret.ok_or(REQUIRED));
        let timeout = arguments.introspection_timeout.positive(faults);
        let cache = arguments.introspection_cache.value(faults);
        Some(Self {
            url: url?,
            client_id: id?,
            client_secret: secret?,
            timeout: timeout?,
            cache: cache?,
        })
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, reqwest::Error> {
        let settings = self.clone();
        let calls = Calls::register(process.metrics);
        // What cannot be built ends the start. Each thread then has connections of its own, which
        // its runtime drives.
        let client = Client::new(&settings)?;
        Ok(Arc::new(move |_| {
            Rc::new(Asking(Rc::new(Inner {
                client: Client::new(&settings).unwrap_or_else(|_| client.clone()),
                breaker: Breaker::default(),
                kept: KeptAnswers::new(settings.cache),
                under_way: RefCell::default(),
                calls: calls.clone(),
            })))
        }))
    }
}

/// What the server said of a credential: whose it is, or that it is nobody's; or why it said
/// nothing of use.
type Answer = Result<Option<Rc<Principal>>, Rc<str>>;

/// Asks over this thread's connections.
struct Asking(Rc<Inner>);

struct Inner {
    client: Client,
    breaker: Breaker,
    kept: Option<KeptAnswers>,
    /// The calls under way, by id.
    under_way: RefCell<HashMap<String, watch::Receiver<Option<Answer>>>>,
    calls: Calls,
}

impl Verifier for Asking {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let id = request.session()?;
            if let Some(kept) = &self.0.kept {
                if let Some(principal) = kept.find(&id, now) {
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
        spawn_local(async move {
            let answer = inner.call(&id, trace.as_ref()).await;
            if let (Some(kept), Ok(Some(principal))) = (&inner.kept, &answer) {
                kept.insert(&id, principal, now);
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
