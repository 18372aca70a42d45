//! The issuer's public keys, parsed once.

use std::{collections::HashMap, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::profile::KID_LIMIT_BYTES;

const RSA_MINIMUM_BITS: usize = 2048;

/// Public keys by key id, each with the one algorithm it may be used with (RFC 8725 §3.1).
#[derive(Clone, Default)]
pub struct KeySet(HashMap<String, VerificationKey>);

#[derive(Clone)]
pub(super) struct VerificationKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// A document is not a usable key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`.
    #[error("not a JSON Web Key Set (RFC 7517 §5): {0}")]
    Unparsable(#[from] serde_json::Error),
    /// No key in it can verify an access token.
    #[error(
        "none of its {0} keys is an RSA (2048 bits or more), P-256 or Ed25519 signature key with a key id"
    )]
    NoUsableKey(usize),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The members of RFC 7517 and RFC 7518 that matter here; unknown ones are ignored.
#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: String,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JSON Web Key Set.
    ///
    /// A key that is for something else, of an unknown kind, too short or without an id is passed
    /// over (RFC 7517 §5). Of several keys with one id none is used: which one is meant cannot be
    /// known.
    ///
    /// # Errors
    ///
    /// The document is not a key set, or holds no usable key.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(json)?;
        let total = document.keys.len();
        let mut keys: HashMap<String, Option<VerificationKey>> = HashMap::new();
        for value in document.keys {
            let Ok(key) = Key::deserialize(value) else {
                continue;
            };
            if let Some(usable) = key.usable() {
                keys.entry(key.kid)
                    .and_modify(|known| *known = None)
                    .or_insert(Some(usable));
            }
        }
        let keys: HashMap<_, _> = keys
            .into_iter()
            .filter_map(|(kid, key)| Some((kid, key?)))
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey(total));
        }
        Ok(Self(keys))
    }

    /// Whether a key of this id is known.
    #[must_use]
    pub fn contains(&self, kid: &str) -> bool {
        self.0.contains_key(kid)
    }

    /// Whether there is no key at all, as before the first fetch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of usable keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, kid: &str) -> Option<&VerificationKey> {
        self.0.get(kid)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Key {
    fn usable(&self) -> Option<VerificationKey> {
        let for_signatures = self.r#use.as_deref().is_none_or(|value| value == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|operations| operations.iter().any(|name| name == "verify"));
        if !for_signatures || self.kid.is_empty() || self.kid.len() > KID_LIMIT_BYTES {
            return None;
        }
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, self.rsa()?),
            ("EC", Some("P-256")) => (
                Algorithm::ES256,
                DecodingKey::from_ec_components(self.x.as_deref()?, self.y.as_deref()?).ok()?,
            ),
            ("OKP", Some("Ed25519")) => (
                Algorithm::EdDSA,
                DecodingKey::from_ed_components(self.x.as_deref()?).ok()?,
            ),
            _ => return None,
        };
        let named = match self.alg.as_deref() {
            None => true,
            Some("RS256") => algorithm == Algorithm::RS256,
            Some("ES256") => algorithm == Algorithm::ES256,
            // RFC 9864 names the curve; RFC 8037 did not.
            Some("EdDSA" | "Ed25519") => algorithm == Algorithm::EdDSA,
            Some(_) => false,
        };
        named.then_some(VerificationKey { algorithm, key })
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let modulus = URL_SAFE_NO_PAD.decode(self.n.as_deref()?).ok()?;
        let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
        if significant * 8 < RSA_MINIMUM_BITS {
            return None;
        }
        DecodingKey::from_rsa_components(self.n.as_deref()?, self.e.as_deref()?).ok()
    }
}
