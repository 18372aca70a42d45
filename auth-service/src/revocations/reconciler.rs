//! The task that reconciles Redis with the database: makes the feed anew when it was lost, publishes
//! what is pending, removes what is over. Several replicas may do it at once.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use shared::{
    clock::Clock,
    revocation::{Feed, Mark, State},
    session::{SessionStore, StoreSettings},
    telemetry::metrics::Metrics,
};

use super::{Revocations, publish::PublishError};
use crate::storage::{At, UnixSeconds};

/// How often the feed is inspected.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often what is over is removed.
const REMOVE_EVERY: u32 = 60;

/// Reconciles the feed and the sessions in Redis with the revocations in the database.
#[derive(Debug)]
pub struct Reconciler {
    revocations: Revocations,
    clock: Clock,
    /// The feed's mark when it was inspected last.
    mark: Option<Mark>,
    pending: Gauge,
    rebuilds: Counter,
    failing: bool,
}

impl Reconciler {
    /// A reconciler of these revocations; registers its metrics.
    #[must_use]
    pub fn new(revocations: Revocations, clock: Clock, metrics: &Metrics) -> Self {
        let (pending, rebuilds) = (Gauge::default(), Counter::default());
        metrics.register(|registry| {
            registry.register(
                "auth_revocations_pending",
                "Revocations in the database that are not published yet",
                pending.clone(),
            );
            registry.register(
                "auth_revocation_feed_rebuilds",
                "Times that the feed of revocations was lost and made anew from the database",
                rebuilds.clone(),
            );
        });
        Self {
            revocations,
            clock,
            mark: None,
            pending,
            rebuilds,
            failing: false,
        }
    }

    /// Reconciles for ever, over a connection of its own.
    pub async fn run(mut self, settings: StoreSettings) {
        let sessions = SessionStore::open(settings);
        let feed = Feed::beside(&sessions);
        for round in 0_u32.. {
            match self.round(&sessions, &feed, round).await {
                Ok(()) => self.failing = false,
                // Once for an outage; the metrics show how much waits.
                Err(error) if !self.failing => {
                    tracing::warn!(%error, "the feed of revocations is not kept, trying again");
                    self.failing = true;
                }
                Err(_) => {}
            }
            let woken = self.revocations.pending.notified();
            // A failing Redis wakes it with each request that is pending.
            if self.failing {
                tokio::time::sleep(INTERVAL / 5).await;
            } else {
                // Woken or not, it is time to look.
                let _ = tokio::time::timeout(INTERVAL, woken).await;
            }
        }
    }

    async fn round(
        &mut self,
        sessions: &SessionStore,
        feed: &Feed,
        round: u32,
    ) -> Result<(), PublishError> {
        let now = UnixSeconds::now(&self.clock);
        let (pending, count) = self.revocations.pending().await?;
        self.pending.set(count);
        match feed.inspect(self.mark.as_ref()).await? {
            State::Whole(mark) => self.mark = Some(mark),
            State::Absent => self.rebuild(feed, None, now).await?,
            State::Damaged(mark) => self.rebuild(feed, Some(&mark.epoch), now).await?,
        }
        for entry in &pending {
            self.revocations
                .publish(entry, sessions, At::untraced(now))
                .await?;
        }
        if !pending.is_empty() {
            tracing::info!(revocations = pending.len(), "published what was pending");
            let (_, count) = self.revocations.pending().await?;
            self.pending.set(count);
        }
        if round.is_multiple_of(REMOVE_EVERY) {
            self.revocations.remove_expired(now).await?;
        }
        Ok(())
    }

    async fn rebuild(
        &mut self,
        feed: &Feed,
        instead: Option<&str>,
        now: UnixSeconds,
    ) -> Result<(), PublishError> {
        // Before the feed is there again, so that a crash in between leaves it to be done.
        self.revocations.repeat_watermarks(now).await?;
        let entries = self.revocations.living(now).await?;
        self.mark = feed.rebuild(&entries, instead, now.get()).await?;
        if self.mark.is_some() {
            self.rebuilds.inc();
            tracing::warn!(entries = entries.len(), "made the feed of revocations anew");
            self.revocations.pending.notify_one();
        }
        Ok(())
    }
}
