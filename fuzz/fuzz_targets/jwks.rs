//! A key set, as an issuer that was broken into would publish it.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shared::token::{AccessTokenProfile, KeySet, RolesClaim, TokenAlgorithms, TokenTypes};

/// `{"alg":"EdDSA","typ":"at+jwt","kid":"k"}` and the same for the other two, `{}`, 64 bytes.
const TOKENS: [&str; 3] = [
    "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsifQ",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsifQ",
    "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsifQ",
];

fuzz_target!(|data: &[u8]| {
    let Ok(keys) = KeySet::from_jwks(data) else {
        return;
    };
    assert!(!keys.is_empty(), "a set without a key is an error");
    let profile = AccessTokenProfile {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_secs(60),
        types: TokenTypes::default(),
        algorithms: TokenAlgorithms::default(),
        roles: RolesClaim::default(),
    };
    for header in TOKENS {
        let token = format!("{header}.e30.{}", "A".repeat(86));
        assert!(profile.verify(&token, &keys, 1).is_err());
    }
});
