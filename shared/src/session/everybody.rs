//! What concerns the sessions of all users: it is done for each tag, since no script may touch keys of
//! two. In each place the users are listed who have sessions there.

use futures_util::{Stream, StreamExt as _, stream};
use redis::Cmd;

use super::{
    StoreError, Watermark,
    commands::{GUARD_SECONDS, STEP_KEYS, answer, script, sweep},
    place::{EVERYBODY, Place, Tag},
    scripts,
    store::SessionStore,
};
use crate::telemetry::trace::TraceHandle;

/// Tags that are worked on at a time. Redis is asked by so few that others come between.
const TAGS_AT_A_TIME: usize = 32;
/// Users whose indices are read in one step: each may have as many sessions as a user can have.
const STEP_USERS: usize = 20;
/// The cursor with which Redis begins and ends.
const FIRST: &[u8] = b"0";

impl SessionStore {
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
        if self.has_plain() {
            let steps = || self.end_sid_in_plain(sid, trace);
            if self.undivided(Place::Plain, steps).await? > 0 {
                return Ok(true);
            }
        }
        let searches = Tag::all().map(|tag| self.end_sid_in(Place::Tagged(tag), sid));
        let searches = stream::iter(searches).buffer_unordered(TAGS_AT_A_TIME);
        Ok(total(searches).await? > 0)
    }

    /// Ends every session that began before the watermark `before`, in steps, and sees to it that no
    /// login that is under way since then writes one more. How many ended. Doing it again ends nothing
    /// that began later.
    ///
    /// # Errors
    ///
    /// A step was not confirmed in time: assume that sessions go on. All others were taken.
    pub async fn end_everything(
        &self,
        before: impl Into<Watermark>,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let before = before.into();
        let ends = Tag::all().map(Place::Tagged);
        let ends = ends.map(|place| self.undivided(place, move || self.end_in(place, before)));
        let ends = stream::iter(ends).buffer_unordered(TAGS_AT_A_TIME);
        let plain = async {
            if self.has_plain() {
                let steps = || self.end_in_plain(before, trace);
                self.undivided(Place::Plain, steps).await
            } else {
                Ok(0)
            }
        };
        let (tagged, plain) = tokio::join!(total(ends), plain);
        Ok(tagged? + plain?)
    }

    /// Whether there may be sessions without a tag: a cluster has none.
    fn has_plain(&self) -> bool {
        !self.link.is_of_cluster()
    }

    // The steps of a tag have no spans: there would be thousands of them in one trace.

    async fn end_in(&self, place: Place, before: Watermark) -> Result<u64, StoreError> {
        let [time, generation] = place.guards(EVERYBODY);
        let mut command = script(scripts::GUARD, &[time, generation, place.users()]);
        command
            .arg(before.before)
            .arg(before.generation)
            .arg(GUARD_SECONDS);
        let users: Vec<String> = answer(self.link.command("EVAL", &command, None).await?)?;
        let mut ended = 0;
        for users in users.chunks(STEP_USERS) {
            let indices: Vec<_> = users.iter().map(|user| place.index(user)).collect();
            let found = self.all_indexed(&indices, None).await?;
            let found = found.into_iter().enumerate();
            let found: Vec<_> = found
                .flat_map(|(index, of_user)| of_user.into_iter().map(move |one| (index, one)))
                .collect();
            for some in found.chunks(STEP_KEYS) {
                let command = sweep(place, before, &indices, some);
                ended += self.number(&command, None).await?;
            }
        }
        Ok(ended)
    }

    async fn end_sid_in(&self, place: Place, sid: &str) -> Result<u64, StoreError> {
        let mut command = Cmd::new();
        command.arg("ZRANGE").arg(place.users()).arg(0).arg(-1);
        let users: Vec<String> = answer(self.link.lookup("ZRANGE", &command, None).await?)?;
        for users in users.chunks(STEP_KEYS) {
            let indices: Vec<_> = users.iter().map(|user| place.index(user)).collect();
            if self.end_sid_of(place, &indices, sid, None).await? {
                return Ok(1);
            }
        }
        Ok(0)
    }

    /// Ends the session of an id that stands in one of some indices. Whether there was one.
    async fn end_sid_of(
        &self,
        place: Place,
        indices: &[String],
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, StoreError> {
        let mut command = script(scripts::FIND, indices);
        command.arg(sid);
        let value = self.link.lookup("EVAL", &command, trace).await?;
        let found: Option<(usize, String)> = answer(value)?;
        let Some((number, digest)) = found else {
            return Ok(false);
        };
        let index = number.checked_sub(1).and_then(|at| indices.get(at));
        let index = index.ok_or_else(|| StoreError::Protocol("another index".to_owned()))?;
        let key = place.session_named(&digest);
        let ended = self.end_found(key, index.clone(), sid, trace).await?;
        Ok(ended.is_some())
    }

    // Sessions without a tag may be of a version that lists no users, so all keys are looked through.

    async fn end_in_plain(
        &self,
        before: Watermark,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        self.guard(Place::Plain, EVERYBODY, before, trace).await?;
        let (mut ended, mut cursor) = (0, FIRST.to_owned());
        loop {
            let (next, keys) = self.scan(&Place::Plain.sessions(), &cursor, trace).await?;
            if !keys.is_empty() {
                let mut command = script(scripts::SWEEP, &keys);
                command.arg(before.before).arg(before.generation);
                for _ in &keys {
                    // Neither sid nor index is known.
                    command.arg("").arg(0);
                }
                ended += self.number(&command, trace).await?;
            }
            if next == FIRST {
                return Ok(ended);
            }
            cursor = next;
        }
    }

    async fn end_sid_in_plain(
        &self,
        sid: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<u64, StoreError> {
        let mut cursor = FIRST.to_owned();
        loop {
            let (next, indices) = self.scan(&Place::Plain.indices(), &cursor, trace).await?;
            if !indices.is_empty() && self.end_sid_of(Place::Plain, &indices, sid, trace).await? {
                return Ok(1);
            }
            if next == FIRST {
                return Ok(0);
            }
            cursor = next;
        }
    }

    async fn scan(
        &self,
        pattern: &str,
        cursor: &[u8],
        trace: Option<&TraceHandle>,
    ) -> Result<(Vec<u8>, Vec<String>), StoreError> {
        let mut command = Cmd::new();
        command
            .arg("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(STEP_KEYS);
        answer(self.link.lookup("SCAN", &command, trace).await?)
    }
}

/// Adds up what all have answered. One that fails keeps none of the others from being done.
async fn total(outcomes: impl Stream<Item = Result<u64, StoreError>>) -> Result<u64, StoreError> {
    let sum = outcomes.fold((0, None), async |(sum, failure), outcome| match outcome {
        Ok(number) => (sum + number, failure),
        Err(error) => (sum, failure.or(Some(error))),
    });
    match sum.await {
        (sum, None) => Ok(sum),
        (_, Some(error)) => Err(error),
    }
}
