//! The task that follows the feed.
//!
//! Snapshot, then entry after entry. Whenever the feed does not go on where it stopped (another
//! epoch, a number missing, another tip) the snapshot is read again and added to what is known: what
//! was heard of once is forgotten only when it has run out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value, aio::MultiplexedConnection};

use super::Shared;
use crate::{
    clock::Clock,
    revocation::{
        CURRENT, Entry, HEAD, STREAM,
        feed::{Mark, mark},
    },
    session::{StoreError, StoreSettings},
};

/// How long Redis holds an answer back while nothing happens: the feed is looked at so often.
const BLOCK: Duration = Duration::from_millis(400);
/// Deadline of the snapshot, which may be large.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the next attempt when Redis or the feed is gone.
const PAUSE: Duration = Duration::from_millis(100);
/// Entries of one answer.
const BATCH: usize = 1_000;
/// How often what has run out is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10);

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
    forgot: Instant,
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
            forgot: Instant::now(),
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
            .set_response_timeout(Some(SNAPSHOT_TIMEOUT));
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

    /// Reads the head and all entries as one step.
    async fn snapshot(&self, connection: &mut MultiplexedConnection) -> Result<Mark, Trouble> {
        let asked = Instant::now();
        let mut pipe = redis::pipe();
        pipe.atomic().add_command(head());
        pipe.cmd("ZRANGEBYSCORE")
            .arg(CURRENT)
            .arg("-inf")
            .arg("+inf");
        let answer = pipe.query_async::<(Value, Vec<String>)>(connection);
        let (head, members) = within(SNAPSHOT_TIMEOUT, answer).await?;
        let mark = mark(&head)?.ok_or(Trouble::NoFeed)?;
        // The epoch stands among the entries; without it they are not those of the head.
        if !members.contains(&mark.epoch) {
            return Err(Trouble::NoFeed);
        }
        let entries = members
            .iter()
            .filter(|member| **member != mark.epoch)
            .map(|member| read(member))
            .collect::<Result<Vec<_>, _>>()?;
        tracing::info!(
            entries = entries.len(),
            sequence = mark.sequence,
            "read all revocations"
        );
        self.shared.observed.snapshots.inc();
        self.shared.merge(entries, mark.sequence);
        self.shared.complete(asked);
        Ok(mark)
    }

    /// Waits for entries behind a mark and adds them.
    async fn next(
        &self,
        connection: &mut MultiplexedConnection,
        at: Mark,
    ) -> Result<Next, Trouble> {
        let asked = Instant::now();
        let mut command = Cmd::new();
        command
            .arg("XREAD")
            .arg("COUNT")
            .arg(BATCH)
            .arg("BLOCK")
            .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX))
            .arg("STREAMS")
            .arg(STREAM)
            .arg(format!("{}-0", at.sequence));
        let answer = command.query_async::<Value>(connection);
        let answer = within(BLOCK + self.settings.timeout, answer).await?;
        let Some(items) = items(&answer)? else {
            return self.quiet(connection, at).await;
        };
        let full = items.len() >= BATCH;
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
        if !full {
            self.shared.complete(asked);
        }
        Ok(Next::On(mark))
    }

    /// Nothing came: either there is nothing, or the feed is another one.
    async fn quiet(
        &self,
        connection: &mut MultiplexedConnection,
        at: Mark,
    ) -> Result<Next, Trouble> {
        let asked = Instant::now();
        let command = head();
        let answer = command.query_async::<Value>(connection);
        let answer = within(self.settings.timeout, answer).await?;
        let now = mark(&answer)?.ok_or(Trouble::NoFeed)?;
        if now == at {
            self.shared.complete(asked);
            return Ok(Next::On(at));
        }
        // What was published since the first question comes with the next, unless the stream was
        // taken away; then the age tells.
        let published_since = now.epoch == at.epoch && now.sequence > at.sequence;
        if published_since && self.shared.age().is_some_and(|age| age < BLOCK * 4) {
            return Ok(Next::On(at));
        }
        Ok(Next::Gap)
    }

    fn forget(&mut self) {
        if self.forgot.elapsed() >= FORGET_EVERY {
            self.shared.write().forget(self.clock.unix_seconds());
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

fn head() -> Cmd {
    let mut command = Cmd::new();
    command
        .arg("HMGET")
        .arg(HEAD)
        .arg("epoch")
        .arg("seq")
        .arg("tip");
    command
}

fn read(json: &str) -> Result<Entry, StoreError> {
    serde_json::from_str(json)
        .map_err(|error| StoreError::Protocol(format!("a revocation: {error}")))
}

/// One item of the stream.
struct Item {
    sequence: u64,
    epoch: String,
    after: String,
    tip: String,
    entry: String,
}

/// The items of an answer to `XREAD` of one stream; `None` when there are none.
fn items(answer: &Value) -> Result<Option<Vec<Item>>, StoreError> {
    let unexpected = || StoreError::Protocol("an item of the revocation feed".to_owned());
    match answer {
        Value::Nil => Ok(None),
        Value::Array(streams) => {
            let Some(Value::Array(stream)) = streams.first() else {
                return Err(unexpected());
            };
            let Some(Value::Array(items)) = stream.get(1) else {
                return Err(unexpected());
            };
            let items: Option<Vec<_>> = items.iter().map(item).collect();
            items.map(Some).ok_or_else(unexpected)
        }
        _ => Err(unexpected()),
    }
}

fn item(value: &Value) -> Option<Item> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [id, Value::Array(fields)] = parts.as_slice() else {
        return None;
    };
    let field = |name: &str| {
        let mut pairs = fields.chunks_exact(2);
        pairs.find_map(|pair| {
            (text(&pair[0])? == name).then(|| text(&pair[1]).map(str::to_owned))?
        })
    };
    Some(Item {
        sequence: text(id)?.split('-').next()?.parse().ok()?,
        epoch: field("epoch")?,
        after: field("after")?,
        tip: field("tip")?,
        entry: field("entry")?,
    })
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
