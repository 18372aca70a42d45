//! One key: parsed once, then signs. Its private half leaves this module only as a new file's text.

use std::collections::BTreeMap;

use aws_lc_rs::{
    encoding::AsDer,
    error::Unspecified,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use shared::token::ACCESS_TOKEN_TYPE;

use super::Algorithm;

/// The smallest RSA key that is taken, RFC 7518 §3.3.
const RSA_MINIMUM_BYTES: usize = 2048 / 8;

/// A private key with its public half and its id.
pub(crate) struct KeyPair {
    private: Private,
    public: BTreeMap<&'static str, String>,
    kid: String,
    // The part of a token before its first dot: the same for every token of a key.
    token_header: String,
}

enum Private {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl KeyPair {
    /// A new key as PKCS#8 version 1, which every tool reads.
    pub(super) fn generate(algorithm: Algorithm) -> Result<Vec<u8>, Unspecified> {
        Ok(match algorithm {
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)?
                .as_der()?
                .as_ref()
                .to_vec(),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?
                .to_pkcs8v1()?
                .as_ref()
                .to_vec(),
            Algorithm::EdDsa => Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref().to_vec(),
        })
    }

    /// Reads PKCS#8; the key itself says of which kind it is. `None` when it is of no kind that
    /// is known here, or too small.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let private = RsaKeyPair::from_pkcs8(der)
            .ok()
            .filter(|key| key.public_modulus_len() >= RSA_MINIMUM_BYTES)
            .map(Private::Rsa)
            .or_else(|| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                    .ok()
                    .map(Private::P256)
            })
            .or_else(|| Ed25519KeyPair::from_pkcs8(der).ok().map(Private::Ed25519))?;
        let public = private.public();
        let kid = thumbprint(&public);
        let header = serde_json::json!({
            "alg": private.algorithm().name(),
            "kid": kid,
            "typ": ACCESS_TOKEN_TYPE,
        });
        Some(Self {
            private,
            public,
            kid,
            token_header: URL_SAFE_NO_PAD.encode(header.to_string()),
        })
    }

    /// The one algorithm of this key.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.private.algorithm()
    }

    /// The id: the thumbprint of RFC 7638.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as RFC 7517 §4 has it.
    pub(super) fn jwk(&self) -> serde_json::Value {
        let mut members = self.public.clone();
        members.insert("use", "sig".to_owned());
        members.insert("alg", self.algorithm().name().to_owned());
        members.insert("kid", self.kid.clone());
        serde_json::json!(members)
    }

    /// A signed token, RFC 7515 §7.1. The key was parsed at the start: to parse and check an RSA
    /// key again costs as much as the signature.
    pub(crate) fn sign(&self, claims: &[u8]) -> Result<String, Unspecified> {
        let mut token = self.token_header.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.private.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl Private {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The required members of the public JWK (RFC 7638 §3.2), in the order of their names.
    fn public(&self) -> BTreeMap<&'static str, String> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                BTreeMap::from([
                    ("kty", "RSA".to_owned()),
                    ("n", text(&public.n)),
                    ("e", text(&public.e)),
                ])
            }
            Self::P256(key) => {
                // SEC 1 §2.3.3: 0x04, then both coordinates.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                BTreeMap::from([
                    ("kty", "EC".to_owned()),
                    ("crv", "P-256".to_owned()),
                    ("x", text(x)),
                    ("y", text(y)),
                ])
            }
            Self::Ed25519(key) => BTreeMap::from([
                ("kty", "OKP".to_owned()),
                ("crv", "Ed25519".to_owned()),
                ("x", text(key.public_key().as_ref())),
            ]),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )?;
                Ok(signature)
            }
            Self::P256(key) => Ok(key.sign(&SystemRandom::new(), message)?.as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// RFC 7638 §3: the digest of the required members in the order of their names, without spaces.
/// A `BTreeMap` is written in exactly that form.
fn thumbprint(public: &BTreeMap<&'static str, String>) -> String {
    let canonical = serde_json::json!(public).to_string();
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_example_of_the_standard() {
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let members = BTreeMap::from([
            ("e", "AQAB".to_owned()),
            ("kty", "RSA".to_owned()),
            ("n", n.to_owned()),
        ]);
        assert_eq!(
            thumbprint(&members),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn a_key_of_each_algorithm_is_made_read_and_published_without_private_members() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            let der = KeyPair::generate(algorithm).unwrap();
            let key = KeyPair::from_pkcs8(&der).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let jwk = key.jwk();
            assert_eq!(jwk["kid"], key.kid());
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{private} of {algorithm:?}");
            }
        }
    }

    #[test]
    fn debug_output_shows_the_id_only() {
        let der = KeyPair::generate(Algorithm::Es256).unwrap();
        let key = KeyPair::from_pkcs8(&der).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("KeyPair {{ kid: {:?}, .. }}", key.kid())
        );
    }
}
