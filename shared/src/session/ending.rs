//! Ending sessions: one, those of a user, all. Large sets are ended in steps.

use redis::{Cmd, Value};

use super::{
    KEY_PREFIX, SessionId, SessionRecord, StoreError, Watermark, scripts,
    store::{
        EVERYBODY, GUARD_SECONDS, INDEX_PREFIX, SessionStore, guards, index, read_record, script,
        unexpected,
    },
};
use crate::telemetry::trace::TraceHandle;

/// Keys of one step of a sweep. A step keeps Redis from others, so it is short.
const SWEEP_KEYS: u64 = 200;
/// The cursor with which Redis begins and ends.
const FIRST: &str = "0";

impl SessionStore {
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

    /// Ends the sessions of a user that began before the watermark `before`, but for `except`, and sees to it that no login that is under way since then writes one more. How many ended.
    /// Doing it again ends nothing that began later.
    ///
    /// # Errors
    ///
    /// The store did not confirm it in time: assume that the sessions go on.
    pub async fn end_all(
        &self,
        subject: &str,
        except: Option<&str>,
        before: impl Into<Watermark>,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let spared = except.unwrap_or_default();
        self.in_steps(scripts::END_ALL, subject, before.into(), spared, trace)
            .await
    }

    /// Ends every session that began before the watermark `before`, in steps, and sees to it that no login that is under way since then writes one more. How many ended. Doing it again
    /// ends nothing that began later.
    ///
    /// # Errors
    ///
    /// A step was not confirmed in time: assume that sessions go on.
    pub async fn end_everything(
        &self,
        before: impl Into<Watermark>,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let Watermark { before, generation } = before.into();
        let mut command = script(scripts::GUARD, &guards(EVERYBODY));
        command.arg(before).arg(generation).arg(GUARD_SECONDS);
        self.number(&command, trace).await?;
        let mut ended = 0;
        let mut cursor = b"0".to_vec();
        loop {
            let (next, keys) = self.scan(KEY_PREFIX, &cursor, trace).await?;
            if !keys.is_empty() {
                let mut command = script(scripts::SWEEP, &keys);
                command.arg(before).arg(generation).arg(INDEX_PREFIX);
                ended += self.number(&command, trace).await?;
            }
            if next == b"0" {
                return Ok(ended);
            }
            cursor = next;
        }
    }

    /// Runs a script about the sessions of a user again and again, each time with the cursor that it
    /// has answered, until that is the first one again. The sum of the other numbers that it has
    /// answered.
    pub(super) async fn in_steps(
        &self,
        text: &str,
        subject: &str,
        Watermark { before, generation }: Watermark,
        last: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let [time_guard, generation_guard] = guards(subject);
        let keys = [index(subject), time_guard, generation_guard];
        let mut cursor = FIRST.to_owned();
        let mut sum = 0;
        loop {
            let mut command = script(text, &keys);
            command.arg(cursor).arg(SWEEP_KEYS);
            command.arg(before).arg(generation);
            command.arg(KEY_PREFIX).arg(GUARD_SECONDS).arg(last);
            let value = self.link.command("EVAL", &command, trace).await?;
            let answer = redis::from_redis_value::<(String, u64)>(value);
            let (next, number) = answer
                .map_err(|_| StoreError::Protocol("a step answered something else".to_owned()))?;
            sum += number;
            if next == FIRST {
                return Ok(sum);
            }
            cursor = next;
        }
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
        let value = self.link.lookup("SCAN", &command, trace).await?;
        redis::from_redis_value(value)
            .map_err(|_| StoreError::Protocol("SCAN answered something else".to_owned()))
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
