//! Random text for ids and tokens, and what is stored of it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use shared::config::Secret;

/// `BYTES` random bytes as base64url without padding.
///
/// # Panics
///
/// The operating system gives no random numbers, without which no id is safe.
#[must_use]
pub(crate) fn text<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no id is safe to issue"
    )]
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a secret of ours: its SHA-256 in hexadecimal. It has 256 random bits, so a fast
/// digest is enough.
#[must_use]
pub(crate) fn digest(secret: &Secret<String>) -> String {
    let digest = Sha256::digest(secret.expose().as_bytes());
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
