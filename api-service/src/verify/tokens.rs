//! Access tokens, for every strategy that takes them: the profile, the issuer's keys, what is
//! remembered, and the principal that a token names.

use std::{num::NonZeroUsize, rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{
    server::Missing,
    token::{AccessClaims, KeySet, TokenError},
};

use super::{
    Outcome,
    jwks::{Jwks, Renewal},
    remembered::{Events, Remembered},
    sources::{OfProcess, OfThread},
};
use crate::{TokenSettings, credential, error::Refusal, extract::Principal};

/// What all threads share.
#[derive(Clone)]
pub(super) struct Tokens {
    settings: Arc<TokenSettings>,
    jwks: Jwks,
    /// With the number of tokens to remember, when any are.
    remember: Option<(NonZeroUsize, Events)>,
}

/// Verifies tokens on one worker thread.
pub(super) struct TokenVerifier {
    settings: Arc<TokenSettings>,
    jwks: Jwks,
    remembered: Option<Remembered>,
}

impl Tokens {
    /// Starts fetching the keys, unless another strategy already has.
    pub(super) fn start(
        settings: &TokenSettings,
        process: &mut OfProcess<'_>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            settings: Arc::new(settings.clone()),
            jwks: process.jwks(&settings.jwks)?,
            remember: NonZeroUsize::new(settings.remembered)
                .map(|count| (count, process.remembered())),
        })
    }

    /// The verifier of the calling worker thread; strategies with equal settings share it.
    pub(super) fn for_this_thread(&self, thread: &mut OfThread) -> Rc<TokenVerifier> {
        thread.tokens(&self.settings, || TokenVerifier {
            settings: Arc::clone(&self.settings),
            jwks: self.jwks.clone(),
            remembered: self
                .remember
                .as_ref()
                .map(|(count, events)| Remembered::new(*count, events.clone())),
        })
    }
}

impl TokenVerifier {
    /// Whom the bearer of the request names, when it is a good token.
    pub(super) async fn verify(&self, request: &HttpRequest, now: u64) -> Outcome {
        let token = credential::bearer(request)
            .map_err(|_| Refusal::Ambiguous)?
            .ok_or(Refusal::Missing)?;
        match self.check(token, now)? {
            // The key may be newer than our set.
            Err(TokenError::UnknownKey { .. }) => self.check_with_newer_keys(token, now).await,
            verdict => verdict.map_err(|error| invalid(&error)),
        }
    }

    /// The outer error means that there are no keys yet.
    fn check(&self, token: &str, now: u64) -> Result<Result<Rc<Principal>, TokenError>, Refusal> {
        let keys = self.jwks.current();
        if keys.is_empty() {
            return Err(Refusal::Undecidable("no keys were fetched yet".to_owned()));
        }
        let profile = &self.settings.profile;
        let Some(remembered) = &self.remembered else {
            return Ok(self
                .verify_signature(token, &keys, now)
                .map(|claims| Rc::new(claims.into())));
        };
        if let Some(verdict) = remembered.find(token, profile, &keys, now) {
            return Ok(verdict);
        }
        Ok(self.verify_signature(token, &keys, now).map(|claims| {
            let principal = Rc::new(claims.clone().into());
            remembered.insert(token, &keys, claims, &principal);
            principal
        }))
    }

    fn verify_signature(
        &self,
        token: &str,
        keys: &KeySet,
        now: u64,
    ) -> Result<AccessClaims, TokenError> {
        self.settings.profile.verify(token, keys, now)
    }

    /// Whether a newer set has the key cannot be decided while the issuer does not answer; once it
    /// has answered, a key that is not in its set is nobody's.
    async fn check_with_newer_keys(&self, token: &str, now: u64) -> Outcome {
        match self.jwks.renew().await {
            Renewal::Fresh => {}
            Renewal::Failed => {
                return Err(Refusal::Undecidable(
                    "the key is unknown and the issuer does not answer".to_owned(),
                ));
            }
        }
        self.check(token, now)?.map_err(|error| invalid(&error))
    }

    /// Without keys nothing can be decided.
    pub(super) fn missing(&self) -> Option<Missing> {
        self.jwks.current().is_empty().then(|| Missing {
            name: "jwks",
            reason: "the issuer's keys were not fetched yet".to_owned(),
        })
    }
}

impl From<AccessClaims> for Principal {
    fn from(claims: AccessClaims) -> Self {
        Self {
            // A token may carry no name; then the subject is the best there is.
            username: claims
                .preferred_username
                .unwrap_or_else(|| claims.sub.clone()),
            subject: claims.sub,
            roles: claims.roles,
            sid: claims.sid,
            issued_at: claims.iat,
            expires_at: claims.exp,
            token_id: Some(claims.jti),
        }
    }
}

fn invalid(error: &TokenError) -> Refusal {
    Refusal::Invalid(error.kind())
}
