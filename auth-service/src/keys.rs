//! Signing keys: kept in the database for all replicas, published, and used by nobody but the issuer.
//!
//! | module | holds |
//! | --- | --- |
//! | [`pair`] | one key: parsed once, then signs |
//! | [`life`] | announced, signing, retired, gone: from times alone (pure) |
//! | [`seal`] | private keys at rest |
//! | [`store`] | the table that replicas share |
//! | [`files`] | keys that are given as files, and the file of the sealing key |

mod files;
mod life;
mod pair;
mod seal;
mod store;

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use serde_json::json;
use shared::{
    clock::Clock,
    token::{KeySet, KeySetError},
};

pub(crate) use self::pair::KeyPair;
pub use self::{
    files::KeyError,
    life::{LEEWAY, Lifetimes, Stage},
    seal::SealingKeys,
};
use crate::storage::Database;

/// How often a replica looks at what the others have made. A key is announced for longer.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// For how long caches may keep a set that changes only with a restart.
const GIVEN_CACHEABLE: Duration = Duration::from_secs(300);

/// A signature algorithm of RFC 7518 §3.1 or RFC 8037 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256; keys made here have 2048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The `alg` of a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Rs256, Self::Es256, Self::EdDsa]
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| format!("{text:?} is none of RS256, ES256, EdDSA"))
    }
}

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In the database, shared by all replicas, made and rotated here; private parts are sealed.
    Database {
        /// Under which key.
        sealing: SealingSource,
        /// How long the parts of a key's life are.
        lifetimes: Lifetimes,
    },
    /// Exactly these files: the first of the algorithm signs, all are published, none is rotated.
    Files(Vec<PathBuf>),
}

/// Where the key is that seals private keys.
#[derive(Clone, Debug)]
pub enum SealingSource {
    /// Given by the environment.
    Given {
        /// The first seals, all open.
        keys: SealingKeys,
        /// What was sealed with the key in this file, before any was given, opens as well.
        earlier: PathBuf,
    },
    /// In this file, which is made when it is absent.
    File(PathBuf),
}

/// The keys of this service: a snapshot that is read without a lock. Cheap to clone; `Debug` shows
/// key ids only.
#[derive(Clone, Debug)]
pub struct KeyRing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    keys: ArcSwap<Keys>,
    opened: Instant,
    /// When the last reading of the database began that succeeded, in milliseconds after `opened`.
    read_at: AtomicU64,
    /// `None` for keys that were given as files.
    rotation: Option<Rotation>,
}

#[derive(Debug)]
struct Rotation {
    database: Database,
    sealing: SealingKeys,
    lifetimes: Lifetimes,
    algorithm: Algorithm,
}

/// All keys that are known, and what of them is published.
#[derive(Debug)]
struct Keys {
    known: Vec<Known>,
    /// When the reading began that found these, in milliseconds after the ring was opened.
    read_at: u64,
    /// Ids of what is published.
    published: Vec<String>,
    jwks: String,
    public: KeySet,
}

/// A key and its place in the sequence. Times are Unix seconds.
#[derive(Clone, Debug)]
struct Known {
    pair: Arc<KeyPair>,
    generation: u64,
    created_at: u64,
    signs_from: u64,
}

