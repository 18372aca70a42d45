//! The task that follows the feed.
//!
//! Snapshot, then entry after entry. Whenever the feed does not go on where it stopped (another
//! epoch, a number missing, another tip) the snapshot is read again and added to what is known: what
//! was heard of once is forgotten only when it has run out. The snapshot is read in pages; what
//! changes meanwhile comes with the entries behind the head that was read before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Client, RedisError, Value, aio::MultiplexedConnection};

use super::{
    Shared,
    answers::{Head, head, items, read},
    rounds::Rounds,
};
use crate::{
    clock::Clock,
    revocation::{CURRENT, STREAM, feed::Mark, set::PARTS},
    session::{StoreError, StoreSettings},
};

/// How long Redis holds an answer back while nothing happens: the feed is looked at so often.
const BLOCK: Duration = Duration::from_millis(200);
/// Longer than any call may take: each has a deadline of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before the next attempt when Redis or the feed is gone.
const PAUSE: Duration = Duration::from_millis(100);
/// Entries of one answer.
const BATCH: usize = 1_000;
/// How often a part of what is known is looked through for what has run out: all of it in 13 s.
const FORGET_EVERY: Duration = Duration::from_millis(200);

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("redis failed: {}", .0.category())]
    Redis(#[from] RedisError),
    #[error("redis did not answer in time")]
    Timeout,
    #[error(transparent)]
    Form(#[from] StoreError),
    #[error("there is no feed")]
    NoFeed,
}

pub(super) struct Tail {
    settings: StoreSettings,
    clock: Clock,
    shared: Arc<Shared>,
    rounds: Rounds,
    /// Whether it was said that the copy is too old although the feed is read.
    is_stale: bool,
    forgot: Instant,
    /// Which part is looked through next.
    forgets: usize,
}

/// What an answer to "what comes next" came to.
enum Next {
    /// The feed goes on at this mark.
    On(Mark),
    /// It does not go on.
    Gap,
}

impl Tail {
    pub(super) fn new(settings: StoreSettings, clock: Clock, shared: Arc<Shared>) -> Self {
        Self {
            settings,
            clock,
            shared,
            rounds: Rounds::default(),
            is_stale: false,
            forgot: Instant::now(),
            forgets: 0,
        }
    }

    /// Follows for ever, over one connection after another.
    pub(super) async fn run(mut self) {
        let mut healthy = true;
        loop {
            let trouble = match self.connect().await {
                Ok(mut connection) => {
                    let connected = Instant::now();
                    let trouble = self.follow(&mut connection).await;
                    healthy |= connected.elapsed() > BLOCK;
                    trouble
                }
                Err(trouble) => trouble,
            };
            // Once for an outage; the age in the metrics tells how long it lasts.
            if healthy {
                tracing::warn!(error = %trouble, "revocations are not followed, trying again");
                healthy = false;
            }
            self.forget();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Trouble> {
        let client = Client::open(self.settings.url.expose().as_str())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.timeout))
            // Each call has a deadline of its own.
            .set_response_timeout(Some(CALL_TIMEOUT));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        within(self.settings.timeout * 2, connecting).await
    }

    async fn follow(&mut self, connection: &mut MultiplexedConnection) -> Trouble {
        loop {
            let mut at = match self.snapshot(connection).await {
                Ok(at) => at,
                Err(trouble) => return trouble,
            };
            loop {
                self.forget();
                match self.next(connection, at).await {
                    Ok(Next::On(next)) => at = next,
                    Ok(Next::Gap) => {
                        self.shared.observed.gaps.inc();
                        tracing::warn!("revocations did not go on, reading all of them");
                        break;
                    }
                    Err(trouble) => return trouble,
                }
            }
        }
    }

    /// Reads the head, and all entries behind it.
    async fn snapshot(&mut self, connection: &mut MultiplexedConnection) -> Result<Mark, Trouble> {
        let asked = Instant::now();
        let command = head();
        let answer = command.query_async::<Value>(connection);
        let answer = within(self.settings.timeout * 2, answer).await?;
        let mark = self.look(asked, answer)?.mark;
        let (mut entries, mut is_whole, mut cursor) = (0, false, 0_u64);
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(CURRENT).arg(cursor).arg("COUNT").arg(BATCH);
            let answer = scan.query_async::<(u64, Vec<(String, f64)>)>(connection);
            let (next, members) = within(self.settings.timeout * 2, answer).await?;
            let mut page = Vec::with_capacity(members.len());
            for (member, _) in &members {
                if *member == mark.epoch {
                    is_whole = true;
                } else {
                    page.push(read(member)?);
                }
            }
            entries += page.len();
            self.shared.merge(page, mark.sequence);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        // The epoch stands among the entries; without it they are not those of the head.
        if !is_whole {
            return Err(Trouble::NoFeed);
        }
        let (sequence, took) = (mark.sequence, asked.elapsed());
        tracing::info!(entries, sequence, ?took, "read all revocations");
        self.shared.observed.snapshots.inc();
        Ok(mark)
    }

    /// Looks where the feed stands, waits a moment for entries behind a mark and adds them.
    async fn next(
        &mut self,
        connection: &mut MultiplexedConnection,
        at: Mark,
    ) -> Result<Next, Trouble> {
        let asked = Instant::now();
        let mut both = redis::pipe();
        both.add_command(head());
        both.cmd("XREAD")
            .arg("COUNT")
            .arg(BATCH)
            .arg("BLOCK")
            .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX))
            .arg("STREAMS")
            .arg(STREAM)
            .arg(format!("{}-0", at.sequence));
        let answers = both.query_async::<(Value, Value)>(connection);
        let (head, answer) = within(BLOCK + self.settings.timeout, answers).await?;
        let head = self.look(asked, head)?;
        let is_other = head.mark.epoch != at.epoch
            || head.mark.sequence < at.sequence
            || (head.mark.sequence == at.sequence && head.mark.tip != at.tip);
        if is_other {
            return Ok(Next::Gap);
        }
        let items = items(&answer)?;
        let is_full = items.len() >= BATCH;
        let mut mark = at;
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let goes_on = item.sequence == mark.sequence + 1
                && item.epoch == mark.epoch
                && item.after == mark.tip;
            if !goes_on {
                return Ok(Next::Gap);
            }
            mark.sequence = item.sequence;
            mark.tip = item.tip;
            entries.push(read(&item.entry)?);
        }
        self.shared.merge(entries, mark.sequence);
        // The head was read first, so the entries reach it, but for those of the next answer.
        if head.mark.sequence <= mark.sequence {
            if let Some(then) = self.rounds.ended(head.ended) {
                self.shared.complete(then);
            }
        } else if !is_full {
            return Ok(Next::Gap);
        }
        self.tell_staleness();
        Ok(Next::On(mark))
    }

    /// Reads the answer to [`head`], which was asked for at a time.
    fn look(&mut self, asked: Instant, answer: Value) -> Result<Head, Trouble> {
        let Some(head) = Head::read(&answer)? else {
            self.rounds.absent(asked);
            return Err(Trouble::NoFeed);
        };
        self.rounds.look(asked, &head.mark.epoch, head.round);
        self.shared.note(&self.shared.read_at, asked);
        Ok(head)
    }

    /// Says once that the feed is read and not written, and once that it is again.
    fn tell_staleness(&mut self) {
        let is_stale = self
            .shared
            .age()
            .is_some_and(|age| age > self.shared.max_age);
        if is_stale && !self.is_stale {
            tracing::warn!(
                "revocations are read, but no round of their publisher ends: no auth-service keeps \
                 the feed, or Redis takes no writes"
            );
        } else if self.is_stale && !is_stale {
            tracing::info!("revocations are complete again");
        }
        self.is_stale = is_stale;
    }

    fn forget(&mut self) {
        if self.forgot.elapsed() >= FORGET_EVERY {
            let now = self.clock.unix_seconds();
            self.shared.write().forget(self.forgets, now);
            self.forgets = (self.forgets + 1) % PARTS;
            self.forgot = Instant::now();
        }
    }
}

async fn within<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::Timeout),
    }
}
