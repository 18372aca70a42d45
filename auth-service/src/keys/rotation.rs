//! The keys of the database: read, made and removed.

use std::{str::FromStr, sync::Arc};

use super::{
    Algorithm, SealingSource,
    error::KeyError,
    files,
    pair::KeyPair,
    seal::SealingKeys,
    snapshot::Key,
    store::{self, Row},
};
use crate::storage::{Database, UnixSeconds};

/// What is needed to read keys of the database and to make new ones.
#[derive(Debug)]
pub(super) struct Rotation {
    database: Database,
    sealing: SealingKeys,
    algorithm: Algorithm,
}

impl Rotation {
    /// Keys of this database that are sealed so; new ones are of this algorithm.
    pub(super) fn new(
        database: &Database,
        sealing: &SealingSource,
        algorithm: Algorithm,
    ) -> Result<Self, KeyError> {
        let sealing = match sealing {
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
        };
        Ok(Self {
            database: database.clone(),
            sealing,
            algorithm,
        })
    }

    /// The keys of the database; those that `opened` has are not opened again.
    pub(super) async fn read(&self, opened: &[Key]) -> Result<Vec<Key>, KeyError> {
        let rows = store::all(&self.database).await?;
        let key = |row: &Row| {
            let same = opened.iter().find(|key| key.pair.kid() == row.kid);
            same.map_or_else(|| self.open(row), |key| Ok(key.clone()))
        };
        rows.iter().map(key).collect()
    }

    fn open(&self, row: &Row) -> Result<Key, KeyError> {
        let sealed = || KeyError::Sealed {
            kid: row.kid.clone(),
        };
        let algorithm = Algorithm::from_str(&row.algorithm).map_err(|_| sealed())?;
        let pkcs8 = self.sealing.open(&row.kid, algorithm, &row.sealed);
        let pair = pkcs8.and_then(|pkcs8| KeyPair::from_pkcs8(&pkcs8));
        let pair = pair.filter(|pair| pair.kid() == row.kid && pair.algorithm() == algorithm);
        Ok(Key {
            pair: Arc::new(pair.ok_or_else(sealed)?),
            generation: row.generation,
            created_at: row.created_at,
            signs_from: row.signs_from,
        })
    }

    /// Makes a key and offers it as the one after `last`; the database may have another replica's
    /// in its place.
    pub(super) async fn add_after(
        &self,
        last: Option<&Key>,
        now: UnixSeconds,
        signs_from: UnixSeconds,
    ) -> Result<(), KeyError> {
        let algorithm = self.algorithm;
        // An RSA key takes a tenth of a second or more.
        let pkcs8 = tokio::task::spawn_blocking(move || KeyPair::generate(algorithm));
        let pkcs8 = pkcs8.await.ok().and_then(Result::ok);
        let pkcs8 = pkcs8.ok_or(KeyError::Generate)?;
        let pair = KeyPair::from_pkcs8(&pkcs8).ok_or(KeyError::Generate)?;
        let sealed = self.sealing.seal(pair.kid(), algorithm, &pkcs8);
        let row = Row {
            generation: last.map_or(0, |last| last.generation) + 1,
            kid: pair.kid().to_owned(),
            algorithm: algorithm.name().to_owned(),
            sealed: sealed.map_err(|_| KeyError::Generate)?,
            created_at: now,
            signs_from,
        };
        store::add(&self.database, &row).await?;
        tracing::info!(kid = %row.kid, signs_from = signs_from.get(), "offered a signing key");
        Ok(())
    }

    /// Removes the keys before this one.
    pub(super) async fn remove_before(&self, key: &Key) -> Result<(), KeyError> {
        Ok(store::remove_before(&self.database, key.generation).await?)
    }
}
