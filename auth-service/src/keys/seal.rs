//! Private keys at rest: AES-256-GCM under keys of the configuration.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::sealed::{CipherFailed, KEY_BYTES, SealingKey};

use super::Algorithm;

/// The keys under which private keys are kept: the first seals, all open, so that one can take the
/// place of another. `Debug` shows nothing of them.
#[derive(Clone)]
pub struct SealingKeys(Vec<[u8; KEY_BYTES]>);

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKeys")
    }
}

impl SealingKeys {
    /// Reads keys of 32 bytes in base64url without padding, separated by commas; `None` when the
    /// text is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let key = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_ascii()).ok()?;
            bytes.try_into().ok()
        };
        text.split(',').map(key).collect::<Option<_>>().map(Self)
    }

    /// These, and after them others that open only.
    pub(super) fn followed_by(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Seals a private key for this id and algorithm and no other.
    pub(super) fn seal(
        &self,
        kid: &str,
        algorithm: Algorithm,
        pkcs8: &[u8],
    ) -> Result<String, CipherFailed> {
        let first = self.0.first().ok_or(CipherFailed)?;
        let sealed = SealingKey::new(first)?.seal(pkcs8, &bound_to(kid, algorithm))?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The private key; `None` when it was sealed under none of the keys or for another id, or is
    /// damaged.
    pub(super) fn open(&self, kid: &str, algorithm: Algorithm, sealed: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let bound_to = bound_to(kid, algorithm);
        let open = |key| SealingKey::new(key).ok()?.open(&sealed, &bound_to);
        self.0.iter().find_map(open)
    }
}

/// A row whose parts were exchanged with another's does not open.
fn bound_to(kid: &str, algorithm: Algorithm) -> Vec<u8> {
    format!("statewise signing key 1 {} {kid}", algorithm.name()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKeys {
        SealingKeys(vec![[byte; KEY_BYTES]])
    }

    #[test]
    fn only_the_same_key_id_and_algorithm_open_what_was_sealed() {
        let sealed = key(1).seal("a", Algorithm::EdDsa, b"private").unwrap();
        let open = |key: SealingKeys, kid, algorithm| key.open(kid, algorithm, &sealed);
        assert_eq!(open(key(1), "a", Algorithm::EdDsa).unwrap(), b"private");
        assert_eq!(open(key(2), "a", Algorithm::EdDsa), None);
        assert_eq!(open(key(1), "b", Algorithm::EdDsa), None);
        assert_eq!(open(key(1), "a", Algorithm::Es256), None);
        for damaged in ["", "AAAA", &sealed[1..], &sealed[..sealed.len() - 2]] {
            assert_eq!(key(1).open("a", Algorithm::EdDsa, damaged), None);
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open_so_that_one_takes_the_place_of_another() {
        let (old, new) = (key(1), key(2));
        let both = SealingKeys([new.0.clone(), old.0.clone()].concat());
        let open = |key: &SealingKeys, sealed: &str| key.open("a", Algorithm::EdDsa, sealed);
        let before = old.seal("a", Algorithm::EdDsa, b"private").unwrap();
        assert_eq!(open(&both, &before).unwrap(), b"private");
        let after = both.seal("a", Algorithm::EdDsa, b"private").unwrap();
        assert_eq!(open(&new, &after).unwrap(), b"private");
        assert_eq!(open(&old, &after), None);
    }

    #[test]
    fn a_key_is_32_bytes_and_shows_nothing() {
        let text = URL_SAFE_NO_PAD.encode([7; KEY_BYTES]);
        let read = SealingKeys::parse(&text).unwrap();
        assert_eq!(format!("{read:?}"), "SealingKeys");
        assert!(SealingKeys::parse(&format!("{text}\n")).is_some());
        assert!(SealingKeys::parse(&format!("{text},{text}")).is_some());
        let followed = format!("{text},");
        for wrong in ["", "short", &followed, &text[1..], "=".repeat(43).as_str()] {
            assert!(SealingKeys::parse(wrong).is_none(), "{wrong}");
        }
    }
}