/// A key as an administrator sees it. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Key id.
    pub kid: String,
    /// `alg`.
    pub algorithm: &'static str,
    /// What it does now.
    pub stage: Stage,
    /// When it was made and published.
    pub created_at: u64,
    /// When it begins or began to sign.
    pub signs_from: u64,
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
        now: u64,
    ) -> Result<Self, KeyError> {
        let (sealing, lifetimes) = match source {
            KeySource::Files(files) => return Self::given(files, algorithm),
            KeySource::Database { sealing, lifetimes } => (sealing, *lifetimes),
        };
        let rotation = Rotation {
            database: database.clone(),
            sealing: match sealing {
                SealingSource::Given { keys, earlier } if earlier.exists() => {
                    keys.clone().followed_by(files::sealing_key(earlier)?)
                }
                SealingSource::Given { keys, .. } => keys.clone(),
                SealingSource::File(file) => {
                    if database.is_shared() {
                        tracing::warn!(
                            file = %file.display(),
                            "the signing keys are sealed with a file of this machine: replicas on \
                             others need AUTH_KEY_ENCRYPTION_KEY"
                        );
                    }
                    files::sealing_key(file)?
                }
            },
            lifetimes,
            algorithm,
        };
        let opened = Instant::now();
        let mut known = rotation.read(&[]).await?;
        match known.last() {
            None => {
                rotation.add(1, now, now).await?;
                known = rotation.read(&[]).await?;
            }
            // Announced like any other, so that the change of the algorithm is no error to anybody.
            Some(last) if last.pair.algorithm() != algorithm => {
                let signs_from = last.signs_from.max(now + lifetimes.announce.as_secs());
                rotation.add(last.generation + 1, now, signs_from).await?;
                known = rotation.read(&known).await?;
            }
            Some(_) => {}
        }
        let keys = Keys::of(known, 0, &lifetimes, now)?;
        Ok(Self(Arc::new(Shared {
            keys: ArcSwap::from_pointee(keys),
            opened,
            read_at: AtomicU64::new(0),
            rotation: Some(rotation),
        })))
    }

    fn given(files: &[PathBuf], algorithm: Algorithm) -> Result<Self, KeyError> {
        let mut pairs = files::read_given(files, algorithm)?;
        // The one that signs comes last, as the newest does in the database.
        let signs = pairs.iter().position(|pair| pair.algorithm() == algorithm);
        let signing = pairs.remove(signs.unwrap_or_default());
        pairs.push(signing);
        let known = pairs
            .into_iter()
            .zip(1..)
            .map(|(pair, generation)| Known {
                pair: Arc::new(pair),
                generation,
                created_at: 0,
                signs_from: 0,
            })
            .collect();
        let all_stay = Lifetimes {
            announce: GIVEN_CACHEABLE * 2,
            retain: Duration::MAX,
            rotate_every: Duration::ZERO,
            longest_token: Duration::ZERO,
        };
        Ok(Self(Arc::new(Shared {
            keys: ArcSwap::from_pointee(Keys::of(known, 0, &all_stay, 0)?),
            opened: Instant::now(),
            read_at: AtomicU64::new(0),
            rotation: None,
        })))
    }

    /// The key that signs at `now`. A key that was announced takes over at its second, whether or
    /// not the database can be reached then. Without the database for too long nothing is signed:
    /// verifiers could call the token bad before it ends.
    ///
    /// # Errors
    ///
    /// It is unknown which key signs.
    pub(crate) fn signing(&self, now: u64) -> Result<Arc<KeyPair>, KeysUnknown> {
        if !self.is_newer_than(Lifetimes::sign_unread) {
            return Err(KeysUnknown);
        }
        let keys = self.0.keys.load();
        let signing = keys.known.iter().rfind(|key| key.signs_from <= now);
        // A clock that was set back finds the first key.
        let signing = signing.unwrap_or(&keys.known[0]);
        Ok(Arc::clone(&signing.pair))
    }

    /// Whether every key that can have signed by now is known: then an unknown one is nobody's.
    /// Another replica can have announced one just after the last reading, and it signs no earlier
    /// than an announcement later.
    pub(crate) fn knows_all(&self) -> bool {
        self.is_newer_than(|lifetimes| lifetimes.announce)
    }

    /// Whether the last reading is younger than that; given keys are never old.
    fn is_newer_than(&self, limit: impl FnOnce(&Lifetimes) -> Duration) -> bool {
        let rotation = self.0.rotation.as_ref();
        rotation.is_none_or(|rotation| self.age() <= limit(&rotation.lifetimes))
    }

    /// The time since the last reading that succeeded. Not of the wall clock: it may be set.
    fn age(&self) -> Duration {
        let read_at = Duration::from_millis(self.0.read_at.load(Ordering::Relaxed));
        self.0.opened.elapsed().saturating_sub(read_at)
    }

    /// The key set as it is published, RFC 7517 §5: public members only.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.0.keys.load().jwks.clone()
    }

    /// For how long caches may keep the published set. One that was not read anew for a while may
    /// lack a key for as long already.
    #[must_use]
    pub fn cacheable(&self) -> Duration {
        let rotation = self.0.rotation.as_ref();
        rotation.map_or(GIVEN_CACHEABLE, |rotation| {
            let missed = self.age().saturating_sub(FOLLOW_INTERVAL * 4);
            rotation.lifetimes.cacheable().saturating_sub(missed)
        })
    }

    /// The published keys, for checking one's own tokens.
    pub(crate) fn with_public<T>(&self, check: impl FnOnce(&KeySet) -> T) -> T {
        check(&self.0.keys.load().public)
    }

    /// What each key does at `now`, the oldest first.
    #[must_use]
    pub fn statuses(&self, now: u64) -> Vec<KeyStatus> {
        let keys = self.0.keys.load();
        let signs_from = keys.signs_from();
        let stage = |place| match &self.0.rotation {
            Some(rotation) => rotation.lifetimes.stage(&signs_from, place, now),
            None if place + 1 == signs_from.len() => Stage::Signing,
            None => Stage::Retired,
        };
        let status = |(place, key): (usize, &Known)| KeyStatus {
            kid: key.pair.kid().to_owned(),
            algorithm: key.pair.algorithm().name(),
            stage: stage(place),
            created_at: key.created_at,
            signs_from: key.signs_from,
        };
        keys.known.iter().enumerate().map(status).collect()
    }

    /// Makes the next key, which signs after it was announced. Asked again while one is announced,
    /// it gives that one: two administrators, or one who repeats a request, make one key.
    ///
    /// # Errors
    ///
    /// The keys are not ours to rotate, or the database did not take the new one.
    pub async fn rotate(&self, now: u64) -> Result<KeyStatus, RotationError> {
        let rotation = self.0.rotation.as_ref().ok_or(RotationError::Given)?;
        self.refresh(rotation, now).await?;
        if let Some(announced) = self.announced(now) {
            return Ok(announced);
        }
        let signs_from = now + rotation.lifetimes.announce.as_secs();
        self.make_next(rotation, now, signs_from).await?;
        // Announced zero seconds ahead it signs already.
        let newest = self.announced(now).or_else(|| self.statuses(now).pop());
        newest.ok_or(RotationError::Failed(KeyError::Generate))
    }

    fn announced(&self, now: u64) -> Option<KeyStatus> {
        let mut statuses = self.statuses(now).into_iter();
        statuses.find(|key| key.stage == Stage::Announced)
    }

    /// Follows the database, makes keys on schedule and removes what is gone, for ever.
    pub async fn keep(self, clock: Clock) {
        let Some(rotation) = &self.0.rotation else {
            return;
        };
        let mut interval = tokio::time::interval(FOLLOW_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            interval.tick().await;
            let outcome = self.step(rotation, clock.unix_seconds()).await;
            // Once for an outage: what is known goes on signing.
            match &outcome {
                Err(error) if !failing => {
                    tracing::warn!(%error, "the signing keys cannot be followed");
                }
                Ok(()) if failing => tracing::info!("the signing keys are followed again"),
                _ => {}
            }
            failing = outcome.is_err();
        }
    }

    async fn step(&self, rotation: &Rotation, now: u64) -> Result<(), KeyError> {
        self.refresh(rotation, now).await?;
        let last = self.0.keys.load().known.last().map(|key| key.signs_from);
        if let Some(signs_from) = last.and_then(|last| rotation.lifetimes.due(last, now)) {
            self.make_next(rotation, now, signs_from).await?;
        }
        let first = self.0.keys.load().known[0].generation;
        let statuses = self.statuses(now);
        let gone = statuses.iter().take_while(|key| key.stage == Stage::Gone);
        match gone.count() as u64 {
            0 => Ok(()),
            gone => Ok(store::forget_before(&rotation.database, first + gone).await?),
        }
    }

    async fn make_next(
        &self,
        rotation: &Rotation,
        now: u64,
        signs_from: u64,
    ) -> Result<(), KeyError> {
        let last = self.0.keys.load().known.last().map(|key| key.generation);
        rotation
            .add(last.unwrap_or_default() + 1, now, signs_from)
            .await?;
        self.refresh(rotation, now).await
    }

    /// Takes over what the database has, if it makes a difference.
    async fn refresh(&self, rotation: &Rotation, now: u64) -> Result<(), KeyError> {
        let current = self.0.keys.load_full();
        let read_at = self.0.opened.elapsed().as_millis();
        let read_at = u64::try_from(read_at).unwrap_or(u64::MAX);
        let known = rotation.read(&current.known).await?;
        if known.is_empty() {
            // Somebody emptied the table: what is known goes on while that is safe, and a restart
            // makes a new key.
            return Err(KeyError::Emptied);
        }
        let generations =
            |keys: &[Known]| -> Vec<u64> { keys.iter().map(|key| key.generation).collect() };
        let published = published(&known, &rotation.lifetimes, now);
        if generations(&known) != generations(&current.known) || published != current.published {
            let keys = Arc::new(Keys::of(known, read_at, &rotation.lifetimes, now)?);
            // Two readings at the same time may end in another order than they began in.
            self.0.keys.rcu(|current| {
                let newer = current.read_at <= read_at;
                Arc::clone(if newer { &keys } else { current })
            });
        }
        self.0.read_at.fetch_max(read_at, Ordering::Relaxed);
        Ok(())
    }
}

