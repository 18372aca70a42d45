//! Random text for ids and tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

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
