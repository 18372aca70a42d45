//! The id of a session: a credential.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{
    place::{Digest, Place, Tag},
    random_text,
};

const SECRET_BYTES: usize = 32;
/// 32 bytes in base64url without padding.
const SECRET_LENGTH: usize = 43;
const TAGGED_LENGTH: usize = Tag::LENGTH + SECRET_LENGTH;

/// An opaque session id: 256 random bits, base64url without padding (RFC 4648 §5), behind two letters
/// that say where it is in Redis. Those of earlier versions have no such letters.
///
/// Who changes the letters has another id, which names no session.
///
/// It is a credential, so `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// A new id for a session of a user, from the operating system's random numbers.
    ///
    /// # Panics
    ///
    /// The operating system gives no random numbers, without which no id is safe.
    #[must_use]
    pub fn generate(subject: &str) -> Self {
        let mut text = String::with_capacity(TAGGED_LENGTH);
        text.push_str(Tag::of(subject).text());
        text.push_str(&random_text::<SECRET_BYTES>());
        Self(text)
    }

    /// The same as versions before there were tags make it.
    ///
    /// # Panics
    ///
    /// As [`SessionId::generate`].
    #[must_use]
    pub fn generate_plain() -> Self {
        Self(random_text::<SECRET_BYTES>())
    }

    /// Reads an id, or `None` when the text has not the form of one. Whether it names a session
    /// only the store can tell.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let secret = match text.len() {
            SECRET_LENGTH => text,
            TAGGED_LENGTH => {
                let (tag, secret) = text.split_at_checked(Tag::LENGTH)?;
                Tag::parse(tag.as_bytes())?;
                secret
            }
            _ => return None,
        };
        let bytes = URL_SAFE_NO_PAD.decode(secret).ok()?;
        (bytes.len() == SECRET_BYTES).then(|| Self(text.to_owned()))
    }

    /// The credential itself, for the answer to a login.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands for the id where it is kept.
    pub(super) fn digest(&self) -> Digest {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Where its session is, and what belongs to the same user.
    pub(super) fn place(&self) -> Place {
        let tag = self.0.as_bytes().get(..Tag::LENGTH).and_then(Tag::parse);
        match tag {
            Some(tag) if self.0.len() == TAGGED_LENGTH => Place::Tagged(tag),
            _ => Place::Plain,
        }
    }

    /// Where the session is in Redis.
    pub(crate) fn key(&self) -> String {
        self.place().session(&self.digest())
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_has_256_bits_and_does_not_show_in_debug_output() {
        for (id, length) in [
            (SessionId::generate("u1"), TAGGED_LENGTH),
            (SessionId::generate_plain(), SECRET_LENGTH),
        ] {
            assert_eq!(id.expose().len(), length);
            assert_eq!(SessionId::parse(id.expose()), Some(id.clone()));
            assert_eq!(format!("{id:?}"), "SessionId");
        }
        assert_ne!(SessionId::generate("u1"), SessionId::generate("u1"));
    }

    #[test]
    fn text_of_another_form_is_no_id() {
        for text in [
            "",
            "short",
            &"a".repeat(44),
            &"a".repeat(46),
            &"=".repeat(43),
            &"=".repeat(45),
            &"é".repeat(22),
            &format!("é{}", "A".repeat(43)),
            &format!("a.{}", "A".repeat(43)),
            &format!("{{}}{}", "A".repeat(43)),
        ] {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_key_holds_a_digest_and_not_the_id() {
        let id = SessionId::generate("u1");
        let tag = &id.expose()[..Tag::LENGTH];
        let key = id.key();
        assert!(
            key.starts_with(&format!("statewise:{{{tag}}}:session:")),
            "{key}"
        );
        assert!(!key.contains(&id.expose()[Tag::LENGTH..]));
        let plain = SessionId::generate_plain();
        assert!(plain.key().starts_with("statewise:session:"));
        assert!(!plain.key().contains(plain.expose()));
    }

    #[test]
    fn an_id_with_another_tag_is_another_id() {
        let id = SessionId::generate("u1");
        let forged = format!("AA{}", &id.expose()[Tag::LENGTH..]);
        let forged = SessionId::parse(&forged).expect("it has the form");
        assert_ne!(forged.digest(), id.digest());
        assert_eq!(id.place(), Place::Tagged(Tag::of("u1")));
    }

    proptest! {
        #[test]
        fn what_callers_send_never_leaves_the_keys_of_sessions(text in "[ -~é]{0,48}|[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{45}") {
            if let Some(id) = SessionId::parse(&text) {
                let key = id.key();
                let rest = key.strip_prefix("statewise:").unwrap();
                let digest = rest.rsplit(':').next().unwrap();
                prop_assert_eq!(digest.len(), 64);
                prop_assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
                prop_assert_eq!(key.matches('{').count(), key.matches('}').count());
            }
        }
    }
}
