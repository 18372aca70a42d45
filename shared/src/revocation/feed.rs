//! The side of the auth-service: publishing entries, and making the feed anew when it was lost.

mod scripts;

use redis::{Cmd, ToRedisArgs, Value};

use super::{Entry, Keys};
use crate::{
    session::{
        SessionStore, StoreError, StoreSettings,
        link::{Link, Purpose},
        random_text,
    },
    telemetry::trace::TraceHandle,
};

/// Seconds without an auth-service after which the feed is gone, as every key must be some day.
const TIME_TO_LIVE: u64 = 24 * 3600;
/// Entries of the stream. Who is further behind reads the snapshot.
const STREAM_LENGTH: u64 = 10_000;
/// Entries that are restored by one command.
const BATCH: usize = 500;
/// Seconds that entries without a head live, should nobody go on with making the feed anew.
const RESTORED_SECONDS: u64 = 60;
/// Random bytes of a tip and of an epoch.
const TIP_BYTES: usize = 9;

/// The feed, as its publishers see it.
#[derive(Clone, Debug)]
pub struct Feed {
    link: Link,
    keys: Keys,
}

/// Where the feed stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Changes when the feed is made anew. The text begins with the time, so that an older epoch
    /// that comes back with an old replica of Redis is known as such.
    pub epoch: String,
    /// The number of the last entry.
    pub sequence: u64,
    /// A random name of the last entry.
    pub tip: String,
}

/// A round of a publisher: all that the database held when its number was taken is in the feed when
/// it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a round that does not end tells no follower anything"]
pub struct Round {
    epoch: String,
    number: u64,
}

/// What became of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "without a feed nothing was published"]
pub enum Publication {
    /// They are in the feed.
    Published(Mark),
    /// There is no feed: it must be made anew, with them.
    NoFeed,
}

/// How the feed stands to what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Absent,
    /// It holds what it held.
    Whole(Mark),
    /// Part of its history is lost.
    Damaged(Mark),
}

impl Feed {
    /// The feed in a Redis of its own connection. Must be called inside a runtime.
    #[must_use]
    pub fn open(settings: StoreSettings) -> Self {
        Self::over(Link::open(settings, Purpose::Manage))
    }

    /// The feed in the Redis of a session store, over its connection.
    #[must_use]
    pub fn beside(store: &SessionStore) -> Self {
        Self::over(store.link.clone())
    }

    fn over(link: Link) -> Self {
        let keys = Keys::of(link.is_of_cluster());
        Self { link, keys }
    }

    /// The keys of scripts about all of it.
    fn all(&self) -> [&'static str; 3] {
        [self.keys.head, self.keys.stream, self.keys.current]
    }

