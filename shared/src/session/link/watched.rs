//! A connection whose server says what changed: `CLIENT TRACKING` over RESP3, mode `OPTIN`.
//!
//! Redis remembers which keys a connection has read by [`Link::read_tracked`] and sends a push
//! message, on the same connection, when one of them changes. Messages and replies come in the order
//! in which they happened, and the driver of the connection hands each message on before it reads
//! the next reply.

use std::sync::Weak;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    PushInfo, PushKind, RedisResult, Value,
};

use super::{Connected, Inner, Link, StoreError};

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

/// Hands push messages of the connection `generation` on to the watcher of the link.
pub(super) fn push_to(inner: Weak<Inner>, generation: u64) -> impl Fn(PushInfo) -> Result<(), ()> {
    move |push| {
        let Some(inner) = inner.upgrade() else {
            return Err(());
        };
        match push.kind {
            PushKind::Invalidate => {
                if let Some(watcher) = &inner.watcher {
                    for value in &push.data {
                        invalidate(&**watcher, value);
                    }
                }
            }
            PushKind::Disconnection => inner.close(generation),
            _ => {}
        }
        Ok(())
    }
}

fn invalidate(watcher: &dyn Watcher, value: &Value) {
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

/// The client and the settings of a connection with push messages.
pub(super) fn client(
    url: &str,
    config: AsyncConnectionConfig,
    push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
) -> RedisResult<(Client, AsyncConnectionConfig)> {
    let info: ConnectionInfo = url.into_connection_info()?;
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings))?;
    Ok((client, config.set_push_sender(push)))
}

impl Link {
    /// Reads like [`Link::command`], over a watched link, and has the server tell of the next change
    /// of what is read. The server remembers each key that is read so, also one that does not exist.
    pub(in crate::session) async fn read_tracked(&self, read: &Cmd) -> Result<Value, StoreError> {
        let Some(Connected {
            generation,
            mut connection,
        }) = self.0.connected()
        else {
            return Err(StoreError::Down);
        };
        // Sent as one piece: the first is about the command that comes next on the connection.
        let mut both = redis::pipe();
        both.cmd("CLIENT").arg("CACHING").arg("YES");
        both.add_command(read.clone());
        let answers = connection.send_packed_commands(&both, 0, both.len()).await;
        match self.0.judge(generation, answers.map(Value::Array))? {
            Value::Array(mut answers) if answers.len() == both.len() => {
                Ok(answers.pop().unwrap_or(Value::Nil))
            }
            _ => Err(StoreError::Protocol("CLIENT CACHING".to_owned())),
        }
    }
}

/// The command that turns tracking on, of what is asked for by name only: what strangers ask for is
/// not remembered.
///
/// Without `NOLOOP`: a server that does not tell a client of its own change forgets all the same
/// that the client has read the key, and tells it nothing of the next change by somebody else.
pub(super) fn tracking_on() -> Cmd {
    let mut command = Cmd::new();
    command.arg("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
    command
}
