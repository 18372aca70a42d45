//! The issuer's public keys, from a JSON Web Key Set (RFC 7517 §5), parsed once.

mod roca;

use std::collections::{HashMap, hash_map::Entry};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    TokenError,
    parts::{KEY_ID_LIMIT, Parts},
};

/// RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used".
const RSA_MINIMUM_BITS: usize = 2048;
/// What `aws-lc-rs` verifies with; a longer modulus would make each check needlessly slow.
const RSA_MAXIMUM_BITS: usize = 8192;
/// Members that only a private or symmetric key has (RFC 7518 §6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Public keys by id, each with the one algorithm it may be used with.
///
/// Keys that are not for us are left out and hurt nobody: another `kty`, `crv` or `alg`, another
/// `use`, no `kid`, a short or weak RSA key, and any key that shows a private member, since whoever reads
/// the set could then sign. Two different keys of one `kid` are both left out: which of them signed
/// cannot be told, and guessing is how key confusion begins.
#[derive(Default)]
pub struct KeySet(HashMap<String, Key>);

/// Why a document gave no keys. The set in use should then be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON of the form `{"keys": [...]}`.
    #[error("the key set is not a JSON Web Key Set: {0}")]
    Document(#[source] serde_json::Error),
    /// No key that could verify an access token.
    #[error("none of the {0} keys in the set can verify an access token")]
    NoUsableKey(usize),
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    ///
    /// The document cannot be read, or holds no usable key.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(json).map_err(KeySetError::Document)?;
        let mut keys: HashMap<String, Option<Key>> = HashMap::new();
        for member in &document.keys {
            match read(member) {
                Ok((kid, key)) => add(&mut keys, kid, key),
                Err(reason) => tracing::debug!(reason, "a key of the set is left out"),
            }
        }
        let usable: HashMap<_, _> = keys
            .into_iter()
            .filter_map(|(kid, key)| Some((kid, key?)))
            .collect();
        if usable.is_empty() {
            return Err(KeySetError::NoUsableKey(document.keys.len()));
        }
        Ok(Self(usable))
    }

    /// Whether a key of this id is there.
    #[must_use]
    pub fn contains(&self, kid: &str) -> bool {
        self.0.contains_key(kid)
    }

    /// The ids of keys that `newer` has no longer, or has with other public members.
    #[must_use]
    pub fn missing_in(&self, newer: &Self) -> Vec<&str> {
        let same = |kid: &String, key: &Key| newer.0.get(kid).is_some_and(|other| key.is(other));
        self.0
            .iter()
            .filter(|(kid, key)| !same(kid, key))
            .map(|(kid, _)| kid.as_str())
            .collect()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The payload, after its signature was checked with the key of this id, if `algorithm` is that
    /// key's: RFC 7515 §5.2. Before, it is nobody's statement and is not looked at.
    pub(super) fn open(
        &self,
        kid: &str,
        algorithm: &str,
        parts: &Parts<'_>,
    ) -> Result<Vec<u8>, TokenError> {
        let key = self.0.get(kid).ok_or_else(|| TokenError::UnknownKey {
            kid: kid.to_owned(),
        })?;
        if !key.names.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        match crypto::verify(
            parts.signature,
            parts.signed.as_bytes(),
            &key.public,
            key.algorithm,
        ) {
            Ok(true) => parts.payload(),
            // A signature that is no base64url, or of a length that no signature has, is wrong too.
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

struct Key {
    algorithm: Algorithm,
    /// How `alg` names it, in tokens and in the set.
    names: &'static [&'static str],
    public: DecodingKey,
    /// The public members as bytes, to tell a repeated key from another one of the same id.
    material: Vec<u8>,
}

impl Key {
    /// Whether both are one key.
    fn is(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.material == other.material
    }
}

fn add(keys: &mut HashMap<String, Option<Key>>, kid: String, key: Key) {
    match keys.entry(kid) {
        Entry::Vacant(place) => {
            place.insert(Some(key));
        }
        Entry::Occupied(mut place) => {
            if !place.get().as_ref().is_some_and(|other| other.is(&key)) {
                tracing::warn!("two keys of the set have one id; neither is used");
                place.insert(None);
            }
        }
    }
}

fn read(member: &Value) -> Result<(String, Key), &'static str> {
    let jwk = member.as_object().ok_or("it is no object")?;
    if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
        tracing::warn!("the issuer publishes a private or symmetric key; it is not used");
        return Err("it is not public");
    }
    let kid = text(jwk, "kid").ok_or("it has no kid")?;
    if kid.is_empty() || kid.len() > KEY_ID_LIMIT {
        return Err("its kid is empty or too long");
    }
    check_purpose(jwk)?;
    let key = match text(jwk, "kty") {
        Some("RSA") => rsa(jwk)?,
        Some("EC") => elliptic(jwk)?,
        Some("OKP") if text(jwk, "crv") == Some("Ed25519") => edwards(jwk)?,
        _ => return Err("its type or curve is not one of ours"),
    };
    match jwk.get("alg") {
        Some(algorithm)
            if !algorithm
                .as_str()
                .is_some_and(|name| key.names.contains(&name)) =>
        {
            Err("it is for another algorithm")
        }
        _ => Ok((kid.to_owned(), key)),
    }
}

