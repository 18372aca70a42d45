//! An issuer for tests: a fresh key, made by `aws-lc-rs`, and tokens signed with it.

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

use crate::token::KeySet;

pub(super) struct Signer {
    kid: String,
    key: PrivateKey,
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Elliptic(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    pub(super) fn rs256(kid: &str) -> Self {
        Self::new(
            kid,
            PrivateKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        )
    }

    pub(super) fn es256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(kid, PrivateKey::Elliptic(key))
    }

    pub(super) fn eddsa(kid: &str) -> Self {
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

    /// The header of a good token.
    pub(super) fn header(&self) -> String {
        let algorithm = match self.key {
            PrivateKey::Rsa(_) => "RS256",
            PrivateKey::Elliptic(_) => "ES256",
            PrivateKey::Edwards(_) => "EdDSA",
        };
        json!({"alg": algorithm, "typ": "at+jwt", "kid": self.kid}).to_string()
    }

    pub(super) fn sign_claims(&self, claims: &Value) -> String {
        self.sign(&self.header(), &claims.to_string())
    }

    /// Signs both texts as they are.
    pub(super) fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
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

    /// The public key as a JSON Web Key without optional members.
    pub(super) fn jwk(&self) -> Value {
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

    pub(super) fn key_set(&self) -> KeySet {
        let document = json!({"keys": [self.jwk()]}).to_string();
        KeySet::from_jwks(document.as_bytes()).unwrap()
    }
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
