//! `jwt-revocable`: a signed access token, verified in the process, that was not revoked.
//!
//! Every replica follows the feed of revocations, so nothing is asked on a request. How old that
//! copy may be, and what a verdict is beyond it, is configured.

use std::{rc::Rc, sync::Arc, time::Duration};

use shared::{
    config::{Faults, Given},
    revocation::{Claims, FollowerSettings, Revocations, TokenStatus, WhenStale},
    server::Missing,
    telemetry::trace::TraceHandle,
};

use super::{
    ClientError, Open, Strategy,
    session_store::StoreArguments,
    sources::Process,
    tokens::{TokenArguments, TokenSettings, TokenVerifier, Tokens},
};
use crate::auth::{About, BEARER, Kind, Outcome, Pending, Principal, Refusal, Request, Verifier};

/// The shortest age at which the copy of the revocations can be too old: publishers end a round each
/// half second, the feed is looked at every 200 ms, and one of each may be late.
const LEAST_MAX_AGE: Duration = Duration::from_secs(2);

/// The variables.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tokens: TokenArguments,

    #[command(flatten)]
    store: StoreArguments,

    /// jwt-revocable: how long ago a replica's copy of the revocations may last have been complete,
    /// as the auth-service says in Redis twice a second.
    #[arg(long, env = "API_REVOCATION_MAX_AGE", default_value = "5s")]
    revocation_max_age: Given<Duration>,

    /// jwt-revocable: what a good token is beyond that age: refuse (503) or accept.
    #[arg(long, env = "API_REVOCATION_STALE", default_value = "refuse")]
    revocation_stale: Given<String>,
}

/// The strategy `jwt-revocable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRevocable {
    /// What verifying tokens needs.
    pub tokens: TokenSettings,
    /// Where revocations are published, and how old the copy may be.
    pub revocations: FollowerSettings,
}

impl Strategy for JwtRevocable {
    const ABOUT: &'static About = &About {
        name: "jwt-revocable",
        summary: "signed access tokens, verified here, that were not revoked",
        kind: Kind::Token,
        challenge: BEARER,
        needs: None,
    };

    type Arguments = Arguments;

    fn check(arguments: &Arguments, faults: &mut Faults) -> Option<Self> {
        let tokens = arguments.tokens.check(faults);
        let store = arguments.store.check(faults);
        let max_age = arguments.revocation_max_age.checked(faults, |age| {
            if age < LEAST_MAX_AGE {
                Err("must be at least 2s")
            } else {
                Ok(age)
            }
        });
        let when_stale = arguments
            .revocation_stale
            .checked(faults, |text| match text.as_str() {
                "refuse" => Ok(WhenStale::Refuse),
                "accept" => Ok(WhenStale::Accept),
                _ => Err(format!("{text:?} is not refuse or accept")),
            });
        Some(Self {
            tokens: tokens?,
            revocations: FollowerSettings {
                store: store?,
                max_age: max_age?,
                when_stale: when_stale?,
            },
        })
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        let tokens = Tokens::start(&self.tokens, process)?;
        let settings = &self.revocations;
        let revocations = process.made.of(settings, || {
            let clock = process.clock.clone();
            Revocations::follow(settings.clone(), clock, process.metrics, process.stop)
        });
        Ok(Arc::new(move |thread| {
            Rc::new(RevocableTokens {
                tokens: tokens.open(thread),
                revocations: revocations.clone(),
            })
        }))
    }
}

/// Verifies the token of each request and looks whether it was revoked.
struct RevocableTokens {
    tokens: Rc<TokenVerifier>,
    revocations: Revocations,
}

impl Verifier for RevocableTokens {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let principal = self.tokens.verify_bearer(request, now, trace).await?;
            if let (Some(trace), Some(age)) = (trace, self.revocations.age()) {
                trace.note("statewise.auth.revocations.age", age.as_secs_f64());
            }
            judge(&self.revocations, &principal)?;
            Ok(principal)
        })
    }

    fn missing(&self) -> Pending<'_, Vec<Missing>> {
        let mut missing = self.tokens.missing_to_verify();
        let reason = self.revocations.missing();
        missing.extend(reason.map(|reason| Missing::needed("revocations", reason)));
        Box::pin(std::future::ready(missing))
    }
}

/// A token without an id can be revoked by its login, its user or its time. What is published is about
/// the service's own issuer; another's logins and users may have the same ids.
fn judge(revocations: &Revocations, principal: &Principal) -> Result<(), Refusal> {
    if principal.issuer.is_some() {
        return Ok(());
    }
    let claims = Claims {
        jti: principal.token_id.as_deref().unwrap_or_default(),
        sid: principal.sid.as_deref(),
        sub: &principal.subject,
        iat: principal.issued_at,
        generation: principal.generation,
    };
    match revocations.check(claims) {
        TokenStatus::Valid => Ok(()),
        TokenStatus::Revoked => Err(Refusal::Invalid("token_revoked")),
        TokenStatus::Undecidable => Err(Refusal::Undecidable(
            "the copy of the revocations is too old".to_owned(),
        )),
    }
}
