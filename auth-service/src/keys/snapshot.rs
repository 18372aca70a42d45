//! The keys as one reading found them, and what is published of them.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use shared::token::KeySet;

use super::{
    error::KeyError,
    life::{Lifetimes, Stage},
    pair::KeyPair,
};
use crate::storage::UnixSeconds;

/// A key and its place in the sequence.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) pair: Arc<KeyPair>,
    pub(super) generation: i64,
    pub(super) created_at: UnixSeconds,
    pub(super) signs_from: UnixSeconds,
}

/// All keys of one reading.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// At least one, in the order of their generations.
    pub(super) keys: Vec<Key>,
    /// When the reading began. Not of the wall clock, which may be set.
    pub(super) read_at: Instant,
    pub(super) published: Arc<Published>,
}

/// What verifiers get.
#[derive(Debug)]
pub(super) struct Published {
    kids: Vec<String>,
    /// The key set, RFC 7517 §5: public members only.
    pub(super) jwks: String,
    pub(super) public: KeySet,
}

impl Snapshot {
    /// The keys of a reading that began at `read_at`. What `last` published stays when it is the
    /// same: to make it anew twice a second would cost more than the reading.
    pub(super) fn new(
        keys: Vec<Key>,
        read_at: Instant,
        lifetimes: &Lifetimes,
        now: UnixSeconds,
        last: Option<&Self>,
    ) -> Result<Self, KeyError> {
        if keys.is_empty() {
            // A running service goes on with what it has while that is safe; a restart makes a key.
            return Err(KeyError::Emptied);
        }
        let stages = stages(&keys, lifetimes, now);
        let published = keys
            .iter()
            .zip(stages)
            .filter(|(_, stage)| *stage != Stage::Gone);
        let kids: Vec<String> = published
            .map(|(key, _)| key.pair.kid().to_owned())
            .collect();
        let published = match last {
            Some(last) if last.published.kids == kids => Arc::clone(&last.published),
            _ => Arc::new(Published::new(&keys, kids)?),
        };
        Ok(Self {
            keys,
            read_at,
            published,
        })
    }

    /// The key that signs at `now`; the first one by a clock that was set back.
    pub(super) fn signing(&self, now: UnixSeconds) -> &Key {
        let signing = self.keys.iter().rfind(|key| key.signs_from <= now);
        signing.unwrap_or(&self.keys[0])
    }

    /// The key that was made last.
    pub(super) fn newest(&self) -> &Key {
        &self.keys[self.keys.len() - 1]
    }

    /// What each key does at `now`.
    pub(super) fn stages(&self, lifetimes: &Lifetimes, now: UnixSeconds) -> Vec<Stage> {
        stages(&self.keys, lifetimes, now)
    }
}

impl Published {
    fn new(keys: &[Key], kids: Vec<String>) -> Result<Self, KeyError> {
        // The newest first: the same key in two files is one key, and readers look there first.
        let mut jwks: Vec<Value> = Vec::new();
        for key in keys.iter().rev() {
            let jwk = key.pair.jwk();
            if kids.iter().any(|kid| kid == key.pair.kid()) && !jwks.contains(&jwk) {
                jwks.push(jwk);
            }
        }
        let jwks = json!({ "keys": jwks }).to_string();
        Ok(Self {
            kids,
            public: KeySet::from_jwks(jwks.as_bytes())?,
            jwks,
        })
    }
}

fn stages(keys: &[Key], lifetimes: &Lifetimes, now: UnixSeconds) -> Vec<Stage> {
    let signs_from: Vec<UnixSeconds> = keys.iter().map(|key| key.signs_from).collect();
    let places = 0..keys.len();
    places
        .map(|place| lifetimes.stage(&signs_from, place, now))
        .collect()
}