impl Rotation {
    /// The keys of the database; those that are known already are not opened again.
    async fn read(&self, known: &[Known]) -> Result<Vec<Known>, KeyError> {
        let rows = store::all(&self.database).await?;
        let key = |row: &store::Row| {
            let same = known.iter().find(|key| key.pair.kid() == row.kid);
            same.map_or_else(|| self.open(row), |key| Ok(key.clone()))
        };
        rows.iter().map(key).collect()
    }

    fn open(&self, row: &store::Row) -> Result<Known, KeyError> {
        let sealed = || KeyError::Sealed {
            kid: row.kid.clone(),
        };
        let algorithm = Algorithm::from_str(&row.algorithm).map_err(|_| sealed())?;
        let pkcs8 = self.sealing.open(&row.kid, algorithm, &row.sealed);
        let pair = pkcs8.and_then(|pkcs8| KeyPair::from_pkcs8(&pkcs8));
        let pair = pair.filter(|pair| pair.kid() == row.kid && pair.algorithm() == algorithm);
        Ok(Known {
            pair: Arc::new(pair.ok_or_else(sealed)?),
            generation: row.generation,
            created_at: row.created_at,
            signs_from: row.signs_from,
        })
    }

    /// Makes a key and offers it as this generation; another replica's may be taken in its place.
    async fn add(&self, generation: u64, now: u64, signs_from: u64) -> Result<(), KeyError> {
        let algorithm = self.algorithm;
        // An RSA key takes a tenth of a second or more.
        let pkcs8 = tokio::task::spawn_blocking(move || KeyPair::generate(algorithm));
        let pkcs8 = pkcs8.await.ok().and_then(Result::ok);
        let pkcs8 = pkcs8.ok_or(KeyError::Generate)?;
        let pair = KeyPair::from_pkcs8(&pkcs8).ok_or(KeyError::Generate)?;
        let sealed = self.sealing.seal(pair.kid(), algorithm, &pkcs8);
        let row = store::Row {
            generation,
            kid: pair.kid().to_owned(),
            algorithm: algorithm.name().to_owned(),
            sealed: sealed.map_err(|_| KeyError::Generate)?,
            created_at: now,
            signs_from,
        };
        store::add(&self.database, &row).await?;
        tracing::info!(kid = %row.kid, signs_from, "offered a signing key");
        Ok(())
    }
}

