//! The task that reconciles Redis with the database: makes the feed anew when it was lost, publishes
//! what is pending, removes what is over. Several replicas may do it at once.
//!
//! Each round that ends tells the followers of the feed that they know all that the database held
//! when it began. No round ends while something that was revoked is not in the feed.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use shared::{
    clock::Clock,
    revocation::{Feed, Mark, Publication, State},
    session::{SessionStore, StoreSettings},
    telemetry::{
        metrics::Metrics,
        outage::{Observer, Outage},
    },
};

use super::{Revocations, publish::PublishError, rows::Page};
use crate::storage::{At, UnixSeconds};

/// How often a round begins: twice in the shortest age that a follower may have.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often what is over is removed, in rounds.
const REMOVE_EVERY: u32 = 120;

/// Reconciles the feed and the sessions in Redis with the revocations in the database.
#[derive(Clone, Debug)]
pub struct Reconciler {
    revocations: Revocations,
    clock: Clock,
    /// The feed's mark when it was inspected last.
    mark: Option<Mark>,
    pending: Gauge,
    rebuilds: Counter,
    observer: Arc<Observer>,
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
            observer: Arc::new(Outage::of("the feed of revocations").observer()),
        }
    }

    /// Reconciles for ever, over a connection of its own. Ending sessions may take long and keeps no
    /// round from ending.
    pub async fn run(self, settings: StoreSettings) {
        let sessions = SessionStore::open(settings);
        let feed = Feed::beside(&sessions);
        let revocations = self.revocations.clone();
        let clock = self.clock.clone();
        tokio::join!(
            self.keep_feed(&feed),
            publish_pending(revocations, clock, &sessions)
        );
    }

    async fn keep_feed(mut self, feed: &Feed) {
        for round in 0_u32.. {
            if let Err(error) = self.round(feed, round).await {
                self.observer.failed(&error);
                // The metrics show how much waits.
                if let Ok(count) = self.revocations.count_pending().await {
                    self.pending.set(count);
                }
            } else {
                self.observer.recovered();
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn round(&mut self, feed: &Feed, round: u32) -> Result<(), PublishError> {
        let now = UnixSeconds::now(&self.clock);
        match feed.inspect(self.mark.as_ref(), now.get()).await? {
            State::Whole(mark) => self.mark = Some(mark),
            State::Absent => self.rebuild(feed, None, now).await?,
            State::Damaged(mark) => self.rebuild(feed, Some(&mark.epoch), now).await?,
        }
        let begun = feed.begin_round().await?.ok_or(PublishError::NoFeed)?;
        let (mut count, mut page) = (0, Page::default());
        while !page.is_last {
            page = self.revocations.pending(&page).await?;
            count += page.entries.len();
            match feed.publish(&page.entries, now.get(), None).await? {
                Publication::Published(_) => {}
                Publication::NoFeed => return Err(PublishError::NoFeed),
            }
        }
        feed.end_round(begun).await?;
        self.pending.set(i64::try_from(count).unwrap_or(i64::MAX));
        if count > 0 {
            self.revocations.pending.notify_one();
        }
        if round.is_multiple_of(REMOVE_EVERY) {
            self.revocations.remove_expired(now).await?;
            self.revocations.count_tokens().await?;
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
        let (mut entries, mut page) = (0, Page::default());
        while !page.is_last {
            page = self.revocations.living(&page, now).await?;
            feed.restore(&page.entries).await?;
            entries += page.entries.len();
        }
        self.mark = feed.rebuild(&[], instead, now.get()).await?;
        if self.mark.is_some() {
            self.rebuilds.inc();
            tracing::warn!(entries, "made the feed of revocations anew");
        }
        Ok(())
    }
}

/// Publishes for ever what is pending, and ends sessions as it says.
async fn publish_pending(revocations: Revocations, clock: Clock, sessions: &SessionStore) {
    loop {
        revocations.pending.notified().await;
        let at = At::untraced(UnixSeconds::now(&clock));
        match publish_all(&revocations, sessions, at).await {
            Ok(0) => {}
            Ok(published) => tracing::info!(published, "published what was pending"),
            // A round that finds something pending asks for it again.
            Err(error) => tracing::debug!(%error, "something is still pending"),
        }
    }
}

/// One that fails keeps none of the others from being published.
async fn publish_all(
    revocations: &Revocations,
    sessions: &SessionStore,
    at: At<'_>,
) -> Result<usize, PublishError> {
    let (mut published, mut failure, mut page) = (0, None, Page::default());
    while !page.is_last {
        page = revocations.pending(&page).await?;
        for entry in &page.entries {
            match revocations.publish(entry, sessions, at).await {
                Ok(()) => published += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    match failure {
        None => Ok(published),
        Some(error) => Err(error),
    }
}
