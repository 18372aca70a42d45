//! Access tokens, for every strategy that takes them: who issues them, their keys, what is
//! remembered, and the principal that a token names.
//!
//! Of several trusted issuers the one that a token names decides, before any key is looked up, whose
//! keys verify it, and what else it must say (RFC 8725 §3.8). A token of nobody who is trusted costs
//! no look at any key set, and no request. An issuer whose keys are gone takes its own callers along
//! and nobody else's.

mod issuer;
mod jwks;
mod remembered;
mod settings;

use std::{num::NonZeroUsize, rc::Rc, sync::Arc};

use shared::{
    server::Missing,
    telemetry::trace::{TraceHandle, Unasked},
    token::{TokenError, unverified_issuer},
};

pub(super) use self::settings::TokenArguments;
use self::{
    issuer::{Issuer, IssuerVerifier, MissingOfIssuer},
    jwks::{Jwks, Observed},
    remembered::Events,
};
pub use self::{
    jwks::{Discovery, JwksSettings, KeySource},
    settings::{IssuerSettings, TokenSettings},
};
use super::{
    Open,
    http_client::ClientError,
    sources::{Process, Thread},
};
use crate::auth::{Outcome, Pending, Refusal, Request, Verifier};

impl TokenSettings {
    /// Starts a strategy that takes tokens as bearers and asks nothing else of them.
    pub(super) fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        let tokens = Tokens::start(self, process)?;
        Ok(Arc::new(move |thread| tokens.open(thread)))
    }
}

/// What all threads share.
pub(super) struct Tokens {
    settings: Arc<TokenSettings>,
    issuers: Vec<Issuer>,
    /// With the number of tokens to remember, when any are.
    remember: Option<(NonZeroUsize, Events)>,
}

impl Tokens {
    /// Starts fetching the keys of each issuer, unless another strategy already has.
    pub(super) fn start(
        settings: &TokenSettings,
        process: &mut Process<'_>,
    ) -> Result<Self, ClientError> {
        let Process {
            clock,
            metrics,
            tracing,
            stop,
            made,
        } = process;
        let observed = made.of(&(), || Observed::register(metrics));
        let mut trust = |issuer: &IssuerSettings, is_other| -> Result<Issuer, ClientError> {
            let jwks = made.try_of(&issuer.jwks, || {
                let fetches = Unasked::new(tracing);
                Jwks::start(&issuer.jwks, clock, &observed, fetches, stop)
            })?;
            Ok(Issuer {
                profile: issuer.profile.clone(),
                jwks,
                is_other,
            })
        };
        let mut issuers = vec![trust(&settings.issuer, false)?];
        for other in &settings.others {
            issuers.push(trust(other, true)?);
        }
        let remember = NonZeroUsize::new(settings.remembered)
            .map(|count| (count, made.of(&(), || Events::register(metrics))));
        Ok(Self {
            settings: Arc::new(settings.clone()),
            issuers,
            remember,
        })
    }

    /// The verifier of the calling worker thread; strategies with equal settings share it.
    pub(super) fn open(&self, thread: &mut Thread) -> Rc<TokenVerifier> {
        thread.of(&self.settings, || {
            let issuers = self.issuers.iter().cloned();
            Rc::new(TokenVerifier {
                issuers: issuers
                    .map(|issuer| IssuerVerifier::new(issuer, self.remember.as_ref()))
                    .collect(),
            })
        })
    }
}

/// Verifies tokens on one worker thread.
pub(super) struct TokenVerifier {
    /// At least one.
    issuers: Vec<IssuerVerifier>,
}

impl Verifier for TokenVerifier {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(self.verify_bearer(request, now, trace))
    }

    fn missing(&self) -> Pending<'_, Vec<Missing>> {
        Box::pin(std::future::ready(self.missing_to_verify()))
    }
}

impl TokenVerifier {
    /// Whom the bearer of the request names, when it is a good token.
    pub(super) async fn verify_bearer(
        &self,
        request: Request<'_>,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Outcome {
        self.verify_token(request.bearer()?, now, trace).await
    }

    /// Whom a token names, when it is a good one.
    pub(super) async fn verify_token(
        &self,
        token: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Outcome {
        self.issuer_of(token)?.verify(token, now, trace).await
    }

    /// Who has to vouch for a token. The only one there is needs no look at what the token says: it
    /// has signed no token of somebody else.
    fn issuer_of(&self, token: &str) -> Result<&IssuerVerifier, Refusal> {
        if let [only] = &*self.issuers {
            return Ok(only);
        }
        let named = unverified_issuer(token).map_err(|error| Refusal::Invalid(error.kind()))?;
        let found = self.issuers.iter().find(|issuer| issuer.is(&named));
        found.ok_or(Refusal::Invalid(TokenError::Issuer.kind()))
    }

    /// Which issuers' tokens cannot be decided about, or not those of a newer key. The replica is ready
    /// for those of the others, but not before it has tried to fetch the keys of each.
    pub(super) fn missing_to_verify(&self) -> Vec<Missing> {
        let missing = self.issuers.iter().filter_map(IssuerVerifier::missing);
        let missing: Vec<MissingOfIssuer> = missing.collect();
        let begins = missing.iter().any(|one| one.begins);
        let undecided = missing.iter().filter(|one| !one.decides).count();
        let named = |name: &'static str| {
            let own = missing.iter().filter(|one| one.name == name);
            let reasons: Vec<_> = own.map(|one| one.reason.as_str()).collect();
            (!reasons.is_empty()).then(|| Missing {
                name,
                reason: reasons.join("; "),
                ready: !begins && undecided < self.issuers.len(),
            })
        };
        ["jwks", "clock"].into_iter().filter_map(named).collect()
    }
}
