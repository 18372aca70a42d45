//! Writing a new session.

use redis::{Cmd, Value};

use super::{
    SessionId, SessionRecord, StoreError,
    commands::{GUARD_SECONDS, Indexed, answer, named, script},
    place::{EVERYBODY, Place},
    scripts,
    store::SessionStore,
};
use crate::telemetry::trace::TraceHandle;

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
        let (place, key) = (id.place(), id.key());
        debug_assert!(
            self.places(&record.subject).any(|known| known == place),
            "the id is for another user"
        );
        let json = serde_json::to_string(record)
            .map_err(|error| StoreError::Protocol(error.to_string()))?;
        let index = place.index(&record.subject);
        let [own_time, own_generation] = place.guards(&record.subject);
        let [time, generation] = place.guards(EVERYBODY);
        let digest = key.rsplit(':').next().unwrap_or_default();
        let users = place.users();
        let keys = [
            &key,
            &index,
            &users,
            &own_time,
            &time,
            &own_generation,
            &generation,
        ];
        let mut command = script(scripts::CREATE, &keys);
        command
            .arg(json)
            .arg(now)
            .arg(record.created_at)
            .arg(record.time_to_live(now))
            .arg(record.expires_at.saturating_sub(now))
            .arg(&record.sid)
            .arg(digest);
        match record.generation {
            Some(generation) => command.arg(generation),
            None => command.arg(""),
        };
        command
            .arg(&record.subject)
            .arg(record.expires_at)
            // Clocks differ a little.
            .arg(now.saturating_sub(GUARD_SECONDS))
            .arg(GUARD_SECONDS);
        match self.link.command("EVAL", &command, trace).await? {
            Value::Nil => Ok(Creation::Refused),
            value => {
                let (count, others) = answer(value)?;
                self.tidy(place, record, count, others, trace).await;
                Ok(Creation::Created)
            }
        }
    }

    /// Keeps the index of a user about as large as what lives, now that a session has begun: some of
    /// the other places are looked at, whatever the number of logins; when there are too many, all.
    async fn tidy(
        &self,
        place: Place,
        record: &SessionRecord,
        count: usize,
        some: Vec<Indexed>,
        trace: Option<&TraceHandle>,
    ) {
        let index = place.index(&record.subject);
        if count > self.most {
            if let Err(error) = self.trim(place, &index, &record.sid, trace).await {
                // The new session is good, and the next one tries again.
                tracing::warn!(%error, "sessions beyond the limit were not ended");
            }
        } else if !some.is_empty() {
            // It tells nobody anything, so nobody waits for it.
            let (command, link) = (trimming(place, &index, 0, &some), self.link.clone());
            tokio::spawn(async move {
                if let Err(error) = link.command("EVAL", &command, None).await {
                    tracing::debug!(%error, "an index was not tidied");
                }
            });
        }
    }

    async fn trim(
        &self,
        place: Place,
        index: &String,
        newest: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<(), StoreError> {
        let mut places = self.indexed(index, trace).await?;
        let over = places.len().saturating_sub(self.most);
        // A sid begins with its time.
        places.sort_unstable();
        places.retain(|(sid, _)| sid != newest);
        let command = trimming(place, index, over, &places);
        self.number(&command, trace).await.map(drop)
    }
}

/// Forgets what has run out of some sessions, in the order of their times, and ends the oldest of
/// others while there are too many.
fn trimming(place: Place, index: &String, over: usize, sessions: &[Indexed]) -> Cmd {
    let mut command = named(scripts::TRIM, place, Some(index), sessions);
    command.arg(over);
    for (sid, _) in sessions {
        command.arg(sid);
    }
    command
}
