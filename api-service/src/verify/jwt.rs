//! `jwt`: a signed access token, verified in the process.

use std::sync::Arc;

use actix_web::HttpRequest;
use shared::{
    server::Missing,
    token::{AccessClaims, AccessTokenProfile, TokenError},
};

use super::jwks::{Jwks, Renewal};
use crate::{credential, error::Refusal, extract::Principal};

pub(super) const NAME: &str = "jwt";

/// Verifies tokens with the issuer's keys, which all threads share.
#[derive(Clone)]
pub(crate) struct JwtVerifier {
    profile: Arc<AccessTokenProfile>,
    jwks: Jwks,
}

impl JwtVerifier {
    pub(super) fn new(profile: AccessTokenProfile, jwks: Jwks) -> Self {
        Self {
            profile: Arc::new(profile),
            jwks,
        }
    }

    pub(super) async fn verify(
        &self,
        request: &HttpRequest,
        now: u64,
    ) -> Result<Principal, Refusal> {
        let token = credential::bearer(request)
            .map_err(|_| Refusal::Ambiguous)?
            .ok_or(Refusal::Missing)?;
        let claims = match self.check(token, now)? {
            Ok(claims) => claims,
            Err(TokenError::UnknownKey { .. }) => self.check_with_newer_keys(token, now).await?,
            Err(error) => return Err(invalid(&error)),
        };
        Ok(Principal {
            // A token may carry no name; then the subject is the best there is.
            username: claims
                .preferred_username
                .unwrap_or_else(|| claims.sub.clone()),
            subject: claims.sub,
            roles: claims.roles,
        })
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

    pub(super) fn missing(&self) -> Option<Missing> {
        self.jwks.current().is_empty().then(|| Missing {
            name: "jwks",
            reason: "the issuer's keys were not fetched yet".to_owned(),
        })
    }
}

fn invalid(error: &TokenError) -> Refusal {
    Refusal::Invalid(error.kind())
}