impl Keys {
    fn of(
        known: Vec<Known>,
        read_at: u64,
        lifetimes: &Lifetimes,
        now: u64,
    ) -> Result<Self, KeyError> {
        let published = published(&known, lifetimes, now);
        // The newest first: the same key in two files is one key, and readers look there first.
        let mut jwks: Vec<serde_json::Value> = Vec::new();
        for key in known.iter().rev() {
            let jwk = key.pair.jwk();
            if published.iter().any(|kid| kid == key.pair.kid()) && !jwks.contains(&jwk) {
                jwks.push(jwk);
            }
        }
        let jwks = json!({ "keys": jwks }).to_string();
        Ok(Self {
            public: KeySet::from_jwks(jwks.as_bytes())?,
            jwks,
            published,
            read_at,
            known,
        })
    }

    fn signs_from(&self) -> Vec<u64> {
        signs_from(&self.known)
    }
}

fn signs_from(known: &[Known]) -> Vec<u64> {
    known.iter().map(|key| key.signs_from).collect()
}

/// Ids of the keys that are published at `now`.
fn published(known: &[Known], lifetimes: &Lifetimes, now: u64) -> Vec<String> {
    let signs_from = signs_from(known);
    let shown = |place: &usize| lifetimes.stage(&signs_from, *place, now) != Stage::Gone;
    let places = (0..known.len()).filter(shown);
    places
        .map(|place| known[place].pair.kid().to_owned())
        .collect()
}

impl From<KeySetError> for KeyError {
    fn from(error: KeySetError) -> Self {
        Self::Unpublishable(error.to_string())
    }
}
