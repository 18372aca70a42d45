//! The keys of a running replica: which one signs, which are published.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use shared::{clock::Clock, telemetry::outage::Outage, token::KeySet};
use tokio::time::MissedTickBehavior;

use super::{
    Algorithm, KeySource,
    error::KeyError,
    files,
    life::{Lifetimes, Stage},
    pair::KeyPair,
    rotation::Rotation,
    snapshot::{Key, Snapshot},
};
use crate::storage::{Database, UnixSeconds};

/// How often a replica looks at what the others have made. A key is announced for longer.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// Of keys that were given as files: all stay, and caches may keep the set for five minutes, since
/// it changes only with a restart.
const GIVEN: Lifetimes = Lifetimes {
    announce: Duration::from_secs(600),
    // Some 34,000 years.
    retain: Duration::from_secs(1 << 40),
    rotate_every: Duration::ZERO,
    longest_token: Duration::ZERO,
};

/// The keys of this service: a snapshot that is read without a lock. Cheap to clone; `Debug` shows
/// key ids only.
#[derive(Clone, Debug)]
pub struct KeyRing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    snapshot: ArcSwap<Snapshot>,
    lifetimes: Lifetimes,
    /// `None` for keys that were given as files.
    rotation: Option<Rotation>,
}

/// A key as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Key id.
    pub kid: String,
    /// `alg`.
    pub algorithm: &'static str,
    /// What it does now.
    pub stage: Stage,
    /// When it was made and published.
    pub created_at: UnixSeconds,
    /// When it begins or began to sign.
    pub signs_from: UnixSeconds,
}

/// The database was not read for so long that the keys of other replicas may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing keys were not read from the database for too long")]
pub struct KeysUnknown;

/// The key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The keys were given as files.
    #[error("the keys are those of AUTH_SIGNING_KEY_FILES, which nobody rotates here")]
    Given,
    /// It could not be done now.
    #[error(transparent)]
    Failed(#[from] KeyError),
}

impl KeyRing {
    /// Reads the keys, and makes the first one, or one of the configured algorithm.
    ///
    /// # Errors
    ///
    /// A file or the database cannot be used; the error says which and what to do.
    pub async fn open(
        source: &KeySource,
        algorithm: Algorithm,
        database: &Database,
        now: UnixSeconds,
    ) -> Result<Self, KeyError> {
        let (sealing, lifetimes) = match source {
            KeySource::Files(files) => return Self::given(files, algorithm, now),
            KeySource::Database { sealing, lifetimes } => (sealing, *lifetimes),
        };
        let rotation = Rotation::new(database, sealing, algorithm)?;
        let read_at = Instant::now();
        let mut keys = rotation.read(&[]).await?;
        let signs_from = match keys.last() {
            None => Some(now),
            // Announced like any other, so that the change of the algorithm is no error to anybody.
            Some(last) if last.pair.algorithm() != algorithm => {
                Some(last.signs_from.max(now + lifetimes.announce))
            }
            Some(_) => None,
        };
        if let Some(signs_from) = signs_from {
            rotation.add_after(keys.last(), now, signs_from).await?;
            keys = rotation.read(&keys).await?;
        }
        let snapshot = Snapshot::new(keys, read_at, &lifetimes, now, None)?;
        Ok(Self::of(snapshot, lifetimes, Some(rotation)))
    }

    fn given(files: &[PathBuf], algorithm: Algorithm, now: UnixSeconds) -> Result<Self, KeyError> {
        let mut pairs = files::read_given(files, algorithm)?;
        // The one that signs comes last, as the newest does in the database.
        let signs = pairs.iter().position(|pair| pair.algorithm() == algorithm);
        let signing = pairs.remove(signs.unwrap_or_default());
        pairs.push(signing);
        let keys = pairs.into_iter().zip(1..).map(|(pair, generation)| Key {
            pair: Arc::new(pair),
            generation,
            created_at: UnixSeconds::default(),
            signs_from: UnixSeconds::default(),
        });
        let snapshot = Snapshot::new(keys.collect(), Instant::now(), &GIVEN, now, None)?;
        Ok(Self::of(snapshot, GIVEN, None))
    }

    fn of(snapshot: Snapshot, lifetimes: Lifetimes, rotation: Option<Rotation>) -> Self {
        Self(Arc::new(Inner {
            snapshot: ArcSwap::from_pointee(snapshot),
            lifetimes,
            rotation,
        }))
    }

    /// The key that signs at `now`. A key that was announced begins to sign at its second, whether
    /// or not the database can be reached then. Without the database for too long nothing is
    /// signed: verifiers could call the token bad before it ends.
    ///
    /// # Errors
    ///
    /// It is unknown which key signs.
    pub(crate) fn signing(&self, now: UnixSeconds) -> Result<Arc<KeyPair>, KeysUnknown> {
        if self.age() > self.0.lifetimes.sign_unread() {
            return Err(KeysUnknown);
        }
        Ok(Arc::clone(&self.0.snapshot.load().signing(now).pair))
    }

    /// Whether every key that can have signed by now is here, so that a token of another key is not
    /// ours. Another replica can have announced a key just after the last reading, and that key signs
    /// no earlier than the time of an announcement later.
    pub(crate) fn is_complete(&self) -> bool {
        self.age() <= self.0.lifetimes.announce
    }

