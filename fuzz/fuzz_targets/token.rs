//! The whole text of a token. Nobody signed it, so it must be refused.

#![no_main]

#[path = "signed.rs"]
mod signed;

use libfuzzer_sys::fuzz_target;
use shared::token::{unverified_issuer, unverified_kid};

fuzz_target!(|text: &str| {
    let outcome = signed::profile().verify(text, signed::keys(), signed::NOW);
    let error = outcome.expect_err("a token that nobody signed was accepted");
    assert!(!error.to_string().is_empty());
    let _ = unverified_kid(text);
    let _ = unverified_issuer(text);
});
