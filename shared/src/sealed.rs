//! Bytes that only the holder of a key can read or change, and that open only for what they were
//! sealed for: AES-256-GCM (NIST SP 800-38D) with a random nonce each time.
//!
//! ```text
//! nonce (12 bytes) · ciphertext · tag (16 bytes)
//! ```

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// How many bytes longer the sealed form is.
pub const OVERHEAD_BYTES: usize = NONCE_LEN + 16;

/// The cipher itself failed, for instance for want of randomness; says nothing about the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cipher failed")]
pub struct CipherFailed;

/// A key that seals and opens. It has no `Debug`.
pub struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    /// Makes the key ready for use.
    ///
    /// # Errors
    ///
    /// The cipher failed.
    pub fn new(key: &[u8; KEY_BYTES]) -> Result<Self, CipherFailed> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Self)
            .map_err(|_| CipherFailed)
    }

    /// Seals a text for what it is `bound_to`, which is authenticated and not part of the result.
    ///
    /// # Errors
    ///
    /// The cipher failed.
    pub fn seal(&self, plain: &[u8], bound_to: &[u8]) -> Result<Vec<u8>, CipherFailed> {
        let mut text = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(bound_to), &mut text)
            .map_err(|_| CipherFailed)?;
        Ok([nonce.as_ref().as_slice(), &text].concat())
    }

    /// The text; `None` when it was sealed under another key or for something else, or was changed.
    #[must_use]
    pub fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(bound_to), &mut text)
            .ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn only_the_same_key_and_binding_open_what_was_sealed() {
        let sealed = key(1).seal(b"tea", b"ours").unwrap();
        assert_eq!(sealed.len(), b"tea".len() + OVERHEAD_BYTES);
        assert_eq!(key(1).open(&sealed, b"ours").unwrap(), b"tea");
        assert_eq!(key(2).open(&sealed, b"ours"), None);
        assert_eq!(key(1).open(&sealed, b"theirs"), None);
    }

    #[test]
    fn what_was_changed_or_cut_anywhere_does_not_open() {
        let sealed = key(1).seal(b"tea", b"").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(key(1).open(&changed, b""), None, "{place}");
            assert_eq!(key(1).open(&sealed[..place], b""), None, "{place}");
        }
    }
}