    /// The time since the last reading that succeeded. Keys that were given are never old.
    pub(super) fn age(&self) -> Duration {
        match self.0.rotation {
            Some(_) => self.0.snapshot.load().read_at.elapsed(),
            None => Duration::ZERO,
        }
    }

    /// The key set as it is published, RFC 7517 §5: public members only.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.0.snapshot.load().published.jwks.clone()
    }

    /// For how long caches may keep the published set. One that was not read anew for a while may
    /// lack a key for as long already.
    #[must_use]
    pub fn cacheable(&self) -> Duration {
        let missed = self.age().saturating_sub(FOLLOW_INTERVAL * 4);
        self.0.lifetimes.cacheable().saturating_sub(missed)
    }

    /// The published keys, for checking one's own tokens.
    pub(crate) fn with_public<T>(&self, check: impl FnOnce(&KeySet) -> T) -> T {
        check(&self.0.snapshot.load().published.public)
    }

    /// What each key does at `now`, the oldest first.
    #[must_use]
    pub fn statuses(&self, now: UnixSeconds) -> Vec<KeyStatus> {
        let snapshot = self.0.snapshot.load();
        let stages = snapshot.stages(&self.0.lifetimes, now);
        let status = |(key, stage): (&Key, Stage)| KeyStatus {
            kid: key.pair.kid().to_owned(),
            algorithm: key.pair.algorithm().name(),
            stage,
            created_at: key.created_at,
            signs_from: key.signs_from,
        };
        snapshot.keys.iter().zip(stages).map(status).collect()
    }

    /// For how long the next key should have been announced by `now`.
    pub(super) fn overdue(&self, now: UnixSeconds) -> Duration {
        let last = self.0.snapshot.load().newest().signs_from;
        self.0.lifetimes.overdue(last, now)
    }

    /// Makes the next key, which signs after it was announced. Asked again while one is announced,
    /// it gives that one: two administrators, or one who repeats a request, make one key.
    ///
    /// # Errors
    ///
    /// The keys are not ours to rotate, or the database did not take the new one.
    pub async fn rotate(&self, now: UnixSeconds) -> Result<KeyStatus, RotationError> {
        let rotation = self.0.rotation.as_ref().ok_or(RotationError::Given)?;
        self.refresh(rotation, now).await?;
        if let Some(announced) = self.announced(now) {
            return Ok(announced);
        }
        let signs_from = now + self.0.lifetimes.announce;
        self.make_next(rotation, now, signs_from).await?;
        // Announced zero seconds ahead it signs already.
        let newest = self.announced(now).or_else(|| self.statuses(now).pop());
        newest.ok_or(RotationError::Failed(KeyError::Generate))
    }

    fn announced(&self, now: UnixSeconds) -> Option<KeyStatus> {
        let mut statuses = self.statuses(now).into_iter();
        statuses.find(|key| key.stage == Stage::Announced)
    }

    /// Follows the database, makes keys on schedule and removes what is gone, for ever.
    pub async fn follow(self, clock: Clock) {
        let Some(rotation) = &self.0.rotation else {
            return;
        };
        let mut interval = tokio::time::interval(FOLLOW_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The keys of the last reading go on signing.
        let observer = Outage::of("the store of the signing keys").observer();
        loop {
            interval.tick().await;
            match self.step(rotation, UnixSeconds::now(&clock)).await {
                Ok(()) => observer.recovered(),
                Err(error) => observer.failed(&error),
            }
        }
    }

    async fn step(&self, rotation: &Rotation, now: UnixSeconds) -> Result<(), KeyError> {
        self.refresh(rotation, now).await?;
        let last = self.0.snapshot.load().newest().signs_from;
        if let Some(signs_from) = self.0.lifetimes.due(last, now) {
            self.make_next(rotation, now, signs_from).await?;
        }
        let snapshot = self.0.snapshot.load_full();
        let stages = snapshot.stages(&self.0.lifetimes, now);
        match stages.iter().position(|stage| *stage != Stage::Gone) {
            Some(first @ 1..) => rotation.remove_before(&snapshot.keys[first]).await,
            _ => Ok(()),
        }
    }

    async fn make_next(
        &self,
        rotation: &Rotation,
        now: UnixSeconds,
        signs_from: UnixSeconds,
    ) -> Result<(), KeyError> {
        let snapshot = self.0.snapshot.load_full();
        let last = Some(snapshot.newest());
        rotation.add_after(last, now, signs_from).await?;
        self.refresh(rotation, now).await
    }

    /// Has the keys of the database, as they are now.
    async fn refresh(&self, rotation: &Rotation, now: UnixSeconds) -> Result<(), KeyError> {
        let last = self.0.snapshot.load_full();
        let read_at = Instant::now();
        let keys = rotation.read(&last.keys).await?;
        let read = Snapshot::new(keys, read_at, &self.0.lifetimes, now, Some(&last))?;
        let read = Arc::new(read);
        // Two readings at the same time may end in another order than they began in.
        self.0.snapshot.rcu(|current| {
            let newer = current.read_at <= read_at;
            Arc::clone(if newer { &read } else { current })
        });
        Ok(())
    }
}
