//! `jwt`: a signed access token, verified in the process; and `phantom`, which is the same here.
//!
//! A `phantom` replica is sent tokens of a few seconds, which the gateway got for the opaque id of
//! the caller. An id that arrives unexchanged is no token, and so no credential. Nothing follows
//! revocations here: a token that outlives its session does so for no longer than it lives.

use std::{rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{server::Missing, telemetry::trace::TraceHandle};

use super::{
    Open, Outcome, Pending, Strategy,
    sources::OfProcess,
    tokens::{TokenVerifier, Tokens},
};
use crate::TokenSettings;

/// Verifies the token of each request.
struct Jwt {
    name: &'static str,
    tokens: Rc<TokenVerifier>,
}

/// Starts the strategy under a name.
pub(super) fn prepare(
    name: &'static str,
    settings: &TokenSettings,
    process: &mut OfProcess<'_>,
) -> Result<Open, reqwest::Error> {
    let tokens = Tokens::start(settings, process)?;
    Ok(Arc::new(move |thread| {
        Rc::new(Jwt {
            name,
            tokens: tokens.for_this_thread(thread),
        })
    }))
}

impl Strategy for Jwt {
    fn name(&self) -> &'static str {
        self.name
    }

    fn verify<'a>(
        &'a self,
        request: &'a HttpRequest,
        now: u64,
        _: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(self.tokens.verify(request, now))
    }

    fn missing(&self) -> Pending<'_, Option<Missing>> {
        Box::pin(std::future::ready(self.tokens.missing()))
    }
}
