//! An issuer's private key, fresh for each test, and what is made with it.

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

pub(crate) const ISSUER: &str = "https://issuer.example/auth";
pub(crate) const AUDIENCE: &str = "statewise-api";

pub(crate) struct Signer {
    kid: String,
    key: PrivateKey,
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Elliptic(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

/// The claims of a token that is good from `now` on for 15 minutes.
pub(crate) fn claims(now: u64, roles: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "sub": "u-1", "aud": AUDIENCE, "client_id": "statewise", "jti": "t-1",
        "iat": now, "exp": now + 900, "roles": roles, "sid": "s-1", "preferred_username": "ada",
    })
}

impl Signer {
    pub(crate) fn rs256(kid: &str) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self::new(kid, PrivateKey::Rsa(key))
    }

    pub(crate) fn es256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(kid, PrivateKey::Elliptic(key))
    }

    pub(crate) fn eddsa(kid: &str) -> Self {
        Self::new(
            kid,
            PrivateKey::Edwards(Ed25519KeyPair::generate().unwrap()),
        )
    }

    fn new(kid: &str, key: PrivateKey) -> Self {
        Self {
            kid: kid.to_owned(),
            key,
        }
    }

    /// An access token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let algorithm = match self.key {
            PrivateKey::Rsa(_) => "RS256",
            PrivateKey::Elliptic(_) => "ES256",
            PrivateKey::Edwards(_) => "EdDSA",
        };
        let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": self.kid});
        self.sign_as_written(&header.to_string(), &claims.to_string())
    }

    /// A token of exactly these texts.
    pub(crate) fn sign_as_written(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
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

    /// The key set that publishes this key alone.
    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    pub(crate) fn jwk(&self) -> Value {
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

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
