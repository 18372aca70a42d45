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

use redis::{ConnectionAddr, RedisError, Value, aio::MultiplexedConnection};

use super::{
    Shared,
    answers::{Head, head, items, read},
    rounds::Rounds,
};
use crate::{
    clock::Clock,
    revocation::{Keys, feed::Mark, set::PARTS},
    session::{
        Fault, StoreError, StoreSettings,
        link::{Connection, Locator, connect_to_read, expect_primary},
    },
};

/// How long Redis holds an answer back while nothing happens: the feed is looked at so often.
const BLOCK: Duration = Duration::from_millis(200);
/// Longer than any call may take: each has a deadline of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before the next attempt when Redis or the feed is gone.
const PAUSE: Duration = Duration::from_millis(100);
/// Entries of one answer.
const BATCH: usize = 1_000;
/// How often the server is asked whether it still is a primary: what a replica that is cut off knows
/// is not what is published.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long a feed is read that nobody writes, before it is looked for where the name of Redis leads
/// by then: this server may have lost its place.
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// How often a part of what is known is looked through for what has run out: all of it in 13 s.
const FORGET_EVERY: Duration = Duration::from_millis(200);

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("redis cannot be used: {0}")]
    Redis(#[from] Fault),
    #[error(transparent)]
    Form(#[from] StoreError),
    #[error("there is no feed")]
    NoFeed,
    #[error(
        "the feed is read and not written: no auth-service keeps it, or its Redis takes no writes"
    )]
    Unwritten,
}

pub(super) struct Tail {
    settings: StoreSettings,
    locator: Locator,
    keys: Keys,
    clock: Clock,
    shared: Arc<Shared>,
    rounds: Rounds,
    /// When the server was known to be a primary.
    primary: Instant,
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
        let keys = Keys::of(settings.url.is_cluster());
        Self {
            locator: Locator::of_key(&settings, keys.head),
            keys,
            settings,
            clock,
            shared,
            rounds: Rounds::default(),
            primary: Instant::now(),
            forgot: Instant::now(),
            forgets: 0,
        }
    }

    /// Follows for ever, over one connection after another.
    pub(super) async fn run(mut self) {
        loop {
            let trouble = match self.connect().await {
                Ok((address, mut connection)) => {
                    self.primary = Instant::now();
                    self.follow(&address, &mut connection).await
                }
                Err(fault) => fault.into(),
            };
            self.shared.observer.failed(&trouble);
            self.forget();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&mut self) -> Result<(ConnectionAddr, Connection), Fault> {
        let address = self.locator.locate().await?;
        // Each call has a deadline of its own.
        let connection = connect_to_read(&self.settings, address.clone(), CALL_TIMEOUT).await?;
        Ok((address, connection))
    }

    async fn follow(
        &mut self,
        address: &ConnectionAddr,
        connection: &mut MultiplexedConnection,
    ) -> Trouble {
        let began = Instant::now();
        loop {
            let mut at = match self.snapshot(connection).await {
                Ok(at) => at,
                Err(trouble) => return trouble,
            };
            loop {
                self.forget();
                if !self.locator.leads_to(address) {
                    return Fault::REPLACED.into();
                }
                if let Err(fault) = self.ask_for_primary(connection).await {
                    return fault.into();
                }
                match self.next(connection, at).await {
                    Ok(Next::On(next)) => {
                        at = next;
                        if !self.tell_staleness() && began.elapsed() > RENEW_EVERY {
                            return Trouble::Unwritten;
                        }
                    }
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

    async fn ask_for_primary(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Fault> {
        if self.primary.elapsed() >= ASK_EVERY {
            let asked = Instant::now();
            let answer = tokio::time::timeout(self.settings.timeout, expect_primary(connection));
            answer.await.unwrap_or(Err(Fault::SILENT))?;
            self.primary = asked;
        }
        Ok(())
    }

    /// Reads the head, and all entries behind it.
    async fn snapshot(&mut self, connection: &mut MultiplexedConnection) -> Result<Mark, Trouble> {
        let asked = Instant::now();
        let command = head(self.keys);
        let answer = command.query_async::<Value>(connection);
        let answer = within("HMGET", self.settings.timeout * 2, answer).await?;
        let mark = self.look(asked, answer)?.mark;
        let (mut entries, mut is_whole, mut cursor) = (0, false, 0_u64);
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(self.keys.current)
                .arg(cursor)
                .arg("COUNT")
                .arg(BATCH);
            let answer = scan.query_async::<(u64, Vec<(String, f64)>)>(connection);
            let (next, members) = within("ZSCAN", self.settings.timeout * 2, answer).await?;
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
        both.add_command(head(self.keys));
        both.cmd("XREAD")
            .arg("COUNT")
            .arg(BATCH)
            .arg("BLOCK")
            .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX))
            .arg("STREAMS")
            .arg(self.keys.stream)
            .arg(format!("{}-0", at.sequence));
        let answers = both.query_async::<(Value, Value)>(connection);
        let (head, answer) = within("XREAD", BLOCK + self.settings.timeout, answers).await?;
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

    /// Whether the feed that is read is written too; tells when that begins and ends.
    fn tell_staleness(&self) -> bool {
        let age = self.shared.age();
        let is_written = age.is_none_or(|age| age <= self.shared.max_age);
        if is_written {
            self.shared.observer.recovered();
        } else {
            self.shared.observer.failed(&Trouble::Unwritten);
        }
        is_written
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
    command: &str,
    deadline: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| Fault::of_call(command, &error)),
        Err(_) => Err(Fault::SILENT),
    }
}
