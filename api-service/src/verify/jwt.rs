//! `jwt`: a signed access token, verified in the process.

use std::{rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{server::Missing, telemetry::trace::TraceHandle};

use super::{
    Open, Outcome, Pending, Strategy,
    sources::OfProcess,
    tokens::{TokenVerifier, Tokens},
};
use crate::TokenSettings;

const NAME: &str = "jwt";

struct Jwt {
    tokens: TokenVerifier,
}

/// Starts the strategy.
pub(super) fn prepare(
    settings: &TokenSettings,
    process: &mut OfProcess<'_>,
) -> Result<Open, reqwest::Error> {
    let tokens = Tokens::start(settings, process)?;
    Ok(Arc::new(move |_| {
        Rc::new(Jwt {
            tokens: tokens.for_this_thread(),
        })
    }))
}

impl Strategy for Jwt {
    fn name(&self) -> &'static str {
        NAME
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
