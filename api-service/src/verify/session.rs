//! `session`: an opaque id, looked up in Redis on every request.

use std::{borrow::Borrow, rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{
    server::Missing,
    session::{Session, SessionId, SessionStore, StoreError, StoreSettings},
    telemetry::trace::TraceHandle,
};

use super::{Open, Outcome, Pending, Strategy};
use crate::{
    credential::{self, Presented},
    error::Refusal,
    extract::Principal,
};

const NAME: &str = "session";

/// Looks ids up over this thread's connection.
struct Lookup {
    store: SessionStore,
}

/// Prepares the strategy.
pub(super) fn prepare(settings: &StoreSettings) -> Open {
    let settings = settings.clone();
    Arc::new(move |thread| {
        Rc::new(Lookup {
            store: thread.store(&settings),
        })
    })
}

impl Strategy for Lookup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify<'a>(
        &'a self,
        request: &'a HttpRequest,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let id = presented(request)?;
            let session = self.store.read(&id, now, trace).await;
            judge(session).map(Rc::new)
        })
    }

    fn sessions(&self) -> Option<&SessionStore> {
        Some(&self.store)
    }

    fn missing(&self) -> Pending<'_, Option<Missing>> {
        Box::pin(missing(&self.store))
    }
}

/// The id that a request presents.
pub(super) fn presented(request: &HttpRequest) -> Result<SessionId, Refusal> {
    match credential::session(request).map_err(|_| Refusal::Ambiguous)? {
        Presented::Id(id) => Ok(id),
        Presented::Malformed => Err(Refusal::Invalid("session_malformed")),
        Presented::Nothing => Err(Refusal::Missing),
    }
}

/// What the store's answer says about the caller.
pub(super) fn judge<S: Borrow<Session>>(
    read: Result<Option<S>, StoreError>,
) -> Result<Principal, Refusal> {
    let session = read
        .map_err(|error| Refusal::Undecidable(error.to_string()))?
        .ok_or(Refusal::Invalid("session_unknown"))?;
    let record = &session.borrow().record;
    Ok(Principal {
        subject: record.subject.clone(),
        username: record.username.clone(),
        roles: record.roles.clone(),
        // A session from before there were such ids has none.
        sid: Some(record.sid.clone()).filter(|sid| !sid.is_empty()),
        issued_at: record.created_at,
        expires_at: record.expires_at,
        token_id: None,
    })
}

/// Without the store nothing can be decided.
pub(super) async fn missing(store: &SessionStore) -> Option<Missing> {
    let error = store.ping().await.err()?;
    Some(Missing {
        name: "redis",
        reason: error.to_string(),
    })
}
