//! The store: sessions are written, read and given other roles, each as one step in Redis.

use std::sync::Arc;

use redis::{Cmd, Value};

use super::{
    KEY_PREFIX, Session, SessionId, SessionRecord, StoreSettings, Watermark,
    link::{Fault, Link, Purpose, StoreError, Watcher},
    scripts,
};
use crate::telemetry::trace::TraceHandle;

pub(super) const INDEX_PREFIX: &str = "statewise:sessions:";
/// Guards by time, and by generation.
const GUARD_PREFIXES: [&str; 2] = ["statewise:before:", "statewise:generation:"];
/// In the place of a subject, which is base64url text: nobody's name.
pub(super) const EVERYBODY: &str = "*";
/// How long a guard stands: longer than a login can be under way, its wait for a turn to check the
/// password included.
pub(super) const GUARD_SECONDS: u64 = 300;
pub(super) const FIELD_RECORD: &str = "record";
const FIELD_SEEN: &str = "seen";

/// Sessions in Redis, over one multiplexed connection of the thread that opened it.
///
/// Every failure is a [`StoreError`], which means "cannot be decided": never an answer about the
/// credential.
#[derive(Clone, Debug)]
pub struct SessionStore {
    pub(crate) link: Link,
    /// The most sessions of a user.
    most: usize,
}

/// The most sessions that a user can have at a time, whatever is configured: a script works for so
/// many while Redis does nothing else.
pub const MOST_SESSIONS: usize = 1_000;

/// What became of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a session that a guard refused does not exist"]
pub enum Creation {
    /// It exists.
    Created,
    /// It was not written: everything of the user, or of everybody, that began by then was ended
    /// while the login was under way. The user must be read again.
    Refused,
}

impl SessionStore {
    /// Begins to connect and returns at once; calls fail fast until the connection stands. Must be
    /// called inside the runtime that will drive the connection.
    #[must_use]
    pub fn open(settings: StoreSettings) -> Self {
        Self::over(Link::open(settings, Purpose::Manage))
    }

    /// The same for a service that looks sessions up and keeps carts, and neither makes nor ends
    /// sessions: Redis need not permit it more.
    #[must_use]
    pub fn open_to_check(settings: StoreSettings) -> Self {
        Self::over(Link::open(settings, Purpose::Check))
    }

    pub(super) fn over(link: Link) -> Self {
        Self {
            link,
            most: MOST_SESSIONS,
        }
    }

    /// The same store, in which a user has this many sessions at most, and [`MOST_SESSIONS`]: with one
    /// more, the oldest ends.
    #[must_use]
    pub fn limited_to(self, most: usize) -> Self {
        Self {
            most: most.clamp(1, MOST_SESSIONS),
            ..self
        }
    }

    /// The same, with `watcher` told of what was read and changed.
    pub(super) fn open_watched(settings: StoreSettings, watcher: Arc<dyn Watcher>) -> Self {
        Self::over(Link::open_watched(settings, watcher))
    }

