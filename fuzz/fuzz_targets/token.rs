//! The whole text of a token. Nobody signed it, so it must be refused, as any kind.

#![no_main]

#[path = "signed.rs"]
mod signed;

use libfuzzer_sys::fuzz_target;
use shared::token::{AccessClaims, InternalClaims, LogoutClaims, unverified_kid};

fuzz_target!(|text: &str| {
    let keys = signed::keys();
    let profile = signed::profile();
    let outcomes = [
        profile
            .verify::<AccessClaims>(text, keys, signed::NOW)
            .err(),
        profile
            .verify::<LogoutClaims>(text, keys, signed::NOW)
            .err(),
        profile
            .verify::<InternalClaims>(text, keys, signed::NOW)
            .err(),
    ];
    for outcome in outcomes {
        let error = outcome.expect("a token that nobody signed was accepted");
        assert!(!error.to_string().is_empty());
    }
    let _ = unverified_kid(text);
});
