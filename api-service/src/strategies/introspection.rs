//! `introspection`: an opaque credential that the authorization server is asked about, RFC 7662.
//!
//! | the server says | verdict |
//! | --- | --- |
//! | `"active": true`, and nothing that makes it no credential here ([`reply`]) | the principal |
//! | `"active": true`, for another audience, of another issuer, outside of its time | 401 |
//! | `"active": false` | 401 |
//! | anything else: nothing, an error, that our own credentials are wrong, another document | undecidable |
//!
//! However many requests present one credential at a time, one call serves them all. A server that
//! does not answer, or answers that it cannot, is left alone for a while ([`breaker`]). Answers are
//! kept only when configured, only when they say that the credential is good, and never past its end.

mod breaker;
mod client;
mod kept;
mod observe;
mod reply;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use shared::{
    config::{Faults, Given, Secret, url},
    server::Missing,
    session::SessionId,
    telemetry::{
        outage::{Observer, Outage},
        trace::TraceHandle,
    },
};
use tokio::{sync::watch, task::spawn_local};

pub use self::reply::{AnswerProfile, Required};
use self::{
    breaker::Breaker,
    client::{CallError, Client},
    kept::KeptAnswers,
    observe::Calls,
    reply::Reason,
};
use super::{
    ClientError, Open, Strategy,
    http_client::{Authorities, AuthorityArguments},
    profile::{Profile, ProfileArguments},
    sources::Process,
};
use crate::auth::{About, BEARER, Kind, Outcome, Pending, Principal, Refusal, Request, Verifier};

/// The variables.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    profile: ProfileArguments,

    #[command(flatten)]
    authorities: AuthorityArguments,

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

    /// introspection: how long an active answer is kept, never past the end of the
    /// credential; 0s: not at all.
    #[arg(long, env = "API_INTROSPECTION_CACHE", default_value = "0s")]
    introspection_cache: Given<Duration>,

    /// introspection: members that an active answer must have, separated by commas, with | between
    /// those of which one suffices. All are optional in RFC 7662, and each is checked when it is
    /// there; but where neither aud nor token_type is, it may be a refresh token that is active.
    /// Ask for more (exp,aud), or with active for nothing more.
    #[arg(
        long,
        env = "API_INTROSPECTION_REQUIRED",
        default_value = "aud|token_type"
    )]
    introspection_required: Given<String>,
}

/// The strategy `introspection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// What an answer must say, or must not contradict.
    pub profile: AnswerProfile,
    /// The endpoint of RFC 7662.
    pub url: url::Url,
    /// Who is trusted besides the machine's authorities, where that is over https.
    pub authorities: Authorities,
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
        summary: "opaque credentials that the authorization server is asked about",
        kind: Kind::Id,
        challenge: BEARER,
        needs: Some("API_CLIENT_ID and API_CLIENT_SECRET"),
    };

    type Arguments = Arguments;

    fn check(arguments: &Arguments, faults: &mut Faults) -> Option<Self> {
        const REQUIRED: &str = "is required by introspection";
        let profile = arguments.profile.check(faults);
        let authorities = arguments.authorities.check(faults);
        let required = arguments.introspection_required.value(faults);
        let url = arguments
            .introspection_url
            .checked(faults, |text| url(&text, &["http", "https"]));
        let id = arguments.client_id.checked(faults, |id| id.ok_or(REQUIRED));
        let secret = arguments
            .client_secret
            .checked(faults, |secret| secret.ok_or(REQUIRED));
        let timeout = arguments.introspection_timeout.positive(faults);
        let cache = arguments.introspection_cache.value(faults);
        let Profile {
            issuer,
            audience,
            leeway,
            roles,
        } = profile?;
        Some(Self {
            profile: AnswerProfile {
                issuer,
                audience,
                leeway,
                roles,
                required: Required::parse(&required?),
            },
            url: url?,
            authorities: authorities?,
            client_id: id?,
            client_secret: secret?,
            timeout: timeout?,
            cache: cache?,
        })
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        let settings = self.clone();
        let calls = Calls::register(process.metrics);
        let outage = Outage::of("introspection (API_INTROSPECTION_URL)");
        let observer = Arc::new(outage.observer());
        // What cannot be built ends the start. Each thread then has connections of its own, which
        // its runtime drives.
        let client = Client::new(&settings)?;
        Ok(Arc::new(move |_| {
            Rc::new(Asking(Rc::new(Inner {
                client: Client::new(&settings).unwrap_or_else(|_| client.clone()),
                profile: settings.profile.clone(),
                breaker: Breaker::default(),
                kept: KeptAnswers::new(settings.cache),
                under_way: RefCell::default(),
                calls: calls.clone(),
                observer: Arc::clone(&observer),
            })))
        }))
    }
}

/// Whose a credential is, or why it is nobody's here; or why the server said nothing of use.
type Answer = Result<Result<Rc<Principal>, Reason>, Rc<str>>;

