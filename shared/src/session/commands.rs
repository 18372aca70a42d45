//! Commands and scripts as they are sent, and what their answers mean.

use redis::{Cmd, FromRedisValue, Value};

use super::{Session, SessionRecord, StoreError, Watermark, place::Place, scripts, slot};

/// How long a guard stands: longer than a login can be under way, its wait for a turn to check the
/// password included.
pub(super) const GUARD_SECONDS: u64 = 300;
/// Keys of one step of what is done to many. A step keeps Redis from others, so it is short.
pub(super) const STEP_KEYS: usize = 200;
pub(super) const FIELD_RECORD: &str = "record";
const FIELD_SEEN: &str = "seen";

/// A `sid` and the digest that it leads to.
pub(super) type Indexed = (String, String);

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
    debug_assert!(are_together(keys), "a cluster would refuse this script");
    let mut command = Cmd::new();
    command.arg("EVAL").arg(text).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// Whether a cluster has these keys in one slot, but for those without a tag, which no cluster holds.
fn are_together<K: AsRef<[u8]>>(keys: &[K]) -> bool {
    let mut slots = keys.iter().map(|key| slot::of(key.as_ref()));
    let first = slots.next();
    let tagged = keys.iter().any(|key| key.as_ref().contains(&b'{'));
    !tagged || slots.all(|slot| Some(slot) == first)
}

/// A script about sessions of an index: their keys, behind that of the index if it is given; further
/// arguments follow.
pub(super) fn named(text: &str, place: Place, index: Option<&String>, sessions: &[Indexed]) -> Cmd {
    let digests = sessions.iter().map(|(_, digest)| digest);
    let keys = digests.map(|digest| place.session_named(digest));
    let keys: Vec<_> = index.cloned().into_iter().chain(keys).collect();
    script(text, &keys)
}

/// Ends those of some sessions that began before a watermark. Of each is given which of the indices it
/// stands in.
pub(super) fn sweep(
    place: Place,
    before: Watermark,
    indices: &[String],
    sessions: &[(usize, Indexed)],
) -> Cmd {
    let digests = sessions.iter().map(|(_, (_, digest))| digest);
    let keys = digests.map(|digest| place.session_named(digest));
    let keys: Vec<_> = keys.chain(indices.iter().cloned()).collect();
    let mut command = script(scripts::SWEEP, &keys);
    command.arg(before.before).arg(before.generation);
    for (index, (sid, _)) in sessions {
        command.arg(sid).arg(sessions.len() + index + 1);
    }
    command
}

/// Reads an answer of a script or a command.
pub(super) fn answer<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    redis::from_redis_value(value)
        .map_err(|_| StoreError::Protocol("an answer has another form".to_owned()))
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
