//! From a row to its effect: sessions in Redis are ended, and replicas get the entry.

use serde::Serialize;
use shared::{
    revocation::{Entry, Feed, Publication, Revoked},
    session::{SessionStore, StoreError, Watermark},
};
use utoipa::ToSchema;

use super::{Recorded, Revocations};
use crate::storage::{At, DatabaseError};

/// How far an end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Push {
    /// Sessions have ended, and every replica that follows the feed gets the entry.
    Published,
    /// It is in the database and will be published as soon as Redis can be reached.
    Pending,
}

impl Push {
    /// How far both have come.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Published { other } else { self }
    }
}

/// Why an entry was not published.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error(transparent)]
    Redis(#[from] StoreError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the feed is being made anew")]
    NoFeed,
}

impl Revocations {
    /// Publishes an entry now if that is possible, and leaves it to the reconciler otherwise.
    pub async fn push(&self, end: &Recorded, sessions: &SessionStore, at: At<'_>) -> Push {
        let entry = &end.entry;
        if end.is_published {
            return Push::Published;
        }
        match self.publish(entry, sessions, at).await {
            Ok(()) => Push::Published,
            Err(reason) => {
                tracing::warn!(%reason, kind = entry.revoked.kind(), "a revocation is pending");
                Push::Pending
            }
        }
    }

    /// Brings Redis to what the database says, as far as one entry goes.
    pub(super) async fn publish(
        &self,
        entry: &Entry,
        sessions: &SessionStore,
        at: At<'_>,
    ) -> Result<(), PublishError> {
        let feed = Feed::beside(sessions);
        let entries = std::slice::from_ref(entry);
        // Ending many sessions takes its time, and replicas need not wait for that.
        let (published, ended) = tokio::join!(
            feed.publish(entries, at.now.get(), at.trace),
            self.end_sessions(&entry.revoked, sessions, at),
        );
        ended?;
        match published? {
            Publication::Published(_) => {}
            Publication::NoFeed => return Err(PublishError::NoFeed),
        }
        // Without the mark it is published once more, which changes nothing.
        if let Err(error) = self.mark_published(entry, at).await {
            tracing::warn!(%error, "a revocation that was published is not marked");
        }
        Ok(())
    }

    /// Ends the sessions that an end concerns.
    async fn end_sessions(
        &self,
        revoked: &Revoked,
        sessions: &SessionStore,
        at: At<'_>,
    ) -> Result<(), PublishError> {
        match revoked {
            Revoked::Token { .. } => {}
            Revoked::Session { id } => {
                if !self.is_family(id, at).await? {
                    sessions.end_sid_of_anyone(id, at.trace).await?;
                }
            }
            Revoked::User { id, .. } => self.align_sessions(id, sessions, at).await?,
            Revoked::All { before, generation } => {
                let before = Watermark {
                    before: *before,
                    generation: generation.unwrap_or_default(),
                };
                sessions.end_everything(before, at.trace).await?;
            }
        }
        Ok(())
    }

    /// By what the database says of the user now, so that an entry that is published late undoes
    /// nothing.
    async fn align_sessions(
        &self,
        user: &str,
        sessions: &SessionStore,
        at: At<'_>,
    ) -> Result<(), PublishError> {
        let Some(state) = self.user_state(user, at).await? else {
            return Ok(());
        };
        if state.ended.before > 0 {
            let spared = state.spared.as_deref();
            sessions
                .end_all(user, spared, state.ended, at.trace)
                .await?;
        }
        sessions
            .set_roles(user, &state.roles, state.roles_since, at.trace)
            .await?;
        Ok(())
    }
}
