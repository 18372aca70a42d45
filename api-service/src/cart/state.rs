//! State that the client carries: sealed, so that it can neither be read nor changed on the way,
//! nor moved to another login.
//!
//! ```text
//! v1.KEY.BASE64URL(nonce · ciphertext · tag)        AES-256-GCM, a random nonce each time
//! ```
//!
//! What is authenticated beside the text: the form, the purpose, the key's id, the subject, the login,
//! and another issuer than the service's own. So a state opens only for the login that it was sealed for, only as what it is, and only
//! with the key that it names. It does not show its age: an older state of the same login opens as
//! well, which is what "kept by the client" means.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::sealed::{CipherFailed, KEY_BYTES, OVERHEAD_BYTES, SealingKey};

const FORM: &str = "v1";
const KEY_ID_LIMIT: usize = 32;

/// Longest sealed text. The whole cookie has 4096 bytes at least (RFC 6265bis §5.6 lets a client
/// drop what is longer); the rest is for its name and attributes.
pub(crate) const SEALED_LIMIT_BYTES: usize = 4_000;

/// The keys of the states: the first seals, all open. Clones share them.
#[derive(Clone)]
pub struct StateKeys(Arc<[Key]>);

struct Key {
    id: String,
    key: SealingKey,
}

/// Who a state belongs to and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    /// What it is, such as `cart`.
    pub(crate) purpose: &'a str,
    /// Whose subject, where it is not the service's own issuer's.
    pub(crate) issuer: Option<&'a str>,
    /// The user's stable id.
    pub(crate) subject: &'a str,
    /// The login's public id.
    pub(crate) login: &'a str,
}

/// A state was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// The sealed text would be of this many bytes, which is too long to be carried.
    #[error("the sealed state would have {0} bytes")]
    TooLong(usize),
    /// The cipher failed.
    #[error("sealing failed")]
    Failed,
}

/// A state was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// It names a key that this replica has not, or not yet, or not any more.
    UnknownKey,
    /// Not of the form, changed, or another login's: no key will ever open it.
    Never,
}

impl StateKeys {
    /// Reads `ID=KEY[,…]`, each key 32 bytes as base64url without padding.
    ///
    /// # Errors
    ///
    /// Every fault. The text is not repeated: it holds keys.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut keys: Vec<Key> = Vec::new();
        let mut faults = Vec::new();
        for (index, part) in text.split(',').map(str::trim).enumerate() {
            let place = index + 1;
            let Some((id, key)) = part.split_once('=') else {
                faults.push(format!("key {place} is not of the form ID=KEY"));
                continue;
            };
            if !is_key_id(id) {
                faults.push(format!(
                    "the id of key {place} must be 1 to {KEY_ID_LIMIT} letters, digits, _ and -"
                ));
            } else if keys.iter().any(|known| known.id == id) {
                faults.push(format!("the id of key {place} is another key's"));
            }
            match read_key(key) {
                Some(key) => keys.push(Key {
                    id: id.to_owned(),
                    key,
                }),
                None => faults.push(format!(
                    "key {place} must be {KEY_BYTES} bytes as base64url without padding"
                )),
            }
        }
        if faults.is_empty() {
            Ok(Self(keys.into()))
        } else {
            Err(faults)
        }
    }

    /// Seals a state with the first key.
    ///
    /// # Errors
    ///
    /// It would be too long to be carried, or the cipher failed.
    pub(crate) fn seal(&self, plain: &[u8], binding: Binding<'_>) -> Result<String, SealError> {
        let Key { id, key } = self.0.first().ok_or(SealError::Failed)?;
        let bytes = plain.len() + OVERHEAD_BYTES;
        let prefix = format!("{FORM}.{id}.");
        // Four characters for three bytes, without padding.
        let length = prefix.len() + (bytes * 4).div_ceil(3);
        if length > SEALED_LIMIT_BYTES {
            return Err(SealError::TooLong(length));
        }
        let sealed = key
            .seal(plain, &binding.authenticated(id))
            .map_err(|CipherFailed| SealError::Failed)?;
        let mut text = prefix;
        URL_SAFE_NO_PAD.encode_string(sealed, &mut text);
        Ok(text)
    }

    /// Whether a state that was opened names the key that seals.
    pub(crate) fn seals_with_key_of(&self, sealed: &str) -> bool {
        let id = sealed.split('.').nth(1);
        self.0
            .first()
            .is_some_and(|key| Some(key.id.as_str()) == id)
    }

    /// Opens a state of this binding.
    ///
    /// # Errors
    ///
    /// It is not one, or this replica does not have its key.
    pub(crate) fn open(&self, sealed: &str, binding: Binding<'_>) -> Result<Vec<u8>, OpenError> {
        if sealed.len() > SEALED_LIMIT_BYTES {
            return Err(OpenError::Never);
        }
        let mut parts = sealed.split('.');
        let (Some(FORM), Some(id), Some(text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(OpenError::Never);
        };
        if !is_key_id(id) {
            return Err(OpenError::Never);
        }
        let known = self.0.iter().find(|key| key.id == id);
        let Key { id, key } = known.ok_or(OpenError::UnknownKey)?;
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| OpenError::Never)?;
        key.open(&sealed, &binding.authenticated(id))
            .ok_or(OpenError::Never)
    }
}

