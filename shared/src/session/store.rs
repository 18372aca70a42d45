//! The store: what can be done to sessions, each as one step in Redis.

use std::sync::Arc;

use redis::{Cmd, Value};

use super::{
    KEY_PREFIX, Session, SessionId, SessionRecord, StoreSettings,
    link::{Link, StoreError, Watcher},
    scripts,
};
use crate::telemetry::trace::TraceHandle;

const INDEX_PREFIX: &str = "statewise:sessions:";
const GUARD_PREFIX: &str = "statewise:before:";
/// In the place of a subject, which is base64url text: nobody's name.
const EVERYBODY: &str = "*";
/// How long a guard stands: longer than a login can be under way, its wait for a turn to check the
/// password included.
const GUARD_SECONDS: u64 = 300;
/// Keys of one step of a sweep. A step keeps Redis from others, so it is short.
const SWEEP_KEYS: u64 = 200;
pub(super) const FIELD_RECORD: &str = "record";
const FIELD_SEEN: &str = "seen";

/// Sessions in Redis, over one multiplexed connection of the thread that opened it.
///
/// Every failure is a [`StoreError`], which means "cannot be decided": never an answer about the
/// credential.
#[derive(Clone, Debug)]
pub struct SessionStore {
    pub(crate) link: Link,
}

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
        Self {
            link: Link::open(settings),
        }
    }

    /// The same, with `watcher` told of what was read and changed.
    pub(super) fn open_watched(settings: StoreSettings, watcher: Arc<dyn Watcher>) -> Self {
        Self {
            link: Link::open_watched(settings, watcher),
        }
    }

    /// Writes a new session with its TTL and its place in the index of its user.
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
        let own_guard = guard(&record.subject);
        let keys = [&id.key(), &index, &own_guard, &guard(EVERYBODY)];
        let mut command = script(scripts::CREATE, &keys);
        command
            .arg(json)
            .arg(now)
            .arg(record.created_at)
            .arg(record.time_to_live(now))
            .arg(record.expires_at.saturating_sub(now))
            .arg(&record.sid)
            .arg(KEY_PREFIX);
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

    /// The sessions of a user, in no order.
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
        command.arg(KEY_PREFIX);
        let value = self.link.command("EVAL", &command, trace).await?;
        let Value::Array(found) = value else {
            return Err(unexpected("EVAL", &value));
        };
        let mut sessions = Vec::with_capacity(found.len());
        for value in &found {
            sessions.extend(decode(value)?.filter(|session| session.record.time_to_live(now) > 0));
        }
        Ok(sessions)
    }

    /// Ends a session. What it was, or `None` when there was none.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the session goes on.
    pub async fn end(
        &self,
        id: &SessionId,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let mut command = script(scripts::END, &[&id.key()]);
        command.arg(INDEX_PREFIX);
        self.ended(&command, trace).await
    }

    /// Ends one session of a user by its public id. What it was, or `None` when the user has none
    /// of that id.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the session goes on.
    pub async fn end_sid(
        &self,
        subject: &str,
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let mut command = script(scripts::END_SID, &[&index(subject)]);
        command.arg(sid).arg(KEY_PREFIX);
        self.ended(&command, trace).await
    }

    /// Ends one session by its public id, whoever's it is, by looking through all users. Whether
    /// there was one.
    ///
    /// # Errors
    ///
    /// A step was not confirmed in time: assume that the session goes on.
    pub async fn end_sid_of_anyone(
        &self,
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, StoreError> {
        let mut cursor = b"0".to_vec();
        loop {
            let (next, indices) = self.scan(INDEX_PREFIX, &cursor, trace).await?;
            if !indices.is_empty() {
                let mut command = script(scripts::END_SID_IN, &indices);
                command.arg(sid).arg(KEY_PREFIX);
                if self.number(&command, trace).await? > 0 {
                    return Ok(true);
                }
            }
            if next == b"0" {
                return Ok(false);
            }
            cursor = next;
        }
    }

    /// Ends the sessions of a user that began at or before the second `before`, but for `except`,
    /// and sees to it that no login that is under way since then writes one more. How many ended.
    /// Doing it again ends nothing that began later.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the sessions go on.
    pub async fn end_all(
        &self,
        subject: &str,
        except: Option<&str>,
        before: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let mut command = script(scripts::END_ALL, &[&index(subject), &guard(subject)]);
        command
            .arg(except.unwrap_or_default())
            .arg(before)
            .arg(KEY_PREFIX)
            .arg(GUARD_SECONDS);
        self.number(&command, trace).await
    }

    /// Ends every session that began at or before the second `before`, in steps, and sees to it
    /// that no login that is under way since then writes one more. How many ended. Doing it again
    /// ends nothing that began later.
    ///
    /// # Errors
    ///
    /// A step was not confirmed in time: assume that sessions go on.
    pub async fn end_everything(
        &self,
        before: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let mut command = script(scripts::GUARD, &[&guard(EVERYBODY)]);
        command.arg(before).arg(GUARD_SECONDS);
        self.number(&command, trace).await?;
        let mut ended = 0;
        let mut cursor = b"0".to_vec();
        loop {
            let (next, keys) = self.scan(KEY_PREFIX, &cursor, trace).await?;
            if !keys.is_empty() {
                let mut command = script(scripts::SWEEP, &keys);
                command.arg(before).arg(INDEX_PREFIX);
                ended += self.number(&command, trace).await?;
            }
            if next == b"0" {
                return Ok(ended);
            }
            cursor = next;
        }
    }

    /// Gives every session of a user these roles, and sees to it that no login that is under way
    /// since the second `before` or earlier writes one with the old ones. How many changed.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the old roles stand.
    pub async fn set_roles(
        &self,
        subject: &str,
        roles: &[String],
        before: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let json = serde_json::to_string(roles)
            .map_err(|error| StoreError::Protocol(error.to_string()))?;
        let mut command = script(scripts::SET_ROLES, &[&index(subject), &guard(subject)]);
        command
            .arg(json)
            .arg(before)
            .arg(KEY_PREFIX)
            .arg(GUARD_SECONDS);
        self.number(&command, trace).await
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
    pub(super) fn touch(&self, key: &str, now: u64, time_to_live: u64) {
        let mut command = script(scripts::TOUCH, &[key]);
        command.arg(now).arg(time_to_live);
        let link = self.link.clone();
        tokio::spawn(async move {
            if let Err(error) = link.command("EVAL", &command, None).await {
                tracing::debug!(%error, "a session was not touched");
            }
        });
    }

    async fn scan(
        &self,
        prefix: &str,
        cursor: &[u8],
        trace: Option<&TraceHandle>,
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreError> {
        let mut command = Cmd::new();
        command
            .arg("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(SWEEP_KEYS);
        let value = self.link.command("SCAN", &command, trace).await?;
        redis::from_redis_value(value)
            .map_err(|_| StoreError::Protocol("SCAN answered something else".to_owned()))
    }

    async fn number(&self, command: &Cmd, trace: Option<&TraceHandle>) -> Result<u64, StoreError> {
        match self.link.command("EVAL", command, trace).await? {
            Value::Int(number) => Ok(u64::try_from(number).unwrap_or_default()),
            other => Err(unexpected("EVAL", &other)),
        }
    }

    async fn ended(
        &self,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<SessionRecord>, StoreError> {
        match self.link.command("EVAL", command, trace).await? {
            Value::Nil => Ok(None),
            Value::BulkString(record) => read_record(&record).map(Some),
            other => Err(unexpected("EVAL", &other)),
        }
    }
}

/// A script and its keys; arguments follow.
fn script<K: AsRef<[u8]>>(text: &str, keys: &[K]) -> Cmd {
    let mut command = Cmd::new();
    command.arg("EVAL").arg(text).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

fn index(subject: &str) -> String {
    format!("{INDEX_PREFIX}{subject}")
}

fn guard(subject: &str) -> String {
    format!("{GUARD_PREFIX}{subject}")
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

fn read_record(json: &[u8]) -> Result<SessionRecord, StoreError> {
    serde_json::from_slice(json)
        .map_err(|error| StoreError::Protocol(format!("a session record: {error}")))
}

fn decode(value: &Value) -> Result<Option<Session>, StoreError> {
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