/// A call that others may wait for as well.
#[derive(Clone)]
struct UnderWay {
    answer: watch::Receiver<Option<Answer>>,
    /// The request that made it necessary, if that is traced.
    leader: Option<TraceHandle>,
}

/// Says in the span of a verdict where the answer came from.
fn note_source(trace: Option<&TraceHandle>, source: &'static str) {
    if let Some(trace) = trace {
        trace.note("statewise.auth.introspection.source", source);
    }
}

/// Asks over this thread's connections.
struct Asking(Rc<Inner>);

struct Inner {
    client: Client,
    profile: AnswerProfile,
    breaker: Breaker,
    kept: Option<KeptAnswers>,
    /// The calls under way, by credential.
    under_way: RefCell<HashMap<String, UnderWay>>,
    calls: Calls,
    /// One for all threads: what one of them is answered, another would be too.
    observer: Arc<Observer>,
}

impl Verifier for Asking {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let credential = request.opaque()?;
            if let Some(kept) = &self.0.kept {
                if let Some(principal) = kept.find(credential, now) {
                    self.0.calls.hits.inc();
                    note_source(trace, "kept");
                    return Ok(principal);
                }
                self.0.calls.misses.inc();
            }
            match self.0.ask(credential, now, trace).await {
                Ok(verdict) => verdict.map_err(Refusal::Invalid),
                Err(reason) => Err(Refusal::Undecidable((*reason).to_owned())),
            }
        })
    }

    fn missing(&self) -> Pending<'_, Vec<Missing>> {
        Box::pin(async move {
            let reason = self.0.probe().await.err();
            let missing = reason.map(|reason| Missing::needed("introspection", &*reason));
            missing.into_iter().collect()
        })
    }
}

impl Inner {
    /// Waits for the call about this credential that is under way, or makes it.
    async fn ask(
        self: &Rc<Self>,
        credential: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Answer {
        let waiting = self.under_way.borrow().get(credential).cloned();
        let mut answer = match waiting {
            Some(UnderWay { answer, leader }) => {
                self.calls.shared.inc();
                note_source(trace, "shared");
                if let (Some(trace), Some(leader)) = (trace, &leader) {
                    trace.link(leader);
                }
                answer
            }
            None => {
                if !self.breaker.admits() {
                    self.calls.broken.inc();
                    return Err("the authorization server failed just now".into());
                }
                note_source(trace, "asked");
                self.begin(credential, now, trace)
            }
        };
        match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer
                .clone()
                .unwrap_or_else(|| Err("there is no answer".into())),
            // The worker is about to end, or the call panicked; the next request makes another.
            Err(_) => {
                self.under_way.borrow_mut().remove(credential);
                Err("the call was given up".into())
            }
        }
    }

    /// Makes the call apart from the request: it goes on for others when the one that caused it is
    /// gone, and ends by its deadline in any case.
    fn begin(
        self: &Rc<Self>,
        credential: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> watch::Receiver<Option<Answer>> {
        let (publish, answer) = watch::channel(None);
        let trace = trace.cloned();
        let under_way = UnderWay {
            answer: answer.clone(),
            leader: trace.clone(),
        };
        self.under_way
            .borrow_mut()
            .insert(credential.to_owned(), under_way);
        let (inner, credential) = (Rc::clone(self), credential.to_owned());
        spawn_local(async move {
            let answer = inner.call(&credential, now, trace.as_ref()).await;
            if let (Some(kept), Ok(Ok(principal))) = (&inner.kept, &answer) {
                kept.insert(&credential, principal, now);
            }
            inner.under_way.borrow_mut().remove(&credential);
            // Nobody may be waiting any more.
            let _ = publish.send(Some(answer));
        });
        answer
    }

    async fn call(&self, credential: &str, now: u64, trace: Option<&TraceHandle>) -> Answer {
        let outcome = self.client.introspect(credential, trace).await;
        self.calls.count(&outcome);
        match outcome {
            Ok(reply) => {
                self.breaker.succeeded();
                self.observer.recovered();
                Ok(reply.judge(&self.profile, now))
            }
            Err(error) => {
                self.failed(&error);
                Err(error.to_string().into())
            }
        }
    }

    /// Counts a failure of the server. What a stranger could cause at will is not logged.
    fn failed(&self, error: &CallError) {
        if !error.is_outage() {
            self.breaker.succeeded();
        } else if self.breaker.failed() {
            self.calls.opened.inc();
        }
        if self.breaker.is_open() || matches!(error, CallError::Unauthorized) {
            self.observer.failed(error);
        }
    }

    /// Whether the server answers now, whatever the breaker says: asked about an id that is
    /// nobody's, it needs all that it needs for any other.
    async fn probe(&self) -> Result<(), Rc<str>> {
        let nobody = SessionId::generate("nobody");
        self.call(nobody.expose(), 0, None).await.map(drop)
    }
}
