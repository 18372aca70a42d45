//! From a row to its effect: sessions in Redis are ended, replicas are told.

use shared::{
    revocation::{Entry, Feed, Publication, Revoked},
    session::{SessionStore, StoreError},
    telemetry::trace::TraceHandle,
};

use super::Revocations;
use crate::storage::DatabaseError;

/// How far an end has come when its caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// Sessions have ended and every replica that follows is being told.
    Published,
    /// It is in the database and will be carried out as soon as Redis can be reached.
    Pending,
}

impl Push {
    /// How far both have come.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Published { other } else { self }
    }
}

/// Why an entry was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotNow {
    #[error(transparent)]
    Redis(#[from] StoreError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the feed is being made anew")]
    NoFeed,
}

impl Revocations {
    /// Carries an entry out now if that is possible, and leaves it to the keeper otherwise.
    pub async fn push(
        &self,
        entry: &Entry,
        sessions: &SessionStore,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Push {
        match self.carry_out(entry, sessions, now, trace).await {
            Ok(()) => Push::Published,
            Err(reason) => {
                tracing::warn!(%reason, kind = entry.revoked.kind(), "a revocation is pending");
                self.pending.notify_one();
                Push::Pending
            }
        }
    }

    /// Brings Redis to what the database says, as far as one entry goes.
    pub(super) async fn carry_out(
        &self,
        entry: &Entry,
        sessions: &SessionStore,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<(), NotNow> {
        match &entry.revoked {
            Revoked::Token { .. } => {}
            Revoked::Session { id } => {
                if !self.is_family(id, trace).await? {
                    sessions.end_sid_of_anyone(id, trace).await?;
                }
            }
            Revoked::User { id, .. } => self.align_sessions(id, sessions, trace).await?,
            Revoked::All { before } => {
                sessions.end_everything(*before, trace).await?;
            }
        }
        let feed = Feed::beside(sessions);
        match feed
            .publish(std::slice::from_ref(entry), now, trace)
            .await?
        {
            Publication::Published(_) => {}
            Publication::NoFeed => return Err(NotNow::NoFeed),
        }
        // Everybody knows; without the mark it is done once more, which changes nothing.
        if let Err(error) = self.published(entry, trace).await {
            tracing::warn!(%error, "a revocation that was published is not marked");
        }
        Ok(())
    }

    /// The database tells what happened to the user last, so an entry that is carried out late
    /// brings back nothing.
    async fn align_sessions(
        &self,
        user: &str,
        sessions: &SessionStore,
        trace: Option<&TraceHandle>,
    ) -> Result<(), NotNow> {
        let Some(standing) = self.standing(user, trace).await? else {
            return Ok(());
        };
        if standing.logins_ended_at > 0 {
            let spared = standing.spared.as_deref();
            sessions
                .end_all(user, spared, standing.logins_ended_at, trace)
                .await?;
        }
        sessions
            .set_roles(user, &standing.roles, standing.valid_after, trace)
            .await?;
        Ok(())
    }
}
