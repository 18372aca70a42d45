//! `jwt-revocable`: a signed access token, verified in the process, that was not taken back.
//!
//! Every replica follows the feed of what is taken back, so nothing is asked on a request. How old
//! that knowledge may be, and what a verdict is beyond it, is configured.

use std::{rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{
    revocation::{Revocations, Standing},
    server::Missing,
    telemetry::trace::TraceHandle,
};

use super::{
    Open, Outcome, Pending, Strategy,
    sources::OfProcess,
    tokens::{TokenVerifier, Tokens},
};
use crate::{RevocableTokenSettings, error::Refusal, extract::Principal};

const NAME: &str = "jwt-revocable";

/// Verifies the token of each request and looks whether it was taken back.
struct JwtRevocable {
    tokens: Rc<TokenVerifier>,
    revocations: Revocations,
}

/// Starts the strategy.
pub(super) fn prepare(
    settings: &RevocableTokenSettings,
    process: &mut OfProcess<'_>,
) -> Result<Open, reqwest::Error> {
    let tokens = Tokens::start(&settings.tokens, process)?;
    let revocations = process.revocations(&settings.revocations);
    Ok(Arc::new(move |thread| {
        Rc::new(JwtRevocable {
            tokens: tokens.for_this_thread(thread),
            revocations: revocations.clone(),
        })
    }))
}

impl Strategy for JwtRevocable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify<'a>(
        &'a self,
        request: &'a HttpRequest,
        now: u64,
        _: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let principal = self.tokens.verify(request, now).await?;
            judge(standing(&self.revocations, &principal))?;
            Ok(principal)
        })
    }

    fn missing(&self) -> Pending<'_, Option<Missing>> {
        let missing = self.tokens.missing().or_else(|| {
            self.revocations.missing().map(|reason| Missing {
                name: "revocations",
                reason: reason.to_owned(),
            })
        });
        Box::pin(std::future::ready(missing))
    }
}

/// A token without an id can be named by its login, its user or its time.
fn standing(revocations: &Revocations, principal: &Principal) -> Standing {
    revocations.check(
        principal.token_id.as_deref().unwrap_or_default(),
        principal.sid.as_deref(),
        &principal.subject,
        principal.issued_at,
    )
}

fn judge(standing: Standing) -> Result<(), Refusal> {
    match standing {
        Standing::Good => Ok(()),
        Standing::Revoked => Err(Refusal::Invalid("token_revoked")),
        Standing::Undecidable => Err(Refusal::Undecidable(
            "what was taken back lately is not known".to_owned(),
        )),
    }
}
