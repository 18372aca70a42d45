//! Feature `session`: the opaque id, the record it leads to, and the store in Redis.
//!
//! The key of a session is the SHA-256 of its id, so that reading Redis gives nobody a credential.
//! A session is one hash with two fields: `record`, written once at login, and `seen`, the time of
//! the last request. Later fields (data of the login) can be added without touching either.
//!
//! | limit | how it is kept |
//! | --- | --- |
//! | absolute | `expires_at` in the record, checked on each read, and an upper bound of the key's TTL |
//! | idle | the key's TTL, renewed by a touch at most every tenth of the idle time |

mod link;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::link::Link;
pub use self::link::StoreError;
use crate::{
    config::{Faults, Secret},
    telemetry::trace::TraceHandle,
};

const KEY_PREFIX: &str = "statewise:session:";
const ID_BYTES: usize = 32;
/// Length of an id as text: 32 bytes in base64url without padding.
pub const ID_TEXT_LENGTH: usize = 43;
const FIELD_RECORD: &str = "record";
const FIELD_SEEN: &str = "seen";

/// Renews a session only while it exists: a late touch must not bring back an ended one.
const TOUCH: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then \
     redis.call('HSET', KEYS[1], 'seen', ARGV[1]) \
     redis.call('EXPIRE', KEYS[1], ARGV[2]) end \
     return 0";

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
        let mut bytes = [0_u8; ID_BYTES];
        #[expect(
            clippy::expect_used,
            reason = "without randomness no id is safe to issue"
        )]
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        Self(URL_SAFE_NO_PAD.encode(bytes))
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

    fn key(&self) -> String {
        use std::fmt::Write as _;
        let digest = Sha256::digest(self.0.as_bytes());
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

/// What is known of a session from its login on. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The user's stable id, as in the `sub` of a token.
    pub subject: String,
    /// The name the user logged in with.
    pub username: String,
    /// Roles at login.
    pub roles: Vec<String>,
    /// When the session began.
    pub created_at: u64,
    /// The absolute limit: from this second on the session is over.
    pub expires_at: u64,
    /// The idle limit in seconds.
    pub idle_seconds: u64,
}

impl SessionRecord {
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

/// Where the store is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// `redis://[user:password@]host:port[/db]` or `redis+unix:///path`.
    pub url: Secret<String>,
    /// Deadline of each call.
    pub timeout: Duration,
}

impl StoreSettings {
    /// Checks both values, noting every fault. The URL is never repeated: it may hold a password.
    pub fn check(
        faults: &mut Faults,
        url_variable: &str,
        url: &str,
        timeout_variable: &str,
        timeout: &str,
    ) -> Option<Self> {
        let url = faults.check(
            url_variable,
            redis::Client::open(url)
                .map(|_| Secret::new(url.to_owned()))
                .map_err(|_| "not a Redis URL such as redis://127.0.0.1:6379"),
        );
        let timeout = faults.positive_duration(timeout_variable, timeout);
        Some(Self {
            url: url?,
            timeout: timeout?,
        })
    }
}

/// Sessions in Redis, over one multiplexed connection of the thread that opened it.
///
/// Every failure is a [`StoreError`], which means "cannot be decided": never an answer about the
/// credential.
#[derive(Clone, Debug)]
pub struct SessionStore {
    link: Link,
}

impl SessionStore {
    /// Begins to connect and returns at once; calls fail fast until the connection stands. Must be
    /// called inside the runtime that will drive the connection.
    #[must_use]
    pub fn open(settings: StoreSettings) -> Self {
        Self {
            link: Link::open(settings),
        }
    }

    /// Writes a new session with its TTL, in one transaction.
    ///
    /// # Errors
    ///
    /// The store did not confirm the write in time; whether it happened is unknown.
    pub async fn create(
        &self,
        id: &SessionId,
        record: &SessionRecord,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(record)
            .map_err(|error| StoreError::Protocol(error.to_string()))?;
        let key = id.key();
        let mut pipe = redis::pipe();
        pipe.atomic()
            .hset_multiple(&key, &[(FIELD_RECORD, json), (FIELD_SEEN, now.to_string())])
            .expire(&key, ttl_argument(record.time_to_live(now)));
        self.link.transaction(2, &pipe, trace).await
    }

