//! `session-cached`: an opaque id, read from memory for as long as Redis says that nothing changed.

use std::{num::NonZeroUsize, rc::Rc, sync::Arc, time::Duration};

use shared::{
    config::{Faults, Given},
    server::Missing,
    session::{CacheCounters, CacheSettings, CachedSessions, SessionStore, StoreSettings},
    telemetry::trace::TraceHandle,
};

use super::{
    ClientError, Open, Strategy,
    session_store::{StoreArguments, judge, missing},
    sources::Process,
};
use crate::auth::{About, BEARER, Kind, Outcome, Pending, Request, Verifier};

/// The variables.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: StoreArguments,

    /// session-cached: the most sessions each worker thread keeps in memory.
    #[arg(long, env = "API_SESSION_CACHE", default_value = "10000")]
    session_cache: Given<NonZeroUsize>,

    /// session-cached: how long after Redis last answered a session that is in memory may still be
    /// used; 0s: not at all.
    #[arg(long, env = "API_SESSION_CACHE_SERVE_STALE", default_value = "0s")]
    session_cache_serve_stale: Given<Duration>,
}

/// The strategy `session-cached`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCached {
    /// Which Redis.
    pub store: StoreSettings,
    /// How much is kept, and for how long without Redis.
    pub cache: CacheSettings,
}

impl Strategy for SessionCached {
    const ABOUT: &'static About = &About {
        name: "session-cached",
        summary: "opaque ids, read from memory for as long as Redis says that nothing changed",
        kind: Kind::Id,
        challenge: BEARER,
        needs: None,
    };

    type Arguments = Arguments;

    fn check(arguments: &Arguments, faults: &mut Faults) -> Option<Self> {
        let store = arguments.store.check(faults);
        let entries = arguments.session_cache.value(faults);
        let serve_stale = arguments.session_cache_serve_stale.value(faults);
        Some(Self {
            store: store?,
            cache: CacheSettings {
                entries: entries?,
                serve_stale: serve_stale?,
            },
        })
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        let Self { store, cache } = self.clone();
        let counters = CacheCounters::register(process.metrics);
        // The connection is not shared with other strategies: on it Redis reports changes.
        Ok(Arc::new(move |_| {
            Rc::new(CachedLookup {
                sessions: CachedSessions::open(store.clone(), cache, counters.clone()),
            })
        }))
    }
}

/// Looks ids up in this thread's memory, else over its connection.
struct CachedLookup {
    sessions: CachedSessions,
}

impl Verifier for CachedLookup {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let session = self.sessions.read(&request.session()?, now, trace).await;
            judge(session).map(Rc::new)
        })
    }

    fn sessions(&self) -> Option<&SessionStore> {
        Some(self.sessions.store())
    }

    fn missing(&self) -> Pending<'_, Vec<Missing>> {
        Box::pin(missing(self.sessions.store()))
    }
}