    /// Publishes entries, all or none. What is there already is not published again, and the
    /// watermark of a user takes the place of the one before.
    ///
    /// # Errors
    ///
    /// Redis did not confirm it in time; publishing them again is safe.
    pub async fn publish(
        &self,
        entries: &[Entry],
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Publication, StoreError> {
        let mut keys = self.all().map(str::to_owned).to_vec();
        let successions = entries.iter().map(|entry| {
            let (name, order) = entry.revoked.succession();
            if name.is_empty() {
                return (0, order);
            }
            keys.push(format!("{}:last:{name}", self.keys.head));
            (keys.len(), order)
        });
        let successions: Vec<_> = successions.collect();
        let mut command = script(scripts::PUBLISH, &keys);
        command.arg(now).arg(TIME_TO_LIVE).arg(STREAM_LENGTH);
        for (entry, (key, order)) in entries.iter().zip(successions) {
            command
                .arg(json(entry)?)
                .arg(entry.until)
                .arg(random_text::<TIP_BYTES>())
                .arg(key)
                .arg(order);
        }
        let answer = self.link.command("EVAL", &command, trace).await?;
        Ok(match mark(&answer)? {
            Some(mark) => Publication::Published(mark),
            None => Publication::NoFeed,
        })
    }

    /// Looks whether the feed still holds what it held when it stood at `known`, and lets it live
    /// on without what has run out.
    ///
    /// # Errors
    ///
    /// Redis did not answer in time.
    pub async fn inspect(&self, known: Option<&Mark>, now: u64) -> Result<State, StoreError> {
        let mut command = script(scripts::INSPECT, &self.all());
        command.arg(now).arg(TIME_TO_LIVE);
        match known {
            Some(known) => command
                .arg(&known.epoch)
                .arg(known.sequence)
                .arg(&known.tip),
            None => command.arg("").arg(0).arg(""),
        };
        let answer = self.link.command("EVAL", &command, None).await?;
        let Some(mark) = mark(&answer)? else {
            return Ok(State::Absent);
        };
        let whole = matches!(&answer, Value::Array(parts) if parts.get(3) == Some(&Value::Int(1)));
        let older = known.is_some_and(|known| time_of(&mark.epoch) < time_of(&known.epoch));
        Ok(if whole && !older {
            State::Whole(mark)
        } else {
            State::Damaged(mark)
        })
    }

    /// Begins a round, before the database is read. `None` when there is no feed.
    ///
    /// # Errors
    ///
    /// Redis did not confirm it in time.
    pub async fn begin_round(&self) -> Result<Option<Round>, StoreError> {
        let command = script(scripts::BEGIN_ROUND, &[self.keys.head]);
        match self.link.command("EVAL", &command, None).await? {
            Value::Nil => Ok(None),
            value => match redis::from_redis_value::<(String, u64)>(value) {
                Ok((epoch, number)) => Ok(Some(Round { epoch, number })),
                Err(_) => Err(StoreError::Protocol("a round has another form".to_owned())),
            },
        }
    }

    /// Ends a round, when all that was read in it is in the feed.
    ///
    /// # Errors
    ///
    /// Redis did not confirm it in time; the next round says as much.
    pub async fn end_round(&self, round: Round) -> Result<(), StoreError> {
        let mut command = script(scripts::END_ROUND, &[self.keys.head]);
        command.arg(round.epoch).arg(round.number);
        self.link.command("EVAL", &command, None).await.map(drop)
    }

    /// Puts entries into the list that is read by who joins, without a word to who follows. The first
    /// part of making a feed anew that has more entries than one call can take.
    ///
    /// # Errors
    ///
    /// Redis did not confirm it in time; doing it again is safe.
    pub async fn restore(&self, entries: &[Entry]) -> Result<(), StoreError> {
        for batch in entries.chunks(BATCH) {
            let mut command = script(scripts::RESTORE, &[self.keys.current]);
            command.arg(RESTORED_SECONDS);
            for entry in batch {
                command.arg(entry.until).arg(json(entry)?);
            }
            self.link.command("EVAL", &command, None).await?;
        }
        Ok(())
    }

    /// Makes the feed anew of these entries and what is there, in place of the one with the epoch
    /// `instead`. `None` when another was faster.
    ///
    /// # Errors
    ///
    /// Redis did not confirm it in time; doing it again is safe.
    pub async fn rebuild(
        &self,
        entries: &[Entry],
        instead: Option<&str>,
        now: u64,
    ) -> Result<Option<Mark>, StoreError> {
        self.restore(entries).await?;
        let epoch = format!("{now:010x}-{}", random_text::<TIP_BYTES>());
        let mut command = script(scripts::REBUILD, &self.all());
        command
            .arg(&epoch)
            .arg(instead.unwrap_or_default())
            .arg(TIME_TO_LIVE);
        mark(&self.link.command("EVAL", &command, None).await?)
    }
}

fn script(text: &str, keys: &[impl ToRedisArgs]) -> Cmd {
    let mut command = Cmd::new();
    command.arg("EVAL").arg(text).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    command
}

fn json(entry: &Entry) -> Result<String, StoreError> {
    serde_json::to_string(entry).map_err(|error| StoreError::Protocol(error.to_string()))
}

/// The part of an epoch that orders it.
pub(super) fn time_of(epoch: &str) -> &str {
    epoch.split('-').next().unwrap_or_default()
}

/// Reads epoch, number and tip; `None` when there is no feed.
pub(super) fn mark(answer: &Value) -> Result<Option<Mark>, StoreError> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    };
    match answer {
        Value::Nil => return Ok(None),
        Value::Array(parts) if matches!(parts.first(), Some(Value::Nil)) => return Ok(None),
        Value::Array(parts) => {
            let texts: Option<Vec<_>> = parts.iter().take(3).map(text).collect();
            if let Some([epoch, sequence, tip]) = texts.as_deref()
                && let Ok(sequence) = sequence.parse()
            {
                return Ok(Some(Mark {
                    epoch: epoch.clone(),
                    sequence,
                    tip: tip.clone(),
                }));
            }
        }
        _ => {}
    }
    Err(StoreError::Protocol(
        "the head of the revocation feed has another form".to_owned(),
    ))
}
