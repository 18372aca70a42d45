//! Verifies the tokens of one issuer on one worker thread, by the keys of that issuer alone.

use std::{num::NonZeroUsize, rc::Rc};

use shared::{
    telemetry::trace::TraceHandle,
    token::{AccessClaims, AccessTokenProfile, TokenError, unverified_issuer, unverified_kid},
};

use super::{
    jwks::{Jwks, Renewal},
    remembered::{Events, Remembered},
};
use crate::auth::{Outcome, Principal, Refusal};

/// One issuer that is trusted, as all threads share it.
#[derive(Clone)]
pub(super) struct Issuer {
    pub(super) profile: AccessTokenProfile,
    pub(super) jwks: Jwks,
    /// Whether it is trusted besides the one that the whole service has: its subjects are others.
    pub(super) is_other: bool,
}

/// The same on one worker thread.
pub(super) struct IssuerVerifier {
    issuer: Issuer,
    remembered: Option<Remembered>,
}

/// What is missing to decide about tokens of one issuer.
pub(super) struct MissingOfIssuer {
    /// `jwks` or `clock`.
    pub(super) name: &'static str,
    /// Which issuer, and why.
    pub(super) reason: String,
    /// Whether that may change at any moment: nobody has heard of the issuer yet.
    pub(super) begins: bool,
    /// Whether all tokens are decided about but those of a key that is newer than what is known.
    pub(super) decides: bool,
}

impl IssuerVerifier {
    /// With the number of tokens to remember, when any are.
    pub(super) fn new(issuer: Issuer, remember: Option<&(NonZeroUsize, Events)>) -> Self {
        Self {
            issuer,
            remembered: remember.map(|(count, events)| Remembered::new(*count, events.clone())),
        }
    }

    /// Whether it is the issuer of this name, byte for byte (RFC 9068 §4).
    pub(super) fn is(&self, name: &str) -> bool {
        self.issuer.profile.issuer == name
    }

    /// Whom a token names, when it is a good one of this issuer.
    pub(super) async fn verify(
        &self,
        token: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Outcome {
        let outcome = match self.check(token, now, trace)? {
            // The key may be newer than our set.
            Err(TokenError::UnknownKey { .. }) => {
                self.check_with_newer_keys(token, now, trace).await
            }
            verdict => verdict.map_err(|error| self.refusal(&error)),
        };
        // Of a token that is refused anybody may have written it.
        if let (Some(trace), Ok(_)) = (trace, &outcome)
            && let Ok(kid) = unverified_kid(token)
        {
            trace.note("statewise.auth.key.id", kid);
        }
        outcome
    }

    /// The outer error means that there are no keys yet.
    fn check(
        &self,
        token: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Result<Rc<Principal>, TokenError>, Refusal> {
        let Issuer { profile, jwks, .. } = &self.issuer;
        let keys = jwks.current();
        if keys.is_empty() {
            return Err(Refusal::Undecidable(format!(
                "no keys of {} were fetched yet",
                profile.issuer
            )));
        }
        let remembered = self.remembered.as_ref();
        let found = remembered.and_then(|memory| memory.find(token, profile, &keys, now));
        if let Some(trace) = trace {
            trace.note("statewise.auth.signature.remembered", found.is_some());
        }
        if let Some(verdict) = found {
            return Ok(verdict);
        }
        let Some(remembered) = remembered else {
            let verdict = profile.verify(token, &keys, now);
            return Ok(verdict.map(|claims| self.principal(claims)));
        };
        Ok(profile.verify(token, &keys, now).map(|claims| {
            let principal = self.principal(claims.clone());
            remembered.insert(token, &keys, claims, &principal);
            principal
        }))
    }

    /// Whether a newer set has the key cannot be decided while the issuer does not answer; once it
    /// has answered, a key that is not in its set is nobody's. For a token that names somebody else
    /// it is not asked.
    async fn check_with_newer_keys(
        &self,
        token: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Outcome {
        let names_it = unverified_issuer(token).is_ok_and(|named| self.is(&named));
        if !names_it {
            return Err(self.refusal(&TokenError::Issuer));
        }
        let renewal = self.issuer.jwks.renew().await;
        if let Some(trace) = trace {
            trace.note("statewise.auth.keys.renewed", renewal == Renewal::Fresh);
        }
        match renewal {
            Renewal::Fresh => {}
            Renewal::Failed => {
                return Err(Refusal::Undecidable(format!(
                    "the key is unknown and {} does not answer",
                    self.issuer.profile.issuer
                )));
            }
        }
        self.check(token, now, trace)?
            .map_err(|error| self.refusal(&error))
    }

    fn principal(&self, claims: AccessClaims) -> Rc<Principal> {
        let mut principal = Principal::from(claims);
        if !self.issuer.is_other {
            principal.issuer = None;
        }
        Rc::new(principal)
    }

    /// What an error means. Of a time that is refused while the clocks are known to differ nobody
    /// knows whether it is over.
    fn refusal(&self, error: &TokenError) -> Refusal {
        let by_time = matches!(
            error,
            TokenError::Expired | TokenError::NotYetValid | TokenError::IssuedAhead
        );
        match self.issuer.jwks.clock_fault() {
            Some(fault) if by_time => Refusal::Undecidable(fault),
            _ => Refusal::Invalid(error.kind()),
        }
    }

    /// Without keys nothing can be decided, and with a clock that is off not everything; with keys
    /// that cannot be fetched anew, everything but tokens of a newer one.
    pub(super) fn missing(&self) -> Option<MissingOfIssuer> {
        let Issuer { profile, jwks, .. } = &self.issuer;
        let is_empty = jwks.current().is_empty();
        let clock = jwks.clock_fault();
        let decides = !is_empty && clock.is_none();
        let (name, reason) = if is_empty {
            let fault = jwks.fault().map(|fault| format!(": {fault}"));
            let fault = fault.unwrap_or_default();
            ("jwks", format!("its keys were not fetched yet{fault}"))
        } else if let Some(fault) = clock {
            ("clock", fault)
        } else {
            (
                "jwks",
                format!("its keys are not fetched anew: {}", jwks.fault()?),
            )
        };
        Some(MissingOfIssuer {
            name,
            reason: format!("{}: {reason}", profile.issuer),
            begins: jwks.begins(),
            decides,
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
            issuer: Some(claims.iss),
            roles: claims.roles,
            sid: claims.sid,
            issued_at: claims.iat,
            generation: claims.generation,
            expires_at: Some(claims.exp),
            token_id: Some(claims.jti).filter(|id| !id.is_empty()),
        }
    }
}
