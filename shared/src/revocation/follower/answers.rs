//! What Redis answers about the feed.

use redis::{Cmd, Value};

use crate::{
    revocation::{
        Entry, Keys,
        feed::{Mark, mark},
    },
    session::StoreError,
};

/// Where the feed stands, and its publishers.
pub(super) struct Head {
    pub(super) mark: Mark,
    /// The last round that began.
    pub(super) round: u64,
    /// The last round that has ended.
    pub(super) ended: u64,
}

impl Head {
    /// `None` when there is no feed.
    pub(super) fn read(answer: &Value) -> Result<Option<Self>, StoreError> {
        let Some(mark) = mark(answer)? else {
            return Ok(None);
        };
        // A head of an earlier version has no rounds.
        let number = |index: usize| match answer {
            Value::Array(parts) => parts.get(index).and_then(text)?.parse().ok(),
            _ => None,
        };
        Ok(Some(Self {
            mark,
            round: number(3).unwrap_or_default(),
            ended: number(4).unwrap_or_default(),
        }))
    }
}

/// Asks where the feed stands; [`Head::read`] reads the answer.
pub(super) fn head(keys: Keys) -> Cmd {
    let mut command = Cmd::new();
    command
        .arg("HMGET")
        .arg(keys.head)
        .arg("epoch")
        .arg("seq")
        .arg("tip")
        .arg("round")
        .arg("ended");
    command
}

/// Reads an entry.
pub(super) fn read(json: &str) -> Result<Entry, StoreError> {
    serde_json::from_str(json)
        .map_err(|error| StoreError::Protocol(format!("a revocation: {error}")))
}

/// One item of the stream.
pub(super) struct Item {
    pub(super) sequence: u64,
    pub(super) epoch: String,
    /// The tip that it was put on.
    pub(super) after: String,
    pub(super) tip: String,
    pub(super) entry: String,
}

/// The items of an answer to `XREAD` of one stream.
pub(super) fn items(answer: &Value) -> Result<Vec<Item>, StoreError> {
    let unexpected = || StoreError::Protocol("an item of the revocation feed".to_owned());
    match answer {
        Value::Nil => Ok(Vec::new()),
        Value::Array(streams) => {
            let Some(Value::Array(stream)) = streams.first() else {
                return Err(unexpected());
            };
            let Some(Value::Array(items)) = stream.get(1) else {
                return Err(unexpected());
            };
            let items: Option<Vec<_>> = items.iter().map(item).collect();
            items.ok_or_else(unexpected)
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
