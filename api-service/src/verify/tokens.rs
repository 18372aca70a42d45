//! Access tokens, for every strategy that takes them: the profile, the issuer's keys, and the
//! principal that a token names.

use std::{rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{
    server::Missing,
    token::{AccessClaims, AccessTokenProfile, TokenError},
};

use super::{
    Outcome,
    jwks::{Jwks, Renewal},
    sources::OfProcess,
};
use crate::{TokenSettings, credential, error::Refusal, extract::Principal};

/// What all threads share.
pub(super) struct Tokens {
    profile: Arc<AccessTokenProfile>,
    jwks: Jwks,
}

/// Verifies tokens on one worker thread.
pub(super) struct TokenVerifier {
    profile: Arc<AccessTokenProfile>,
    jwks: Jwks,
}

impl Tokens {
    /// Starts fetching the keys, unless another strategy already has.
    pub(super) fn start(
        settings: &TokenSettings,
        process: &mut OfProcess<'_>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            profile: Arc::new(settings.profile.clone()),
            jwks: process.jwks(&settings.jwks)?,
        })
    }

    /// The verifier of the calling worker thread.
    pub(super) fn for_this_thread(&self) -> TokenVerifier {
        TokenVerifier {
            profile: Arc::clone(&self.profile),
            jwks: self.jwks.clone(),
        }
    }
}

impl TokenVerifier {
    /// Whom the bearer of the request names, when it is a good token.
    pub(super) async fn verify(&self, request: &HttpRequest, now: u64) -> Outcome {
        let token = credential::bearer(request)
            .map_err(|_| Refusal::Ambiguous)?
            .ok_or(Refusal::Missing)?;
        let claims = match self.check(token, now)? {
            Ok(claims) => claims,
            Err(TokenError::UnknownKey { .. }) => self.check_with_newer_keys(token, now).await?,
            Err(error) => return Err(invalid(&error)),
        };
        Ok(Rc::new(principal(claims)))
    }

    /// The outer error means that there are no keys yet.
    fn check(&self, token: &str, now: u64) -> Result<Result<AccessClaims, TokenError>, Refusal> {
        let keys = self.jwks.current();
        if keys.is_empty() {
            return Err(Refusal::Undecidable("no keys were fetched yet".to_owned()));
        }
        Ok(self.profile.verify(token, &keys, now))
    }

    /// The key may be newer than our set. Whether it is cannot be decided while the issuer does not
    /// answer; once it has answered, a key that is not in its set is nobody's.
    async fn check_with_newer_keys(&self, token: &str, now: u64) -> Result<AccessClaims, Refusal> {
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

fn principal(claims: AccessClaims) -> Principal {
    Principal {
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

fn invalid(error: &TokenError) -> Refusal {
    Refusal::Invalid(error.kind())
}
