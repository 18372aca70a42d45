//! `session-cached`: an opaque id, known from memory for as long as Redis says that nothing changed.

use std::{rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{
    server::Missing,
    session::{CacheCounters, CachedSessions, SessionStore},
    telemetry::trace::TraceHandle,
};

use super::{
    Open, Outcome, Pending, Strategy,
    session::{judge, missing, presented},
    sources::OfProcess,
};
use crate::CachedSessionSettings;

const NAME: &str = "session-cached";

/// Looks ids up in this thread's memory, else over its connection.
struct CachedLookup {
    sessions: CachedSessions,
}

/// Prepares the strategy. The connection is its own: on it Redis tells of changes.
pub(super) fn prepare(settings: &CachedSessionSettings, process: &OfProcess<'_>) -> Open {
    let settings = settings.clone();
    let counters = CacheCounters::register(process.metrics);
    Arc::new(move |_| {
        let store = settings.store.clone();
        Rc::new(CachedLookup {
            sessions: CachedSessions::open(store, settings.cache, counters.clone()),
        })
    })
}

impl Strategy for CachedLookup {
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
            let session = self.sessions.read(&id, now, trace).await;
            judge(session).map(Rc::new)
        })
    }

    fn sessions(&self) -> Option<&SessionStore> {
        Some(self.sessions.store())
    }

    fn missing(&self) -> Pending<'_, Option<Missing>> {
        Box::pin(missing(self.sessions.store()))
    }
}
