//! `session`: an opaque id, looked up in Redis on every request.

use actix_web::HttpRequest;
use shared::{server::Missing, session::SessionStore, telemetry::trace::TraceHandle};

use crate::{
    credential::{self, Presented},
    error::Refusal,
    extract::Principal,
};

pub(super) const NAME: &str = "session";

/// Looks ids up over this thread's connection.
pub(crate) struct SessionVerifier {
    store: SessionStore,
}

impl SessionVerifier {
    pub(super) fn new(store: SessionStore) -> Self {
        Self { store }
    }

    pub(super) async fn verify(
        &self,
        request: &HttpRequest,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Principal, Refusal> {
        let id = match credential::session(request).map_err(|_| Refusal::Ambiguous)? {
            Presented::Id(id) => id,
            Presented::Malformed => return Err(Refusal::Invalid("session_malformed")),
            Presented::Nothing => return Err(Refusal::Missing),
        };
        let session = self
            .store
            .read(&id, now, trace)
            .await
            .map_err(|error| Refusal::Undecidable(error.to_string()))?
            .ok_or(Refusal::Invalid("session_unknown"))?;
        Ok(Principal {
            subject: session.record.subject,
            username: session.record.username,
            roles: session.record.roles,
        })
    }

    pub(super) async fn missing(&self) -> Option<Missing> {
        let error = self.store.ping().await.err()?;
        Some(Missing {
            name: "redis",
            reason: error.to_string(),
        })
    }
}
