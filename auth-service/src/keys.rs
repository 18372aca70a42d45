//! Signing keys: kept in the database for all replicas, published, and used by the issuer alone.
//!
//! | module | holds |
//! | --- | --- |
//! | `pair` | one key: parsed once, then signs |
//! | `life` | announced, signing, retired, gone: from times alone (pure) |
//! | `observe` | what the keys do, as metrics |
//! | `ring` | the keys of a running replica: which one signs, which are published |
//! | `snapshot` | the keys as one reading found them |
//! | `rotation` | the keys of the database: read, made, removed |
//! | `store` | their table, which replicas share |
//! | `seal` | private keys at rest |
//! | `files` | keys that are given as files, and the file of the sealing key |

mod error;
mod files;
mod life;
mod observe;
mod pair;
mod ring;
mod rotation;
mod seal;
mod snapshot;
mod store;

use std::{path::PathBuf, str::FromStr};

pub use self::{
    error::KeyError,
    life::{LEEWAY, Lifetimes, Stage},
    ring::{KeyRing, KeyStatus, KeysUnknown, RotationError},
    seal::SealingKeys,
};

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
