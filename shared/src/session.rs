//! Feature `session`: the opaque id, the record it leads to, and the store in Redis.
//!
//! The key of a session holds the SHA-256 of its id, so that reading Redis gives nobody a credential.
//! A session is one hash with two fields: `record`, written at login and again only when the user's
//! roles change, and `seen`, the time of the last request. Later fields (data of the login) can be
//! added without touching either.
//!
//! | limit | how it is kept |
//! | --- | --- |
//! | absolute | `expires_at` in the record, checked on each read, and an upper bound of the key's TTL |
//! | idle | the key's TTL, renewed by a touch at most every tenth of the idle time |
//!
//! All keys of a user bear the user's tag in braces, as the user's session ids do, so that a cluster has
//! them in one hash slot:
//!
//! | key | holds |
//! | --- | --- |
//! | `statewise:{TAG}:session:DIGEST` | one session |
//! | `statewise:{TAG}:sessions:SUBJECT` | the sessions of a user: `sid` to digest |
//! | `statewise:{TAG}:users` | the users of the tag who may have sessions, by the end of the last one |
//! | `statewise:{TAG}:before:SUBJECT`, `statewise:{TAG}:before:*` | a guard: no session that began at or before this second may be written any more |
//! | `statewise:{TAG}:generation:SUBJECT`, `statewise:{TAG}:generation:*` | the same of sessions of earlier generations |
//!
//! Sessions that versions before there were tags began, or that are begun so that such versions know
//! them, are under the same keys without a tag. They are found and ended alike.
//!
//! Ending is deleting, and whatever writes does so only to what exists: nothing that comes late
//! brings an ended session back.
//!
//! | module | holds |
//! | --- | --- |
//! | `id`, `place`, `slot` | what a session is known by, and its keys |
//! | `link`, `tls` | the connection |
//! | `scripts`, `commands` | what is asked, and what the answers mean |
//! | `store`, `creation`, `cart`, `tracking` | sessions are read, begun, filled and kept in memory |
//! | `of_user`, `ending`, `everybody` | what is done to the sessions of a user, or of all |

mod cart;
mod commands;
mod creation;
mod ending;
mod everybody;
mod id;
pub(crate) mod link;
mod of_user;
mod place;
mod redis_url;
mod scripts;
mod settings;
mod slot;
mod store;
mod tls;
mod tracking;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

pub use self::{
    cart::{CartWrite, KeptCart},
    creation::Creation,
    id::SessionId,
    link::{Fault, StoreError},
    redis_url::{RedisUrl, UrlError},
    settings::StoreSettings,
    store::{MOST_SESSIONS, SessionStore},
    tls::{Tls, TlsError},
    tracking::{CacheCounters, CacheSettings, CachedSessions},
};

/// Random bytes of a `sid`. It is no credential; it only must not be guessed or repeat.
const SID_BYTES: usize = 16;

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
