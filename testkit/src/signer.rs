//! An issuer's private key, fresh for each test, and what is made with it.

#![expect(
    clippy::unwrap_used,
    reason = "without the key that a test asked for it has failed"
)]

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The `iss` of [`claims`].
pub const ISSUER: &str = "https://issuer.example/auth";
/// The `aud` of [`claims`].
pub const AUDIENCE: &str = "statewise-api";

/// A private key with its id, as an issuer has it.
pub struct Signer {
    kid: String,
    key: PrivateKey,
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Elliptic(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

/// The claims of an access token that is good from `now` (Unix seconds) on for 15 minutes.
#[must_use]
pub fn claims(now: u64, roles: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "sub": "u-1", "aud": AUDIENCE, "client_id": "statewise", "jti": "t-1",
        "iat": now, "exp": now + 900, "roles": roles, "sid": "s-1", "preferred_username": "ada",
    })
}

impl Signer {
    /// A new RSA key of 2048 bits, for RS256 (RFC 7518 §3.3).
    ///
    /// # Panics
    ///
    /// No key can be made.
    #[must_use]
    pub fn rs256(kid: &str) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self::new(kid, PrivateKey::Rsa(key))
    }

    /// A new key on P-256, for ES256 (RFC 7518 §3.4).
    ///
    /// # Panics
    ///
    /// No key can be made.
    #[must_use]
    pub fn es256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(kid, PrivateKey::Elliptic(key))
    }

    /// A new Ed25519 key, for EdDSA (RFC 8037).
    ///
    /// # Panics
    ///
    /// No key can be made.
    #[must_use]
    pub fn eddsa(kid: &str) -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        Self::new(kid, PrivateKey::Edwards(key))
    }

    fn new(kid: &str, key: PrivateKey) -> Self {
        Self {
            kid: kid.to_owned(),
            key,
        }
    }

    /// The header of a good access token of this key.
    #[must_use]
    pub fn header(&self) -> String {
        let algorithm = match self.key {
            PrivateKey::Rsa(_) => "RS256",
            PrivateKey::Elliptic(_) => "ES256",
            PrivateKey::Edwards(_) => "EdDSA",
        };
        json!({"alg": algorithm, "typ": "at+jwt", "kid": self.kid}).to_string()
    }

    /// An access token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as_written(&self.header(), &claims.to_string())
    }

    /// A token of exactly these texts.
    #[must_use]
    pub fn sign_as_written(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    /// The signature of a message.
    ///
    /// # Panics
    ///
    /// The key cannot sign.
    #[must_use]
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            PrivateKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            PrivateKey::Elliptic(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            PrivateKey::Edwards(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The key set (RFC 7517 §5) that publishes this key alone.
    #[must_use]
    pub fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    /// The public key as a JSON Web Key without optional members.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let kid = &self.kid;
        match &self.key {
            PrivateKey::Rsa(key) => {
                let public = key.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                let exponent = public.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "kid": kid, "n": encode(modulus), "e": encode(exponent)})
            }
            PrivateKey::Elliptic(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encode(x), "y": encode(y)})
            }
            PrivateKey::Edwards(key) => {
                let x = encode(key.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }
}

/// base64url without padding (RFC 4648 §5).
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