/// The ids only.
impl std::fmt::Debug for StateKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.id))
            .finish()
    }
}

impl Binding<'_> {
    /// Each part with its length before it, so that no two bindings have the same bytes.
    fn authenticated(&self, key_id: &str) -> Vec<u8> {
        let parts = [
            "statewise state",
            FORM,
            key_id,
            self.purpose,
            self.subject,
            self.login,
        ];
        let mut bytes = Vec::with_capacity(160);
        for part in parts.into_iter().chain(self.issuer) {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

fn is_key_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=KEY_ID_LIMIT).contains(&text.len()) && text.bytes().all(allowed)
}

fn read_key(text: &str) -> Option<SealingKey> {
    let bytes: [u8; KEY_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    SealingKey::new(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Binding<'_> = Binding {
        purpose: "cart",
        issuer: None,
        subject: "u-1",
        login: "s-1",
    };

    fn keys(ids: &[(&str, u8)]) -> StateKeys {
        let list: Vec<String> = ids
            .iter()
            .map(|(id, byte)| format!("{id}={}", URL_SAFE_NO_PAD.encode([*byte; 32])))
            .collect();
        StateKeys::parse(&list.join(",")).unwrap()
    }

    #[test]
    fn a_state_opens_for_its_own_login_and_shows_nothing_to_others() {
        let keys = keys(&[("a", 1)]);
        let sealed = keys.seal(b"secret tea", OURS).unwrap();
        assert_eq!(keys.open(&sealed, OURS).unwrap(), b"secret tea");
        assert!(sealed.starts_with("v1.a."), "{sealed}");
        for other in [
            Binding {
                login: "s-2",
                ..OURS
            },
            Binding {
                subject: "u-2",
                ..OURS
            },
            Binding {
                purpose: "wishes",
                ..OURS
            },
            // The same user of somebody else.
            Binding {
                issuer: Some("https://other.example"),
                ..OURS
            },
            // The same text in other places.
            Binding {
                subject: "u-1s",
                login: "-1",
                ..OURS
            },
        ] {
            assert_eq!(
                keys.open(&sealed, other),
                Err(OpenError::Never),
                "{other:?}"
            );
        }
    }

    #[test]
    fn the_same_state_is_never_sealed_to_the_same_text() {
        let keys = keys(&[("a", 1)]);
        assert_ne!(keys.seal(b"tea", OURS), keys.seal(b"tea", OURS));
    }

    #[test]
    fn a_state_that_was_changed_anywhere_does_not_open() {
        let keys = keys(&[("a", 1), ("b", 2)]);
        let sealed = keys.seal(b"tea", OURS).unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'b' { b'c' } else { b'b' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys.open(&changed, OURS).is_err(), "{place}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open(&sealed[..length], OURS).is_err(), "{length}");
        }
        let long = "a".repeat(100_000);
        for text in ["", "..", "v1..", "v1.a.", "v1.a.AA", "v2.a.AA", &long] {
            assert_eq!(keys.open(text, OURS), Err(OpenError::Never), "{text:.20}");
        }
    }

    #[test]
    fn a_new_key_seals_while_the_old_one_still_opens_until_it_is_removed() {
        let old = keys(&[("a", 1)]).seal(b"tea", OURS).unwrap();
        let both = keys(&[("b", 2), ("a", 1)]);
        assert_eq!(both.open(&old, OURS).unwrap(), b"tea");
        let new = both.seal(b"tea", OURS).unwrap();
        assert!(new.starts_with("v1.b."));
        let only_new = keys(&[("b", 2)]);
        assert_eq!(only_new.open(&new, OURS).unwrap(), b"tea");
        assert_eq!(only_new.open(&old, OURS), Err(OpenError::UnknownKey));
        // Another key under the old name opens nothing.
        assert_eq!(keys(&[("a", 3)]).open(&old, OURS), Err(OpenError::Never));
    }

    #[test]
    fn the_limit_is_that_of_the_sealed_text() {
        let keys = keys(&[("a", 1)]);
        let fits = (0..SEALED_LIMIT_BYTES).rev().find_map(|length| {
            keys.seal(&vec![b'x'; length], OURS)
                .ok()
                .map(|text| (length, text))
        });
        let (length, text) = fits.unwrap();
        assert!(text.len() <= SEALED_LIMIT_BYTES && text.len() + 2 > SEALED_LIMIT_BYTES);
        assert_eq!(keys.open(&text, OURS).unwrap().len(), length);
        let more = keys.seal(&vec![b'x'; length + 1], OURS);
        assert!(matches!(more, Err(SealError::TooLong(size)) if size > SEALED_LIMIT_BYTES));
    }

    #[test]
    fn every_fault_of_the_keys_is_reported_and_no_key() {
        let good = URL_SAFE_NO_PAD.encode([1; 32]);
        let short = URL_SAFE_NO_PAD.encode([1; 31]);
        let text = format!("a={good},a={good},=x,plain,b c={good},d={short},e={good}=");
        let faults = StateKeys::parse(&text).unwrap_err();
        assert_eq!(faults.len(), 7, "{faults:#?}");
        assert!(!faults.concat().contains(&good[..8]), "{faults:#?}");
        assert!(StateKeys::parse("").is_err());
        let shown = format!("{:?}", StateKeys::parse(&format!("a={good}")).unwrap());
        assert_eq!(shown, "[\"a\"]");
    }
}