    /// Looks a session up: one `HMGET`, one round trip. `None` when there is none or it is over.
    ///
    /// # Errors
    ///
    /// The store did not answer in time or not in the expected form.
    pub async fn read(
        &self,
        id: &SessionId,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Session>, StoreError> {
        let key = id.key();
        let mut command = Cmd::new();
        command
            .arg("HMGET")
            .arg(&key)
            .arg(FIELD_RECORD)
            .arg(FIELD_SEEN);
        let value = self.link.command("HMGET", &command, trace).await?;
        let Some(session) = decode(&value)? else {
            return Ok(None);
        };
        let time_to_live = session.record.time_to_live(now);
        if time_to_live == 0 {
            return Ok(None);
        }
        if session.record.touch_due(session.last_seen, now) {
            self.touch(&key, now, time_to_live);
        }
        Ok(Some(session))
    }

    /// Ends a session. Whether there was one.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the session goes on.
    pub async fn end(
        &self,
        id: &SessionId,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, StoreError> {
        let mut command = Cmd::new();
        command.arg("DEL").arg(id.key());
        match self.link.command("DEL", &command, trace).await? {
            Value::Int(removed) => Ok(removed > 0),
            other => Err(unexpected("DEL", &other)),
        }
    }

    /// Whether the store answers now.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut command = Cmd::new();
        command.arg("PING");
        self.link.command("PING", &command, None).await.map(drop)
    }

    /// Renews the idle limit, off the request's path: a lost touch is made up by the next request.
    fn touch(&self, key: &str, now: u64, time_to_live: u64) {
        let mut command = Cmd::new();
        command
            .arg("EVAL")
            .arg(TOUCH)
            .arg(1)
            .arg(key)
            .arg(now)
            .arg(time_to_live);
        let link = self.link.clone();
        tokio::spawn(async move {
            if let Err(error) = link.command("EVAL", &command, None).await {
                tracing::debug!(%error, "a session was not touched");
            }
        });
    }
}

fn ttl_argument(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn unexpected(command: &str, value: &Value) -> StoreError {
    // The kind only: values may hold records.
    let kind = match value {
        Value::Nil => "nil",
        Value::Int(_) => "an integer",
        Value::Array(_) => "an array",
        Value::BulkString(_) | Value::SimpleString(_) => "a string",
        _ => "something else",
    };
    StoreError::Protocol(format!("{command} answered {kind}"))
}

fn decode(value: &Value) -> Result<Option<Session>, StoreError> {
    let Value::Array(fields) = value else {
        return Err(unexpected("HMGET", value));
    };
    match fields.as_slice() {
        [Value::BulkString(record), Value::BulkString(seen)] => {
            let record = serde_json::from_slice(record)
                .map_err(|error| StoreError::Protocol(format!("a session record: {error}")))?;
            let last_seen = std::str::from_utf8(seen)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| StoreError::Protocol("a session's last seen time".to_owned()))?;
            Ok(Some(Session { record, last_seen }))
        }
        [Value::Nil, _] => Ok(None),
        _ => Err(unexpected("HMGET", value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SessionRecord {
        SessionRecord {
            subject: "u1".to_owned(),
            username: "ada".to_owned(),
            roles: vec!["user".to_owned()],
            created_at: 1_000,
            expires_at: 2_000,
            idle_seconds: 300,
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
    fn a_touch_is_due_after_a_tenth_of_the_idle_time() {
        assert!(!record().touch_due(1_000, 1_029));
        assert!(record().touch_due(1_000, 1_030));
    }

    #[test]
    fn a_hash_without_a_record_is_no_session() {
        let seen_only = Value::Array(vec![Value::Nil, Value::BulkString(b"1".to_vec())]);
        assert_eq!(decode(&seen_only).unwrap(), None);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_a_fault_of_the_store() {
        let garbage = Value::Array(vec![
            Value::BulkString(b"{".to_vec()),
            Value::BulkString(b"1".to_vec()),
        ]);
        assert!(matches!(decode(&garbage), Err(StoreError::Protocol(_))));
    }
}
