//! Access tokens, for every strategy that takes them: the profile, the issuer's keys, what is
//! remembered, and the principal that a token names.

mod jwks;
mod remembered;

use std::{num::NonZeroUsize, rc::Rc, sync::Arc, time::Duration};

use shared::{
    config::{Faults, Given, url},
    server::Missing,
    telemetry::trace::TraceHandle,
    token::{AccessClaims, AccessTokenProfile, KeySet, TokenAlgorithms, TokenError},
};

pub use self::jwks::JwksSettings;
use self::{
    jwks::{Jwks, Renewal},
    remembered::{Events, Remembered},
};
use super::{
    profile::{Profile, ProfileArguments},
    sources::{Process, Thread},
};
use crate::auth::{Outcome, Pending, Principal, Refusal, Request, Verifier};

/// The variables.
#[derive(clap::Args)]
pub(crate) struct TokenArguments {
    #[command(flatten)]
    profile: ProfileArguments,

    /// Tokens: where the issuer publishes its keys.
    #[arg(
        long,
        env = "API_JWKS_URL",
        default_value = "http://127.0.0.1:8081/.well-known/jwks.json"
    )]
    jwks_url: Given<String>,

    /// Tokens: the longest life of a token that is accepted.
    #[arg(long, env = "API_MAX_TOKEN_LIFETIME", default_value = "24h")]
    max_token_lifetime: Given<Duration>,

    /// Tokens: the kinds that are accepted, by the typ of their header, separated by commas. Add JWT
    /// for an issuer that does not follow RFC 9068, and give its ID tokens another audience.
    #[arg(long, env = "API_TOKEN_TYPES", default_value = "at+jwt")]
    token_types: Given<String>,

    /// Tokens: how often the keys are fetched anew, ahead of need.
    #[arg(long, env = "API_JWKS_REFRESH", default_value = "5m")]
    jwks_refresh: Given<Duration>,

    /// Tokens: how long after a fetch an unknown key id causes no other.
    #[arg(long, env = "API_JWKS_COOLDOWN", default_value = "10s")]
    jwks_cooldown: Given<Duration>,

    /// Tokens: how many verified ones each worker thread remembers, so that their signature is not
    /// checked again; 0 for none.
    #[arg(long, env = "API_REMEMBERED_TOKENS", default_value = "0")]
    remembered_tokens: Given<usize>,
}

/// What verifying tokens needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// What a token must say.
    pub profile: AccessTokenProfile,
    /// Where the keys come from.
    pub jwks: JwksSettings,
    /// How many verified tokens each worker thread remembers; 0: none.
    pub remembered: usize,
}

impl TokenArguments {
    /// Checks the variables, noting every fault.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<TokenSettings> {
        let web = |text: String| url(&text, &["http", "https"]);
        let jwks_url = self.jwks_url.checked(faults, web);
        let profile = self.profile.check(faults);
        let max_lifetime = self.max_token_lifetime.positive(faults);
        let types = self.token_types.checked(faults, |text| text.parse());
        let refresh = self.jwks_refresh.positive(faults);
        let cooldown = self.jwks_cooldown.positive(faults);
        let remembered = self.remembered_tokens.value(faults);
        let Profile {
            issuer,
            audience,
            leeway,
            roles,
        } = profile?;
        Some(TokenSettings {
            profile: AccessTokenProfile {
                issuer,
                audience,
                leeway,
                max_lifetime: max_lifetime?,
                types: types?,
                algorithms: TokenAlgorithms::default(),
                roles,
            },
            jwks: JwksSettings {
                url: jwks_url?,
                refresh: refresh?,
                cooldown: cooldown?,
                leeway,
            },
            remembered: remembered?,
        })
    }
}

/// What all threads share.
pub(super) struct Tokens {
    settings: Arc<TokenSettings>,
    jwks: Jwks,
    /// With the number of tokens to remember, when any are.
    remember: Option<(NonZeroUsize, Events)>,
}

impl Tokens {
    /// Starts fetching the keys, unless another strategy already has.
    pub(super) fn start(
        settings: &TokenSettings,
        process: &mut Process<'_>,
    ) -> Result<Self, reqwest::Error> {
        let Process {
            clock,
            metrics,
            stop,
            made,
            ..
        } = process;
        let jwks = made.try_of(&settings.jwks, || {
            Jwks::start(&settings.jwks, clock, metrics, stop)
        })?;
        let remember = NonZeroUsize::new(settings.remembered)
            .map(|count| (count, made.of(&(), || Events::register(metrics))));
        Ok(Self {
            settings: Arc::new(settings.clone()),
            jwks,
            remember,
        })
    }

    /// The verifier of the calling worker thread; strategies with equal settings share it.
    pub(super) fn open(&self, thread: &mut Thread) -> Rc<TokenVerifier> {
        thread.of(&self.settings, || {
            Rc::new(TokenVerifier {
                settings: Arc::clone(&self.settings),
                jwks: self.jwks.clone(),
                remembered: self
                    .remember
                    .as_ref()
                    .map(|(count, events)| Remembered::new(*count, events.clone())),
            })
        })
    }
}

/// Verifies tokens on one worker thread.
pub(super) struct TokenVerifier {
    settings: Arc<TokenSettings>,
    jwks: Jwks,
    remembered: Option<Remembered>,
}

impl Verifier for TokenVerifier {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        _: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(self.verify_bearer(request, now))
    }

    fn missing(&self) -> Pending<'_, Option<Missing>> {
        Box::pin(std::future::ready(self.missing_to_verify()))
    }
}

impl TokenVerifier {
    /// Whom the bearer of the request names, when it is a good token.
    pub(super) async fn verify_bearer(&self, request: Request<'_>, now: u64) -> Outcome {
        self.verify_token(request.bearer()?, now).await
    }

    /// Whom a token names, when it is a good one.
    pub(super) async fn verify_token(&self, token: &str, now: u64) -> Outcome {
        match self.check(token, now)? {
            // The key may be newer than our set.
            Err(TokenError::UnknownKey { .. }) => self.check_with_newer_keys(token, now).await,
            verdict => verdict.map_err(|error| self.refusal(&error)),
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
        self.check(token, now)?
            .map_err(|error| self.refusal(&error))
    }

    /// What an error means. Of a time that is refused while the clocks are known to differ nobody
    /// knows whether it is over.
    fn refusal(&self, error: &TokenError) -> Refusal {
        let by_time = matches!(
            error,
            TokenError::Expired | TokenError::NotYetValid | TokenError::IssuedAhead
        );
        match self.jwks.clock_fault() {
            Some(fault) if by_time => Refusal::Undecidable(fault),
            _ => Refusal::Invalid(error.kind()),
        }
    }

    /// Without keys nothing can be decided, and with a clock that is off not everything.
    pub(super) fn missing_to_verify(&self) -> Option<Missing> {
        if self.jwks.current().is_empty() {
            return Some(Missing::needed(
                "jwks",
                "the issuer's keys were not fetched yet",
            ));
        }
        let reason = self.jwks.clock_fault()?;
        Some(Missing::needed("clock", reason))
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
            generation: claims.generation,
            expires_at: Some(claims.exp),
            token_id: Some(claims.jti).filter(|id| !id.is_empty()),
        }
    }
}
