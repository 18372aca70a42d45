//! What a thread knows of sessions, and whether it may believe it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

use super::{CacheCounters, CacheSettings};
use crate::session::{
    Session,
    link::Watcher,
    place::{Digest, digest_of},
};

/// The map, shared with the driver of the connection.
pub(super) struct Memory {
    contents: Mutex<Contents>,
    serve_stale: Duration,
    trust: Duration,
    counters: CacheCounters,
}

struct Contents {
    slots: LruCache<Digest, Slot>,
    /// The connection that what is known was read over.
    connection: Option<u64>,
    /// When it was last known to be whole.
    confirmed: Instant,
    last_mark: u64,
}

enum Slot {
    /// A tracked read is under way, and nothing was said of the key since it was sent.
    Reading(Mark),
    Session {
        session: Arc<Session>,
        /// When this thread last asked for a touch.
        touch_asked: u64,
    },
}

/// Tells reads from those that came before an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// What is known of a session.
pub(super) enum Look {
    /// It is this one.
    Live(Arc<Session>),
    /// The same, and it is time to touch it.
    Due(Arc<Session>),
    /// It has reached its absolute limit.
    Over,
    /// Nothing.
    Unknown,
}

/// A point in time on a connection.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    at: Instant,
    connection: Option<u64>,
}

impl Memory {
    pub(super) fn new(cache: CacheSettings, trust: Duration, counters: CacheCounters) -> Self {
        Self {
            contents: Mutex::new(Contents {
                slots: LruCache::new(cache.entries),
                connection: None,
                confirmed: Instant::now(),
                last_mark: 0,
            }),
            serve_stale: cache.serve_stale,
            trust,
            counters,
        }
    }

    /// What is known of a session at `now` (Unix seconds).
    pub(super) fn look(&self, digest: &Digest, now: u64) -> Look {
        let mut contents = self.lock();
        let whole = self.is_whole(&contents);
        if whole || contents.confirmed.elapsed() < self.serve_stale {
            let look = contents.find(digest, now, whole);
            match &look {
                Look::Unknown => {}
                _ if whole => {
                    self.counters.hits.inc();
                    return look;
                }
                _ => {
                    self.counters.stale.inc();
                    return look;
                }
            }
        }
        self.counters.misses.inc();
        Look::Unknown
    }

    /// Whether all that Redis had to say until a moment ago was heard.
    fn is_whole(&self, contents: &Contents) -> bool {
        contents.connection.is_some() && contents.confirmed.elapsed() < self.trust
    }

    /// Marks that a session is about to be read, tracked. `None` when another read is under way or
    /// has ended, and when the answer could not be believed.
    pub(super) fn mark(&self, digest: &Digest) -> Option<Mark> {
        let mut contents = self.lock();
        if !self.is_whole(&contents) || contents.slots.contains(digest) {
            return None;
        }
        contents.last_mark += 1;
        let mark = Mark(contents.last_mark);
        if contents.slots.push(*digest, Slot::Reading(mark)).is_some() {
            self.counters.evicted.inc();
        }
        Some(mark)
    }

    /// Ends the read of this mark, and keeps what it gave if nothing was said of the key meanwhile.
    pub(super) fn settle(&self, digest: &Digest, mark: Mark, session: Option<Session>) {
        let mut contents = self.lock();
        match (contents.slots.get_mut(digest), session) {
            (Some(slot), Some(session)) if slot.is(mark) => {
                *slot = Slot::Session {
                    session: Arc::new(session),
                    touch_asked: 0,
                };
            }
            (Some(slot), None) if slot.is(mark) => {
                contents.slots.pop(digest);
            }
            _ => {}
        }
    }

    /// Now, on the connection of now.
    pub(super) fn instant(&self) -> Asked {
        Asked {
            at: Instant::now(),
            connection: self.lock().connection,
        }
    }

    /// What was asked then was answered just now: if the connection is still the same one, all that
    /// Redis had to say by then was heard.
    pub(super) fn confirm(&self, asked: Asked) {
        let mut contents = self.lock();
        if asked.connection.is_some() && asked.connection == contents.connection {
            contents.confirmed = asked.at;
        }
    }

    fn flush(&self, contents: &mut Contents) {
        if !contents.slots.is_empty() {
            contents.slots.clear();
            self.counters.flushes.inc();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Memory {
    fn connected(&self, generation: u64) {
        let mut contents = self.lock();
        self.flush(&mut contents);
        contents.connection = Some(generation);
        contents.confirmed = Instant::now();
    }

    fn invalidated(&self, key: Option<&[u8]>) {
        let mut contents = self.lock();
        match key {
            // Also from a connection that is given up: to know less is never wrong.
            Some(key) => {
                if let Some(digest) = digest_of(key)
                    && contents.slots.pop(&digest).is_some()
                {
                    self.counters.invalidations.inc();
                }
            }
            None => self.flush(&mut contents),
        }
    }

    fn lost(&self, generation: u64) {
        let mut contents = self.lock();
        if contents.connection != Some(generation) {
            return;
        }
        contents.connection = None;
        if self.serve_stale.is_zero() {
            self.flush(&mut contents);
        }
    }
}

impl Contents {
    /// The session, when it is there and within its limits. When `touching`, a touch that is due is
    /// asked for, once.
    fn find(&mut self, digest: &Digest, now: u64, touching: bool) -> Look {
        let Some(Slot::Session {
            session,
            touch_asked,
        }) = self.slots.get_mut(digest)
        else {
            return Look::Unknown;
        };
        let record = &session.record;
        if now >= record.expires_at {
            self.slots.pop(digest);
            return Look::Over;
        }
        if now >= session.last_seen.saturating_add(record.idle_seconds) {
            // Somebody else may have touched it; Redis knows.
            self.slots.pop(digest);
            return Look::Unknown;
        }
        let last = session.last_seen.max(*touch_asked);
        if touching && record.touch_due(last, now) {
            *touch_asked = now;
            return Look::Due(Arc::clone(session));
        }
        Look::Live(Arc::clone(session))
    }
}

impl Slot {
    fn is(&self, mark: Mark) -> bool {
        matches!(self, Self::Reading(own) if *own == mark)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contents = self.lock();
        f.debug_struct("Memory")
            .field("sessions", &contents.slots.len())
            .field("connection", &contents.connection)
            .finish()
    }
}

#[cfg(test)]
mod tests;
