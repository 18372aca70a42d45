//! Ending the sessions of a user: one, or all of them.

use redis::{Cmd, Value};

use super::{
    SessionId, SessionRecord, StoreError, Watermark,
    commands::{STEP_KEYS, read_record, script, sweep, unexpected},
    place::Place,
    scripts,
    store::SessionStore,
};
use crate::telemetry::trace::TraceHandle;

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
        let command = script(scripts::END, &[id.key()]);
        let ended = self.ended(&command, trace).await?;
        if let Some(record) = &ended {
            self.forget(id.place(), record, trace).await;
        }
        Ok(ended)
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
        for place in self.places(subject) {
            if let Some(key) = self.find(place, subject, sid, trace).await? {
                return self.end_found(key, place.index(subject), sid, trace).await;
            }
        }
        Ok(None)
    }

    /// Ends the session of this key, which stands in this index.
    pub(super) async fn end_found(
        &self,
        key: String,
        index: String,
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let mut command = script(scripts::END, &[key, index]);
        command.arg(sid);
        self.ended(&command, trace).await
    }

    /// Ends the sessions of a user that began before the watermark `before`, but for `except`, and
    /// sees to it that no login that is under way since then writes one more. How many ended.
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
        let before = before.into();
        let mut ended = 0;
        for place in self.places(subject) {
            let steps = || self.end_all_in(place, subject, except, before, trace);
            ended += self.undivided(place, steps).await?;
        }
        Ok(ended)
    }

    async fn end_all_in(
        &self,
        place: Place,
        subject: &str,
        except: Option<&str>,
        before: Watermark,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        self.guard(place, subject, before, trace).await?;
        let index = [place.index(subject)];
        let mut found = self.indexed(&index[0], trace).await?;
        found.retain(|(sid, _)| Some(sid.as_str()) != except);
        let found: Vec<_> = found.into_iter().map(|session| (0, session)).collect();
        let mut ended = 0;
        for some in found.chunks(STEP_KEYS) {
            let command = sweep(place, before, &index, some);
            ended += self.number(&command, trace).await?;
        }
        Ok(ended)
    }

    /// Takes a session that has ended out of its user's index, which is of no consequence when it
    /// fails: what leads to nothing is forgotten sooner or later.
    async fn forget(&self, place: Place, record: &SessionRecord, trace: Option<&TraceHandle>) {
        let mut command = Cmd::new();
        command
            .arg("HDEL")
            .arg(place.index(&record.subject))
            .arg(&record.sid);
        if let Err(error) = self.link.lookup("HDEL", &command, trace).await {
            tracing::debug!(%error, "an ended session stands in an index");
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
