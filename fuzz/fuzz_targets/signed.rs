//! An issuer with a key that is always the same, so that a finding can be repeated.

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::token::{AccessTokenProfile, KeySet, RolesClaim, TokenAlgorithms, TokenTypes};

pub(crate) const NOW: u64 = 1_800_000_000;
#[allow(dead_code, reason = "one of the targets needs it")]
pub(crate) const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api";

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed"));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    KeySet::from_jwks(set.as_bytes()).expect("the set holds one key")
});

pub(crate) fn keys() -> &'static KeySet {
    &KEYS
}

pub(crate) fn profile() -> AccessTokenProfile {
    AccessTokenProfile {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_secs(86_400),
        types: TokenTypes::default(),
        algorithms: TokenAlgorithms::default(),
        roles: RolesClaim::default(),
    }
}

#[allow(dead_code, reason = "one of the targets needs it")]
pub(crate) fn sign(header: &str, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = KEY.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
