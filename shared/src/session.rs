//! Feature `session`: the opaque id, the record it leads to, and the store in Redis.
//!
//! The key of a session is the SHA-256 of its id, so that reading Redis gives nobody a credential.
//! A session is one hash with two fields: `record`, written at login and again only when the user's
//! roles change, and `seen`, the time of the last request. Later fields (data of the login) can be
//! added without touching either.
//!
//! | limit | how it is kept |
//! | --- | --- |
//! | absolute | `expires_at` in the record, checked on each read, and an upper bound of the key's TTL |
//! | idle | the key's TTL, renewed by a touch at most every tenth of the idle time |
//!
//! | key | holds |
//! | --- | --- |
//! | `statewise:session:DIGEST` | one session |
//! | `statewise:sessions:SUBJECT` | the sessions of a user: `sid` to digest |
//! | `statewise:before:SUBJECT`, `statewise:before:*` | a guard: no session that began at or before this second may be written any more |
//! | `statewise:generation:SUBJECT`, `statewise:generation:*` | the same of sessions of earlier generations |
//!
//! Ending is deleting, and whatever writes does so only to what exists: nothing that comes late
//! brings an ended session back.

mod cart;
mod ending;
pub(crate) mod link;
mod redis_url;
mod scripts;
mod settings;
mod store;
mod tls;
mod tracking;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::{
    cart::{CartWrite, KeptCart},
    link::{Fault, StoreError},
    redis_url::{RedisUrl, UrlError},
    settings::StoreSettings,
    store::{Creation, MOST_SESSIONS, SessionStore},
    tls::{Tls, TlsError},
    tracking::{CacheCounters, CacheSettings, CachedSessions},
};
const KEY_PREFIX: &str = "statewise:session:";
const ID_BYTES: usize = 32;
const DIGEST_BYTES: usize = 32;
/// Length of an id as text: 32 bytes in base64url without padding.
const ID_TEXT_LENGTH: usize = 43;
/// Random bytes of a `sid`. It is no credential; it only must not be guessed or repeat.
const SID_BYTES: usize = 16;

/// An opaque session id: 256 random bits, base64url without padding (RFC 4648 §5).
///
/// It is a credential, so `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// A new id from the operating system's random numbers.
    ///
    /// # Panics
    ///
    /// The operating system gives no random numbers, without which no id is safe.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_text::<ID_BYTES>())
    }

    /// Reads an id, or `None` when the text has not the form of one. Whether it names a session
    /// only the store can tell.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != ID_TEXT_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == ID_BYTES).then(|| Self(text.to_owned()))
    }

    /// The credential itself, for the answer to a login.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands for the id where it is kept.
    fn digest(&self) -> [u8; DIGEST_BYTES] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Where the session is in Redis.
    pub(crate) fn key(&self) -> String {
        use std::fmt::Write as _;
        let digest = self.digest();
        let mut key = String::with_capacity(KEY_PREFIX.len() + 2 * digest.len());
        key.push_str(KEY_PREFIX);
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId")
    }
}

/// `BYTES` random bytes as base64url without padding.
#[expect(
    clippy::expect_used,
    reason = "without randomness no id is safe to issue"
)]
pub(crate) fn random_text<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is known of a session from its login on. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The public id of the login, which lists show and revocations name. Never a credential.
    /// Empty in a record that was written before there were such ids.
    #[serde(default)]
    pub sid: String,
    /// The user's stable id, as in the `sub` of a token.
    pub subject: String,
    /// The name the user logged in with.
    pub username: String,
    /// What the user may do: the roles at login, or those that an administrator gave later.
    pub roles: Vec<String>,
    /// When the session began.
    pub created_at: u64,
    /// The absolute limit: from this second on the session is over.
    pub expires_at: u64,
    /// The idle limit in seconds.
    pub idle_seconds: u64,
    /// The generation of logins in which its user was read, or that its roles are of. `None` in a
    /// record of an earlier version: its time decides alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// What an end of logins ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// What began at or before this second (Unix time).
    pub before: u64,
    /// And what began in an earlier generation. Zero: no generation is earlier.
    pub generation: u64,
}

impl From<u64> for Watermark {
    /// By time alone.
    fn from(before: u64) -> Self {
        Self {
            before,
            generation: 0,
        }
    }
}

impl SessionRecord {
    /// A new public id for a login that begins at a time (Unix seconds). Ids are in the order of
    /// their times.
    ///
    /// # Panics
    ///
    /// The operating system gives no random numbers.
    #[must_use]
    pub fn new_sid(created_at: u64) -> String {
        format!("{created_at:010x}{}", random_text::<SID_BYTES>())
    }

    /// Seconds the key may live from `now` on; zero when the session is over.
    fn time_to_live(&self, now: u64) -> u64 {
        self.expires_at.saturating_sub(now).min(self.idle_seconds)
    }

    /// Whether a touch is due: a tenth of the idle time has gone by since the last.
    fn touch_due(&self, last_seen: u64, now: u64) -> bool {
        now.saturating_sub(last_seen) >= (self.idle_seconds / 10).max(1)
    }
}

/// A session that exists and is within its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What was written at login.
    pub record: SessionRecord,
    /// Unix seconds of the last touch; up to a tenth of the idle time behind the last request.
    pub last_seen: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SessionRecord {
        SessionRecord {
            sid: "s1".to_owned(),
            subject: "u1".to_owned(),
            username: "ada".to_owned(),
            roles: vec!["user".to_owned()],
            created_at: 1_000,
            expires_at: 2_000,
            idle_seconds: 300,
            generation: None,
        }
    }

    #[test]
    fn an_id_has_256_bits_and_does_not_show_in_debug_output() {
        let id = SessionId::generate();
        assert_eq!(id.expose().len(), ID_TEXT_LENGTH);
        assert_eq!(SessionId::parse(id.expose()), Some(id.clone()));
        assert_eq!(format!("{id:?}"), "SessionId");
        assert_ne!(id, SessionId::generate());
    }

    #[test]
    fn text_of_another_form_is_no_id() {
        for text in [
            "",
            "short",
            &"a".repeat(44),
            &"=".repeat(43),
            &"é".repeat(22),
        ] {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_key_holds_a_digest_and_not_the_id() {
        let id = SessionId::generate();
        assert!(id.key().starts_with(KEY_PREFIX));
        assert!(!id.key().contains(id.expose()));
    }

    #[test]
    fn the_time_to_live_respects_both_limits() {
        assert_eq!(record().time_to_live(1_000), 300);
        assert_eq!(record().time_to_live(1_900), 100);
        assert_eq!(record().time_to_live(2_000), 0);
    }

    #[test]
    fn a_record_from_before_there_were_sids_is_still_read() {
        let json = serde_json::to_string(&record()).unwrap();
        let old = json.replace("\"sid\":\"s1\",", "");
        assert_ne!(json, old);
        let read: SessionRecord = serde_json::from_str(&old).unwrap();
        assert_eq!(read.sid, "");
        assert_eq!(read.subject, "u1");
    }

    #[test]
    fn a_touch_is_due_after_a_tenth_of_the_idle_time() {
        assert!(!record().touch_due(1_000, 1_029));
        assert!(record().touch_due(1_000, 1_030));
    }
}