    /// Writes a new session with its TTL and its place in the index of its user. When the user has too
    /// many, the oldest end.
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
    ) -> Result<Creation, StoreError> {
        let json = serde_json::to_string(record)
            .map_err(|error| StoreError::Protocol(error.to_string()))?;
        let index = index(&record.subject);
        let [own_time, own_generation] = guards(&record.subject);
        let [time, generation] = guards(EVERYBODY);
        let keys = [id.key(), index, own_time, time, own_generation, generation];
        let mut command = script(scripts::CREATE, &keys);
        command
            .arg(json)
            .arg(now)
            .arg(record.created_at)
            .arg(record.time_to_live(now))
            .arg(record.expires_at.saturating_sub(now))
            .arg(&record.sid)
            .arg(KEY_PREFIX)
            .arg(self.most);
        match record.generation {
            Some(generation) => command.arg(generation),
            None => command.arg(""),
        };
        Ok(if self.number(&command, trace).await? == 0 {
            Creation::Refused
        } else {
            Creation::Created
        })
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
        let value = self.link.lookup("HMGET", &lookup(&key), trace).await?;
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

    /// The sessions of a user, the latest first.
    ///
    /// # Errors
    ///
    /// The store did not answer in time or not in the expected form.
    pub async fn list(
        &self,
        subject: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Vec<Session>, StoreError> {
        let mut command = script(scripts::LIST, &[&index(subject)]);
        command.arg(KEY_PREFIX).arg(self.most);
        let value = self.link.lookup("EVAL", &command, trace).await?;
        let Value::Array(found) = value else {
            return Err(unexpected("EVAL", &value));
        };
        let mut sessions = Vec::with_capacity(found.len());
        for value in &found {
            sessions.extend(decode(value)?.filter(|session| session.record.time_to_live(now) > 0));
        }
        Ok(sessions)
    }

    /// Whether a user has a session of this public id.
    ///
    /// # Errors
    ///
    /// The store did not answer in time or not in the expected form.
    pub async fn has_sid(
        &self,
        subject: &str,
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, StoreError> {
        let mut command = script(scripts::HAS_SID, &[&index(subject)]);
        command.arg(sid).arg(KEY_PREFIX);
        Ok(self.number(&command, trace).await? > 0)
    }

    /// Gives every session of a user these roles, which are of the generation of `before`, and sees to
    /// it that no login that is under way since then or earlier writes one with the old ones. How many
    /// changed.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the old roles stand.
    pub async fn set_roles(
        &self,
        subject: &str,
        roles: &[String],
        before: impl Into<Watermark>,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let json = serde_json::to_string(roles)
            .map_err(|error| StoreError::Protocol(error.to_string()))?;
        self.in_steps(scripts::SET_ROLES, subject, before.into(), &json, trace)
            .await
    }

    /// Whether the store answers now.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut command = Cmd::new();
        command.arg("PING");
        match self.link.lookup("PING", &command, None).await {
            // A Redis that cannot save to disk refuses even this; reading works.
            Ok(_) | Err(StoreError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the store can be used now; when it can, what does not work all the same.
    ///
    /// # Errors
    ///
    /// It cannot.
    pub async fn usable(&self) -> Result<Option<Fault>, StoreError> {
        self.ping().await?;
        Ok(self.link.lacking())
    }

    /// Renews the idle limit, off the request's path: a lost touch is made up by the next request.
    pub(super) fn touch(&self, key: &str, now: u64, time_to_live: u64) {
        let mut command = script(scripts::TOUCH, &[key]);
        command.arg(now).arg(time_to_live);
        let link = self.link.clone();
        tokio::spawn(async move {
            if let Err(error) = link.lookup("EVAL", &command, None).await {
                tracing::debug!(%error, "a session was not touched");
            }
        });
    }

    pub(super) async fn number(
        &self,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        match self.link.command("EVAL", command, trace).await? {
            Value::Int(number) => Ok(u64::try_from(number).unwrap_or_default()),
            other => Err(unexpected("EVAL", &other)),
        }
    }
}

/// The command that reads a session by its key; [`decode`] reads the answer.
pub(super) fn lookup(key: &str) -> Cmd {
    let mut command = Cmd::new();
    command
        .arg("HMGET")
        .arg(key)
        .arg(FIELD_RECORD)
        .arg(FIELD_SEEN);
    command
}

/// A script and its keys; arguments follow.
pub(super) fn script<K: AsRef<[u8]>>(text: &str, keys: &[K]) -> Cmd {
    let mut command = Cmd::new();
    command.arg("EVAL").arg(text).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

pub(super) fn index(subject: &str) -> String {
    format!("{INDEX_PREFIX}{subject}")
}

pub(super) fn guards(subject: &str) -> [String; 2] {
    GUARD_PREFIXES.map(|prefix| format!("{prefix}{subject}"))
}

pub(super) fn unexpected(command: &str, value: &Value) -> StoreError {
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

pub(super) fn read_record(json: &[u8]) -> Result<SessionRecord, StoreError> {
    serde_json::from_slice(json)
        .map_err(|error| StoreError::Protocol(format!("a session record: {error}")))
}

pub(super) fn decode(value: &Value) -> Result<Option<Session>, StoreError> {
    let Value::Array(fields) = value else {
        return Err(unexpected("HMGET", value));
    };
    match fields.as_slice() {
        [Value::BulkString(record), Value::BulkString(seen)] => {
            let record = read_record(record)?;
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
