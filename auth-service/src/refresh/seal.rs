//! A successor, sealed under a key that only its parent gives.
//!
//! The database keeps digests of tokens, and the key is derived from the token itself, so who reads
//! the database can open nothing. A parent has 256 random bits: HKDF without a salt is enough
//! (RFC 5869 §3.1), and each parent seals one successor that is kept.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::{
    config::Secret,
    sealed::{CipherFailed, KEY_BYTES, SealingKey},
};

use super::RefreshToken;

/// What the key is for: a token that becomes a key elsewhere must give another one.
const PURPOSE: &[u8] = b"statewise refresh token successor, AES-256-GCM, 1";

/// The successor, sealed, in base64url.
pub(super) fn seal(
    successor: &RefreshToken,
    parent: &RefreshToken,
) -> Result<String, CipherFailed> {
    let sealed = key(parent)?.seal(successor.expose().as_bytes(), &[])?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// The successor; `None` when it was sealed under another parent or is damaged.
pub(super) fn open(sealed: &str, parent: &RefreshToken) -> Option<RefreshToken> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let text = key(parent).ok()?.open(&sealed, &[])?;
    String::from_utf8(text).ok().map(Secret::new)
}

fn key(parent: &RefreshToken) -> Result<SealingKey, CipherFailed> {
    let mut bytes = [0_u8; KEY_BYTES];
    Salt::new(HKDF_SHA256, &[])
        .extract(parent.expose().as_bytes())
        .expand(&[PURPOSE], HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut bytes))
        .map_err(|_| CipherFailed)?;
    SealingKey::new(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn token() -> RefreshToken {
        Secret::new(random::text::<32>())
    }

    #[test]
    fn only_the_parent_opens_what_was_sealed_under_it() {
        let (parent, successor) = (token(), token());
        let sealed = seal(&successor, &parent).unwrap();
        assert_eq!(open(&sealed, &parent), Some(successor.clone()));
        assert_eq!(open(&sealed, &token()), None);
        assert_eq!(open(&sealed, &successor), None);
        assert!(!sealed.contains(successor.expose()));
    }

    #[test]
    fn the_same_token_is_never_sealed_into_the_same_text() {
        let (parent, successor) = (token(), token());
        let seal = || seal(&successor, &parent).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn what_was_damaged_does_not_open() {
        let parent = token();
        let sealed = seal(&token(), &parent).unwrap();
        for place in [0, 20, sealed.len() - 2] {
            let mut damaged = sealed.clone().into_bytes();
            damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(open(&damaged, &parent), None, "byte {place}");
        }
        for text in ["", "AAAA", "not base64!", &sealed[..15]] {
            assert_eq!(open(text, &parent), None, "{text}");
        }
    }
}
