//! What becomes of a connection whose server says what changed: `CLIENT TRACKING` over RESP3, mode
//! `OPTIN`.
//!
//! Redis remembers which keys a connection has read by [`Link::read_tracked`](super::Link::read_tracked)
//! and sends a push message, on the same connection, when one of them changes. Messages and replies
//! come in the order in which they happened, and the driver of the connection hands each message on
//! before it reads the next reply.

use redis::Value;

/// Is told what becomes of the connections of a link and of what was read over them. The calls must
/// not wait and must not use the link.
pub(in crate::session) trait Watcher: Send + Sync {
    /// A connection stands and is about to be used. Nothing that was read before is watched.
    fn connected(&self, generation: u64);

    /// A key that was read may have changed; `None`: all of them.
    fn invalidated(&self, key: Option<&[u8]>);

    /// The connection is not used any more.
    fn lost(&self, generation: u64);
}

/// Hands what a message of invalidation says on.
pub(super) fn invalidate(watcher: &dyn Watcher, value: &Value) {
    match value {
        Value::Array(keys) => {
            for key in keys {
                match key {
                    Value::BulkString(key) => watcher.invalidated(Some(key)),
                    _ => watcher.invalidated(None),
                }
            }
        }
        // After FLUSHALL; and whatever else is there is not understood, so nothing is believed.
        _ => watcher.invalidated(None),
    }
}
