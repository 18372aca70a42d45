//! The strategies: from a request to a principal, a refusal, or "cannot be decided".
//!
//! A strategy is a file below this one and a line in each `match` here. None knows handlers or
//! status codes.

mod jwks;
mod jwt;
mod session;

use std::time::Duration;

use actix_web::HttpRequest;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Unit,
};
use shared::{
    server::Missing,
    session::SessionStore,
    shutdown::CancellationToken,
    telemetry::{
        metrics::{Metrics, duration_histogram},
        trace::TraceHandle,
    },
};

use self::{jwks::Jwks, jwt::JwtVerifier, session::SessionVerifier};
use crate::{StrategyConfig, error::Refusal, extract::Principal};

/// What all threads share of the strategy.
#[derive(Clone)]
pub(crate) enum Verifiers {
    Jwt(JwtVerifier),
    Session(shared::session::StoreSettings),
}

impl Verifiers {
    /// Starts what the strategy needs in the background, such as fetching keys; it ends with
    /// `stop`.
    pub(crate) fn start(
        config: &StrategyConfig,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        Ok(match config {
            StrategyConfig::Jwt {
                profile,
                jwks_url,
                refresh,
                cooldown,
            } => {
                let jwks = Jwks::start(jwks_url.clone(), *refresh, *cooldown, metrics, stop)?;
                Self::Jwt(JwtVerifier::new(profile.clone(), jwks))
            }
            StrategyConfig::Session { store } => Self::Session(store.clone()),
        })
    }

    /// The strategy's name.
    pub(crate) fn strategy(&self) -> &'static str {
        match self {
            Self::Jwt(_) => jwt::NAME,
            Self::Session(_) => session::NAME,
        }
    }

    /// The verifier of one worker thread, which opens its own connections.
    pub(crate) fn for_this_thread(&self) -> Verifier {
        match self {
            Self::Jwt(verifier) => Verifier::Jwt(verifier.clone()),
            Self::Session(settings) => {
                Verifier::Session(SessionVerifier::new(SessionStore::open(settings.clone())))
            }
        }
    }
}

/// One worker thread's verifier.
pub(crate) enum Verifier {
    Jwt(JwtVerifier),
    Session(SessionVerifier),
}

impl Verifier {
    /// The strategy's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Jwt(_) => jwt::NAME,
            Self::Session(_) => session::NAME,
        }
    }

    /// Decides about a request at the time `now` (Unix seconds).
    pub(crate) async fn verify(
        &self,
        request: &HttpRequest,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Principal, Refusal> {
        match self {
            Self::Jwt(verifier) => verifier.verify(request, now).await,
            Self::Session(verifier) => verifier.verify(request, now, trace).await,
        }
    }

    /// What is missing to decide anything now.
    pub(crate) async fn missing(&self) -> Vec<Missing> {
        let missing = match self {
            Self::Jwt(verifier) => verifier.missing(),
            Self::Session(verifier) => verifier.missing().await,
        };
        missing.into_iter().collect()
    }
}

/// Verdicts, counted and timed.
#[derive(Clone)]
pub(crate) struct Verdicts {
    counts: Family<Verdict, Counter>,
    duration: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verdict {
    strategy: &'static str,
    outcome: &'static str,
}

impl Verdicts {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let verdicts = Self {
            counts: Family::default(),
            duration: duration_histogram(),
        };
        metrics.register(|registry| {
            registry.register(
                "statewise_verdicts",
                "Verdicts about credentials by strategy and outcome",
                verdicts.counts.clone(),
            );
            registry.register_with_unit(
                "statewise_verification_duration",
                "Time to a verdict",
                Unit::Seconds,
                verdicts.duration.clone(),
            );
        });
        verdicts
    }

    /// Counts one verdict. A request without a credential took no verification to time.
    pub(crate) fn count(&self, strategy: &'static str, outcome: &'static str, took: Duration) {
        self.counts
            .get_or_create(&Verdict { strategy, outcome })
            .inc();
        if outcome != "missing" {
            self.duration.observe(took.as_secs_f64());
        }
    }
}
