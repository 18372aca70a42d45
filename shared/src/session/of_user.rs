//! What concerns the sessions of one user: listing them, looking for one, giving them other
//! roles. Large sets are worked through in steps.

use redis::{Cmd, Value};

use super::{
    Session, StoreError, Watermark,
    commands::{
        FIELD_RECORD, GUARD_SECONDS, Indexed, STEP_KEYS, answer, decode, named, script, unexpected,
    },
    place::Place,
    scripts,
    store::SessionStore,
};
use crate::telemetry::trace::TraceHandle;

impl SessionStore {
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
        let mut sessions = Vec::new();
        for place in self.places(subject) {
            let index = place.index(subject);
            let mut found = self.indexed(&index, trace).await?;
            if found.is_empty() {
                continue;
            }
            found.sort_unstable_by(|one, other| other.cmp(one));
            found.truncate(self.most);
            let mut command = named(scripts::LIST, place, Some(&index), &found);
            for (sid, _) in &found {
                command.arg(sid);
            }
            let value = self.link.lookup("EVAL", &command, trace).await?;
            let Value::Array(found) = value else {
                return Err(unexpected("EVAL", &value));
            };
            for value in &found {
                sessions.extend(decode(value)?);
            }
        }
        sessions.retain(|session| session.record.time_to_live(now) > 0);
        sessions.sort_by(|one, other| other.record.sid.cmp(&one.record.sid));
        sessions.truncate(self.most);
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
        for place in self.places(subject) {
            let Some(key) = self.find(place, subject, sid, trace).await? else {
                continue;
            };
            let mut command = Cmd::new();
            command.arg("HEXISTS").arg(key).arg(FIELD_RECORD);
            if self.link.lookup("HEXISTS", &command, trace).await? == Value::Int(1) {
                return Ok(true);
            }
        }
        Ok(false)
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
        let before = before.into();
        let mut changed = 0;
        for place in self.places(subject) {
            let steps = || self.set_roles_in(place, subject, &json, before, trace);
            changed += self.undivided(place, steps).await?;
        }
        Ok(changed)
    }

    async fn set_roles_in(
        &self,
        place: Place,
        subject: &str,
        json: &str,
        before: Watermark,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        self.guard(place, subject, before, trace).await?;
        let found = self.indexed(&place.index(subject), trace).await?;
        let mut changed = 0;
        for some in found.chunks(STEP_KEYS) {
            let mut command = named(scripts::SET_ROLES, place, None, some);
            command.arg(before.generation).arg(json);
            changed += self.number(&command, trace).await?;
        }
        Ok(changed)
    }

    /// The key of a session of a user, by its public id.
    pub(super) async fn find(
        &self,
        place: Place,
        subject: &str,
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<String>, StoreError> {
        let mut command = Cmd::new();
        command.arg("HGET").arg(place.index(subject)).arg(sid);
        let digest: Option<String> = answer(self.link.lookup("HGET", &command, trace).await?)?;
        Ok(digest.map(|digest| place.session_named(&digest)))
    }

    /// What is in the index of a user.
    pub(super) async fn indexed(
        &self,
        index: &String,
        trace: Option<&TraceHandle>,
    ) -> Result<Vec<Indexed>, StoreError> {
        let found = self.all_indexed(std::slice::from_ref(index), trace).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What is in each of some indices.
    pub(super) async fn all_indexed(
        &self,
        indices: &[String],
        trace: Option<&TraceHandle>,
    ) -> Result<Vec<Vec<Indexed>>, StoreError> {
        let command = script(scripts::INDICES, indices);
        answer(self.link.lookup("EVAL", &command, trace).await?)
    }

    /// Sees to it that no login that is under way since a watermark or earlier writes a session of the
    /// user. What is in the index afterwards is all that is left of before.
    pub(super) async fn guard(
        &self,
        place: Place,
        subject: &str,
        before: Watermark,
        trace: Option<&TraceHandle>,
    ) -> Result<(), StoreError> {
        let mut command = script(scripts::GUARD, &place.guards(subject));
        command
            .arg(before.before)
            .arg(before.generation)
            .arg(GUARD_SECONDS);
        self.link.command("EVAL", &command, trace).await.map(drop)
    }
}
