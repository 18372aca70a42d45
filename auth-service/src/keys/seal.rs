//! Private keys at rest: AES-256-GCM under the key of the configuration.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Algorithm;

/// Length of the key in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// The key under which private keys are kept. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SealingKey([u8; KEY_BYTES]);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

impl SealingKey {
    /// Reads 32 bytes in base64url without padding; `None` when the text is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_ascii()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Seals a private key for this id and algorithm and no other.
    pub(super) fn seal(
        &self,
        kid: &str,
        algorithm: Algorithm,
        pkcs8: &[u8],
    ) -> Result<String, Unspecified> {
        let mut text = pkcs8.to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(bound_to(kid, algorithm), &mut text)?;
        let whole = [nonce.as_ref().as_slice(), &text].concat();
        Ok(URL_SAFE_NO_PAD.encode(whole))
    }

    /// The private key; `None` when it was sealed under another key or for another id, or is
    /// damaged.
    pub(super) fn open(&self, kid: &str, algorithm: Algorithm, sealed: &str) -> Option<Vec<u8>> {
        let mut whole = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = whole.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let cipher = self.cipher().ok()?;
        let opened = cipher
            .open_in_place(nonce, bound_to(kid, algorithm), text)
            .ok()?;
        Some(opened.to_vec())
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0)
    }
}

/// A row whose parts were exchanged with another's does not open.
fn bound_to(kid: &str, algorithm: Algorithm) -> Aad<String> {
    Aad::from(format!(
        "statewise signing key 1 {} {kid}",
        algorithm.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey([byte; KEY_BYTES])
    }

    #[test]
    fn only_the_same_key_id_and_algorithm_open_what_was_sealed() {
        let sealed = key(1).seal("a", Algorithm::EdDsa, b"private").unwrap();
        let open = |key: SealingKey, kid, algorithm| key.open(kid, algorithm, &sealed);
        assert_eq!(open(key(1), "a", Algorithm::EdDsa).unwrap(), b"private");
        assert_eq!(open(key(2), "a", Algorithm::EdDsa), None);
        assert_eq!(open(key(1), "b", Algorithm::EdDsa), None);
        assert_eq!(open(key(1), "a", Algorithm::Es256), None);
        for damaged in ["", "AAAA", &sealed[1..], &sealed[..sealed.len() - 2]] {
            assert_eq!(key(1).open("a", Algorithm::EdDsa, damaged), None);
        }
    }

    #[test]
    fn a_key_is_32_bytes_and_shows_nothing() {
        let text = URL_SAFE_NO_PAD.encode([7; KEY_BYTES]);
        let read = SealingKey::parse(&text).unwrap();
        assert_eq!(format!("{read:?}"), "SealingKey");
        assert!(SealingKey::parse(&format!("{text}\n")).is_some());
        for wrong in ["", "short", &text[1..], "=".repeat(43).as_str()] {
            assert!(SealingKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
