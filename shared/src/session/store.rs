//! The store, and reading a session.

use std::sync::Arc;

use redis::{Cmd, Value};

use super::{
    Session, SessionId, StoreSettings,
    commands::{decode, lookup, script, unexpected},
    link::{Fault, Link, Purpose, StoreError, Watcher},
    place::{Place, Tag},
    scripts,
};
use crate::telemetry::trace::TraceHandle;

/// Sessions in Redis, over one multiplexed connection of the thread that opened it.
///
/// Every failure is a [`StoreError`], which means "cannot be decided": never an answer about the
/// credential.
#[derive(Clone, Debug)]
pub struct SessionStore {
    pub(crate) link: Link,
    /// The most sessions of a user.
    pub(super) most: usize,
}

/// The most sessions that a user can have at a time, whatever is configured: a script works for so
/// many while Redis does nothing else.
pub const MOST_SESSIONS: usize = 1_000;

impl SessionStore {
    /// Begins to connect and returns at once; calls fail fast until the connection stands. Must be
    /// called inside the runtime that will drive the connection.
    #[must_use]
    pub fn open(settings: StoreSettings) -> Self {
        Self::over(Link::open(settings, Purpose::Manage))
    }

    /// The same for a service that looks sessions up and keeps carts, and neither makes nor ends
    /// sessions: Redis need not permit it more.
    #[must_use]
    pub fn open_to_check(settings: StoreSettings) -> Self {
        Self::over(Link::open(settings, Purpose::Check))
    }

    pub(super) fn over(link: Link) -> Self {
        Self {
            link,
            most: MOST_SESSIONS,
        }
    }

    /// The same store, in which a user has this many sessions at most, and [`MOST_SESSIONS`]: with one
    /// more, the oldest ends.
    #[must_use]
    pub fn limited_to(self, most: usize) -> Self {
        Self {
            most: most.clamp(1, MOST_SESSIONS),
            ..self
        }
    }

    /// The same, with `watcher` told of what was read and changed.
    pub(super) fn open_watched(settings: StoreSettings, watcher: Arc<dyn Watcher>) -> Self {
        Self::over(Link::open_watched(settings, watcher))
    }

    /// Looks a session up: one `HMGET`, one round trip. `None` when there is none or it is over.
    ///
    /// # Errors
    ///
    /// The store did not answer in time or not in the expected form.
    pub async fn read(
        &self,
        id: &SessionId,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Session>, StoreError> {
        let key = id.key();
        let value = self.link.lookup("HMGET", &lookup(&key), trace).await?;
        let Some(session) = decode(&value)? else {
            return Ok(None);
        };
        let time_to_live = session.record.time_to_live(now);
        if time_to_live == 0 {
            return Ok(None);
        }
        if session.record.touch_due(session.last_seen, now) {
            self.touch(&key, now, time_to_live);
        }
        Ok(Some(session))
    }

    /// Whether the store answers now; of a cluster, whether any of its nodes does.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.link.ping().await
    }

    /// Whether the store can be used now; when it can, what does not work all the same.
    ///
    /// # Errors
    ///
    /// It cannot.
    pub async fn usable(&self) -> Result<Option<Fault>, StoreError> {
        self.ping().await?;
        Ok(self.link.lacking())
    }

    /// Renews the idle limit, off the request's path: a lost touch is made up by the next request.
    pub(super) fn touch(&self, key: &str, now: u64, time_to_live: u64) {
        let mut command = script(scripts::TOUCH, &[key]);
        command.arg(now).arg(time_to_live);
        let link = self.link.clone();
        tokio::spawn(async move {
            if let Err(error) = link.lookup("EVAL", &command, None).await {
                tracing::debug!(%error, "a session was not touched");
            }
        });
    }

    /// Where sessions of a user may be. Versions before there were tags know of no clusters.
    pub(super) fn places(&self, subject: &str) -> impl Iterator<Item = Place> + use<> {
        let plain = (!self.link.is_of_cluster()).then_some(Place::Plain);
        [Place::Tagged(Tag::of(subject))].into_iter().chain(plain)
    }

    /// Does what takes several steps in a place, all of them over one connection and so at one server:
    /// a cursor is of one server only, and what one has confirmed, such as a guard, another one that
    /// takes its place need not have. Once more, if the connection was not one. How many were counted.
    pub(super) async fn undivided<F>(
        &self,
        place: Place,
        steps: impl Fn() -> F,
    ) -> Result<u64, StoreError>
    where
        F: Future<Output = Result<u64, StoreError>>,
    {
        let (key, mut count) = (place.users(), 0);
        for _ in 0..2 {
            let generation = self.link.generation(&key).await?;
            count += steps().await?;
            if self.link.generation(&key).await? == generation {
                return Ok(count);
            }
        }
        Err(StoreError::Broken)
    }

    pub(super) async fn number(
        &self,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        match self.link.command("EVAL", command, trace).await? {
            Value::Int(number) => Ok(u64::try_from(number).unwrap_or_default()),
            other => Err(unexpected("EVAL", &other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use testkit::{eventually, redis::Redis};

    use super::*;

    #[tokio::test]
    async fn steps_over_two_connections_are_done_again_and_fail_when_they_never_have_one() {
        let redis = Redis::start();
        let store = SessionStore::open(StoreSettings {
            url: redis.url().parse().unwrap(),
            tls: None,
            timeout: Duration::from_millis(500),
        });
        eventually(async || store.ping().await.is_ok()).await;
        let (done, broken) = (AtomicUsize::new(0), AtomicUsize::new(1));
        let steps = async || {
            done.fetch_add(1, Ordering::Relaxed);
            let is_to_break = |left: usize| left.checked_sub(1);
            let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
            if broken.fetch_update(set, read, is_to_break).is_ok() {
                let mut kill = redis::cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg("normal");
                kill.arg("SKIPME").arg("no");
                store.link.lookup("CLIENT", &kill, None).await?;
            }
            store.link.lookup("PING", &redis::cmd("PING"), None).await?;
            Ok(1)
        };
        let count = store.undivided(Place::Plain, steps).await;
        assert_eq!((count, done.swap(0, Ordering::Relaxed)), (Ok(2), 2));
        let count = store.undivided(Place::Plain, steps).await;
        assert_eq!((count, done.swap(0, Ordering::Relaxed)), (Ok(1), 1));
        broken.store(2, Ordering::Relaxed);
        let count = store.undivided(Place::Plain, steps).await;
        assert_eq!(count, Err(StoreError::Broken));
    }
}
