//! Signing keys: read or made at the start, published, and used by nobody but the issuer.
//!
//! A ring holds any number of keys. The newest (or first given) of the configured algorithm signs;
//! all are published and accepted, so a key can be added long before it signs and stay long after.

mod files;
mod pair;

use std::{path::PathBuf, str::FromStr, sync::Arc};

use serde_json::json;
use shared::token::{KeySet, KeySetError};

pub use self::files::KeyError;
pub(crate) use self::pair::KeyPair;

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
    /// Every `*.pem` file of a folder, the newest last; one is made when none can sign.
    Folder(PathBuf),
    /// Exactly these files, the first of the algorithm signs.
    Files(Vec<PathBuf>),
}

/// The keys of this service. Cheap to clone; `Debug` shows key ids only.
#[derive(Clone, Debug)]
pub struct KeyRing(Arc<Ring>);

#[derive(Debug)]
struct Ring {
    signing: KeyPair,
    jwks: String,
    public: KeySet,
}

impl KeyRing {
    /// Reads the keys, or makes the first one. Blocks on files.
    ///
    /// # Errors
    ///
    /// A file or folder cannot be used; the error says which and what to do.
    pub fn load(source: &KeySource, algorithm: Algorithm, now: u64) -> Result<Self, KeyError> {
        let mut keys = match source {
            KeySource::Folder(folder) => files::read_or_make(folder, algorithm, now)?,
            KeySource::Files(files) => files::read_given(files, algorithm)?,
        };
        let jwks = jwks(&keys);
        let public = KeySet::from_jwks(jwks.as_bytes())?;
        let signs = keys
            .iter()
            .position(|key| key.algorithm() == algorithm)
            .ok_or(KeyError::NoneSigns {
                algorithm: algorithm.name(),
            })?;
        Ok(Self(Arc::new(Ring {
            signing: keys.swap_remove(signs),
            jwks,
            public,
        })))
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> &KeyPair {
        &self.0.signing
    }

    /// The key set as it is published, RFC 7517 §5: public members only.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.0.jwks
    }

    /// The same keys for checking one's own tokens.
    pub(crate) fn public(&self) -> &KeySet {
        &self.0.public
    }
}

impl From<KeySetError> for KeyError {
    fn from(error: KeySetError) -> Self {
        Self::Unpublishable(error.to_string())
    }
}

fn jwks(keys: &[KeyPair]) -> String {
    let mut published: Vec<serde_json::Value> = Vec::new();
    for key in keys {
        let jwk = key.jwk();
        // The same key in two files is one key.
        if !published.contains(&jwk) {
            published.push(jwk);
        }
    }
    json!({ "keys": published }).to_string()
}
