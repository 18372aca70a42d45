//! The side of a resource server: a copy of the revocations, and the time it was last known to be
//! complete.

mod answers;
mod observe;
mod rounds;
mod tail;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use self::observe::{Now, Observed};
use super::{Claims, Entry, set::Set};
use crate::{
    background::supervised,
    clock::Clock,
    session::StoreSettings,
    shutdown::CancellationToken,
    telemetry::{
        metrics::Metrics,
        outage::{Observer, Outage},
    },
};

/// Where the feed is, and what to do when it cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerSettings {
    /// Where, and the deadline of a call.
    pub store: StoreSettings,
    /// How long ago the copy may last have been known to be complete. Publishers end a round each
    /// half second, so it is some second old at any time.
    pub max_age: Duration,
    /// What then.
    pub when_stale: WhenStale,
}

/// What a verdict is when revocations may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// None can be given.
    Refuse,
    /// The token stands, as it would without revocations.
    Accept,
}

/// What the copy says of a token whose signature and claims are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// It was not revoked.
    Valid,
    /// It was revoked.
    Revoked,
    /// The copy is stale or was never read, so that cannot be said.
    Undecidable,
}

/// A handle on the copy; clones share it.
#[derive(Clone, Debug)]
pub struct Revocations(Arc<Shared>);

/// The copy.
#[derive(Debug)]
pub(super) struct Shared {
    set: RwLock<Set>,
    /// Milliseconds from `started` to when the copy was last complete, plus one; 0: never.
    complete_at: AtomicU64,
    /// The same of when the feed was last read.
    read_at: AtomicU64,
    sequence: AtomicU64,
    started: Instant,
    max_age: Duration,
    when_stale: WhenStale,
    observed: Observed,
    /// Tells why the feed cannot be followed.
    observer: Observer,
}

impl Revocations {
    /// Starts to follow on a connection of its own, until `stop`. Must be called inside a runtime.
    #[must_use]
    pub fn follow(
        settings: FollowerSettings,
        clock: Clock,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Self {
        let observed = Observed::default();
        observed.register(metrics);
        let shared = Arc::new(Shared {
            set: RwLock::default(),
            complete_at: AtomicU64::new(0),
            read_at: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            started: Instant::now(),
            max_age: settings.max_age,
            when_stale: settings.when_stale,
            observed,
            observer: Outage::of("the feed of revocations").observer(),
        });
        Now::register(&shared, metrics);
        let of_task = Arc::clone(&shared);
        let tail = supervised("revocations", move || {
            tail::Tail::new(settings.store.clone(), clock.clone(), Arc::clone(&of_task)).run()
        });
        tokio::spawn(stop.clone().run_until_cancelled_owned(tail));
        Self(shared)
    }

    /// Whether a token with these claims was revoked. What the copy names is refused however stale it
    /// is.
    #[must_use]
    pub fn check(&self, token: Claims<'_>) -> TokenStatus {
        let shared = &*self.0;
        if shared.read().refuses(token) {
            return TokenStatus::Revoked;
        }
        match shared.age() {
            Some(age) if age <= shared.max_age => TokenStatus::Valid,
            Some(_) if shared.when_stale == WhenStale::Accept => {
                shared.observed.stale("accepted");
                TokenStatus::Valid
            }
            // Whoever has never heard of any revocation knows of none, whatever the policy.
            _ => {
                shared.observed.stale("refused");
                TokenStatus::Undecidable
            }
        }
    }

    /// How old the copy is: the time since it was last known to be complete. `None`: it never was.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.age()
    }

    /// Why no verdict can be given now.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let shared = &*self.0;
        let is_stale = match shared.age() {
            None => true,
            Some(age) => age > shared.max_age && shared.when_stale == WhenStale::Refuse,
        };
        let is_read = shared
            .since(&shared.read_at)
            .is_some_and(|age| age <= shared.max_age);
        let what = match (is_stale, is_read) {
            (false, _) => return None,
            (true, true) => {
                "the feed of revocations is read and not written: \
                 no auth-service keeps it, or its Redis takes no writes"
            }
            (true, false) => "the feed of revocations cannot be read, or there is none",
        };
        Some(match shared.observer.reason() {
            Some(reason) if !is_read => format!("{what}: {reason}"),
            _ => what.to_owned(),
        })
    }
}

impl Shared {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Set> {
        self.set.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the copy was last known to be complete; `None`: never.
    pub(super) fn age(&self) -> Option<Duration> {
        self.since(&self.complete_at)
    }

    fn since(&self, at: &AtomicU64) -> Option<Duration> {
        let at = at.load(Ordering::Acquire).checked_sub(1)?;
        Some(
            self.started
                .elapsed()
                .saturating_sub(Duration::from_millis(at)),
        )
    }

    pub(super) fn entries(&self) -> usize {
        self.read().len()
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Adds entries to what is known.
    fn merge(&self, entries: Vec<Entry>, sequence: u64) {
        let mut set = self.write();
        for entry in entries {
            set.add(entry);
        }
        drop(set);
        self.sequence.store(sequence, Ordering::Relaxed);
    }

    /// Notes that everything that was revoked by `then` is known.
    fn complete(&self, then: Instant) {
        self.note(&self.complete_at, then);
    }

    fn note(&self, at: &AtomicU64, then: Instant) {
        let then = then.saturating_duration_since(self.started).as_millis();
        let then = u64::try_from(then).unwrap_or(u64::MAX - 1);
        // Of an earlier look nothing is learnt.
        at.fetch_max(then + 1, Ordering::AcqRel);
    }
}
