//! Sessions kept in memory for as long as Redis vouches for them.
//!
//! Each thread has its own connection with `CLIENT TRACKING` on, and a bounded map of the sessions
//! it has read over it. Redis says which of them changed; that is heard before any reply that comes
//! after it. What could make an old session outlive its end, and what prevents it:
//!
//! Redis remembers each key that is read so, and a stranger can ask for any number of them. Therefore
//! a session that is not in memory is first read as if nothing were kept; only one that exists is
//! read once more, tracked and beside the request, to be kept.
//!
//! | danger | prevention |
//! | --- | --- |
//! | the reply to a tracked read is stored after the message that it is out of date | the read leaves a mark before it is sent; the message takes the mark away, and without its own mark a reply is not stored |
//! | the connection breaks, so that messages are lost | everything goes before the next connection is used |
//! | Redis or the network hangs, so that messages are late | a `PING` runs all the time; what is known is believed for [`TRUST_TIMEOUTS`] deadlines after the last one that was answered was sent |
//! | of the nodes of a cluster one is lost, or others come into charge | all of them vouch together, or nothing is believed: then it is as `session` |
//! | the session's own limits | the absolute one is checked on each hit; past the idle one Redis is asked |
//! | an end comes while the connection is lost and old sessions are served by configuration | bounded by the configured time; what was invalidated before is gone |

mod memory;
mod observe;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};

use self::memory::{Look, Memory};
pub use self::observe::CacheCounters;
use super::{
    Session, SessionId, SessionStore, StoreError, StoreSettings,
    commands::{decode, lookup},
    link::WeakLink,
};
use crate::{background::supervised, telemetry::trace::TraceHandle};

/// How many deadlines of a call long the connection is believed to be whole without proof.
const TRUST_TIMEOUTS: u32 = 3;

/// What is kept, and for how long without Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The most sessions that each thread keeps.
    pub entries: NonZeroUsize,
    /// How long after Redis was last heard of a session that was known then may still be used.
    /// Zero: not at all.
    pub serve_stale: Duration,
}

/// The sessions of a store, kept by the thread that opened it.
#[derive(Clone, Debug)]
pub struct CachedSessions {
    store: SessionStore,
    memory: Arc<Memory>,
}

impl CachedSessions {
    /// Begins to connect and returns at once, as [`SessionStore::open`] does.
    #[must_use]
    pub fn open(settings: StoreSettings, cache: CacheSettings, counters: CacheCounters) -> Self {
        let every = settings.timeout;
        let memory = Arc::new(Memory::new(cache, every * TRUST_TIMEOUTS, counters));
        let cached = Self {
            store: SessionStore::open_watched(settings, Arc::clone(&memory) as _),
            memory,
        };
        let memory = Arc::downgrade(&cached.memory);
        let link = cached.store.link.downgrade();
        tokio::spawn(supervised("proof of tracking", move || {
            keep_asking(memory.clone(), link.clone(), every)
        }));
        cached
    }

    /// The store itself, for what is not kept.
    #[must_use]
    pub fn store(&self) -> &SessionStore {
        &self.store
    }

    /// Looks a session up, in memory or else in Redis. `None` when there is none or it is over.
    ///
    /// # Errors
    ///
    /// It is not in memory, and the store did not answer in time or not in the expected form.
    pub async fn read(
        &self,
        id: &SessionId,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let look = self.memory.look(&id.digest(), now);
        if let Some(trace) = trace {
            let cached = !matches!(look, Look::Unknown);
            trace.note("statewise.auth.session.cached", cached);
        }
        match look {
            Look::Live(session) => return Ok(Some(session)),
            Look::Due(session) => {
                let time_to_live = session.record.time_to_live(now);
                self.store.touch(&id.key(), now, time_to_live);
                return Ok(Some(session));
            }
            Look::Over => return Ok(None),
            Look::Unknown => {}
        }
        let session = self.store.read(id, now, trace).await?;
        if session.is_some() {
            self.learn(id);
        }
        Ok(session.map(Arc::new))
    }

    /// Reads a session that exists once more, tracked, and keeps it; one such read of a session at a
    /// time.
    fn learn(&self, id: &SessionId) {
        let digest = id.digest();
        let Some(mark) = self.memory.mark(&digest) else {
            return;
        };
        let (command, link) = (lookup(&id.key()), self.store.link.clone());
        let memory = Arc::clone(&self.memory);
        tokio::spawn(async move {
            let read = link.read_tracked(&command).await;
            let session = read.and_then(|value| decode(&value));
            if let Err(error) = &session {
                tracing::debug!(%error, "a session is not kept");
            }
            memory.settle(&digest, mark, session.ok().flatten());
        });
    }
}

/// Proves again and again that the connection is whole, until nobody uses it any more.
async fn keep_asking(memory: Weak<Memory>, link: WeakLink, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let (Some(memory), Some(link)) = (memory.upgrade(), link.upgrade()) else {
            return;
        };
        let asked = memory.instant();
        if link.proves().await {
            memory.confirm(asked);
        }
    }
}
