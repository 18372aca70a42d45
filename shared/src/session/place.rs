//! Where what belongs to a user is in Redis: which keys there are, and that those of one user are
//! together.
//!
//! A cluster spreads keys over hash slots by what stands in braces, and runs a script on keys of one
//! slot only. All keys of a user bear the user's tag in braces; the id of a session does too, so that
//! whoever has the id alone knows the key.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a session's id.
pub(super) type Digest = [u8; DIGEST_BYTES];

const DIGEST_BYTES: usize = 32;
/// What all keys begin with: permissions of Redis are given by it.
const PREFIX: &str = "statewise:";
const SESSION: &str = "session:";
/// In the place of a subject, which is base64url text: nobody's name.
pub(super) const EVERYBODY: &str = "*";

/// The alphabet of base64url (RFC 4648 §5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Twelve bits of a digest of a user's id, as two letters of base64url.
///
/// No secret goes into it. It tells nothing to whoever holds an id, who is the user, and nobody chooses
/// the id of a user. With a key that could change, an end of all sessions would miss those that were
/// begun under another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag([u8; Tag::LENGTH]);

impl Tag {
    pub(super) const LENGTH: usize = 2;
    const COUNT: u16 = 1 << 12;

    /// That of a user.
    pub(super) fn of(subject: &str) -> Self {
        let mut hash = Sha256::new_with_prefix(b"statewise session tag\0");
        hash.update(subject.as_bytes());
        let digest = hash.finalize();
        Self::numbered(u16::from_be_bytes([digest[0], digest[1]]) >> 4)
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self::numbered)
    }

    /// Reads one, or `None` when these are no two letters.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let letters: [u8; Self::LENGTH] = text.try_into().ok()?;
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        letters.iter().all(is_letter).then_some(Self(letters))
    }

    pub(super) fn text(&self) -> &str {
        // Letters are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn numbered(number: u16) -> Self {
        let letter = |number: u16| ALPHABET[usize::from(number & 63)];
        Self([letter(number >> 6), letter(number)])
    }
}

/// Where the keys of a session and of its user are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the slot of a tag.
    Tagged(Tag),
    /// Anywhere, as versions before there were tags have them. On one Redis only, and until the last
    /// session of such a version has ended.
    Plain,
}

impl Place {
    /// One session.
    pub(super) fn session(self, digest: &Digest) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut key = String::with_capacity(PREFIX.len() + 5 + SESSION.len() + 2 * DIGEST_BYTES);
        self.begin(&mut key);
        key.push_str(SESSION);
        for byte in digest {
            key.push(char::from(HEX[usize::from(byte >> 4)]));
            key.push(char::from(HEX[usize::from(byte & 15)]));
        }
        key
    }

    /// The same, by the digest as it stands in an index.
    pub(super) fn session_named(self, digest: &str) -> String {
        self.key(SESSION, digest)
    }

    /// The sessions of a user: `sid` to digest.
    pub(super) fn index(self, subject: &str) -> String {
        self.key("sessions:", subject)
    }

    /// The users who have sessions here, by the end of the last one.
    pub(super) fn users(self) -> String {
        self.key("users", "")
    }

    /// What refuses sessions of a user, or of everybody: by time, and by generation.
    pub(super) fn guards(self, subject: &str) -> [String; 2] {
        ["before:", "generation:"].map(|kind| self.key(kind, subject))
    }

    /// What the keys of all sessions of this place match.
    pub(super) fn sessions(self) -> String {
        self.key(SESSION, "*")
    }

    /// What the keys of all indices of this place match.
    pub(super) fn indices(self) -> String {
        self.index("*")
    }

    fn key(self, kind: &str, name: &str) -> String {
        let mut key = String::with_capacity(PREFIX.len() + 5 + kind.len() + name.len());
        self.begin(&mut key);
        key.push_str(kind);
        key.push_str(name);
        key
    }

    fn begin(self, key: &mut String) {
        key.push_str(PREFIX);
        if let Self::Tagged(tag) = self {
            key.push('{');
            key.push_str(tag.text());
            key.push_str("}:");
        }
    }
}

/// The digest in the key of a session, wherever that is.
pub(super) fn digest_of(key: &[u8]) -> Option<Digest> {
    let rest = key.strip_prefix(PREFIX.as_bytes())?;
    let rest = match rest {
        [b'{', _, _, b'}', b':', rest @ ..] => rest,
        _ => rest,
    };
    let text = rest.strip_prefix(SESSION.as_bytes())?;
    if text.len() != 2 * DIGEST_BYTES {
        return None;
    }
    let mut digest = [0; DIGEST_BYTES];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::session::slot;

    #[test]
    fn all_keys_of_a_user_are_in_one_slot() {
        for subject in ["u1", "u2", "tm_5uOigSRYGBlu-O_2fwg", "{", "a}b{c}"] {
            let place = Place::Tagged(Tag::of(subject));
            let [time, generation] = place.guards(subject);
            let [all_time, all_generation] = place.guards(EVERYBODY);
            let keys = [
                place.session(&[7; DIGEST_BYTES]),
                place.session_named("ab"),
                place.index(subject),
                place.users(),
                time,
                generation,
                all_time,
                all_generation,
            ];
            let slots: HashSet<_> = keys.iter().map(|key| slot::of(key.as_bytes())).collect();
            assert_eq!(slots.len(), 1, "{keys:?}");
            let different: HashSet<_> = keys.iter().collect();
            assert_eq!(different.len(), keys.len(), "{keys:?}");
        }
    }

    #[test]
    fn a_user_has_one_tag_in_every_version_from_now_on() {
        // Sessions that are out are found by it.
        let tags =
            ["u1", "tm_5uOigSRYGBlu-O_2fwg"].map(|subject| Tag::of(subject).text().to_owned());
        assert_eq!(tags, ["Ld", "QL"]);
    }

    #[test]
    fn keys_without_a_tag_are_those_of_earlier_versions() {
        assert_eq!(Place::Plain.index("u1"), "statewise:sessions:u1");
        assert_eq!(Place::Plain.session_named("ab"), "statewise:session:ab");
        assert_eq!(
            Place::Plain.guards("u1"),
            ["statewise:before:u1", "statewise:generation:u1"]
        );
    }

    #[test]
    fn tags_are_all_different_and_spread_over_the_shards_of_a_cluster() {
        let tags: HashSet<_> = Tag::all().collect();
        assert_eq!(tags.len(), usize::from(Tag::COUNT));
        for tag in &tags {
            assert_eq!(Tag::parse(tag.text().as_bytes()), Some(*tag));
        }
        for shards in [2, 3, 6, 16] {
            let mut counts = vec![0_usize; shards];
            for tag in &tags {
                let slot = usize::from(slot::of(Place::Tagged(*tag).users().as_bytes()));
                counts[slot * shards / 16_384] += 1;
            }
            let fair = tags.len() / shards;
            for count in counts {
                assert!(count.abs_diff(fair) * 10 <= fair, "{count} of {fair}");
            }
        }
        for no_tag in ["", "A", "ABC", "a.", "{a", "é"] {
            assert_eq!(Tag::parse(no_tag.as_bytes()), None, "{no_tag}");
        }
    }

    #[test]
    fn a_key_leads_back_to_its_digest() {
        let digest: Digest = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        for place in [Place::Plain, Place::Tagged(Tag::of("u1"))] {
            let key = place.session(&digest);
            assert_eq!(digest_of(key.as_bytes()), Some(digest));
            assert_eq!(digest_of(&key.as_bytes()[..key.len() - 1]), None);
            assert_eq!(digest_of(place.index("u1").as_bytes()), None);
        }
    }
}