/// RFC 7517 §4.2 and §4.3: a key that says what it is for must say that it verifies signatures.
fn check_purpose(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures");
    }
    let verifies = |operations: &Value| {
        operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    };
    if jwk
        .get("key_ops")
        .is_some_and(|operations| !verifies(operations))
    {
        return Err("it is not for verification");
    }
    Ok(())
}

fn rsa(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    // Some issuers write a leading zero, which is not part of the number (RFC 7518 §2).
    let modulus: Vec<u8> = bytes(jwk, "n")?
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    let exponent = bytes(jwk, "e")?;
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - unused as usize;
    if !(RSA_MINIMUM_BITS..=RSA_MAXIMUM_BITS).contains(&bits) {
        return Err("its modulus is shorter than 2048 or longer than 8192 bits");
    }
    if roca::is_weak(&modulus) {
        return Err("its factors can be found from its modulus (CVE-2017-15361)");
    }
    // The key may be used in six ways, so the set says in which: RFC 8725 §3.1.
    let (algorithm, names): (_, &[&str]) = match text(jwk, "alg") {
        Some("RS384") => (Algorithm::RS384, &["RS384"]),
        Some("RS512") => (Algorithm::RS512, &["RS512"]),
        Some("PS256") => (Algorithm::PS256, &["PS256"]),
        Some("PS384") => (Algorithm::PS384, &["PS384"]),
        Some("PS512") => (Algorithm::PS512, &["PS512"]),
        _ => (Algorithm::RS256, &["RS256"]),
    };
    Ok(Key {
        algorithm,
        names,
        public: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
        material: [modulus, exponent].concat(),
    })
}

fn elliptic(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    let (algorithm, names, length): (_, &[&str], _) = match text(jwk, "crv") {
        Some("P-256") => (Algorithm::ES256, &["ES256"], 32),
        Some("P-384") => (Algorithm::ES384, &["ES384"], 48),
        _ => return Err("its curve is not one of ours"),
    };
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return Err("its coordinates are not of the length of its curve");
    }
    // Uncompressed point, SEC 1 §2.3.3.
    let point = [&[4][..], &x, &y].concat();
    Ok(Key {
        algorithm,
        names,
        public: DecodingKey::from_ec_der(&point),
        material: point,
    })
}

fn edwards(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    let x = bytes(jwk, "x")?;
    if x.len() != 32 {
        return Err("its public key is not 32 bytes");
    }
    Ok(Key {
        algorithm: Algorithm::EdDSA,
        // RFC 9864 §2.2 renames what is one algorithm for this curve.
        names: &["EdDSA", "Ed25519"],
        public: DecodingKey::from_ed_der(&x),
        material: x,
    })
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    text(jwk, name)
        .and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok())
        .filter(|bytes| !bytes.is_empty())
        .ok_or("a member of its public key is missing or not base64url")
}
