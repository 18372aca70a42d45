//! Making a connection, and asking whether it can be used.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo,
    RedisError, Value, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    fault::Fault,
    probe::{self, Questions},
};
use crate::session::{
    StoreSettings,
    redis_url::{Node, SentinelUrl, Topology},
};

/// A connection; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    commands: MultiplexedConnection,
    /// The task that drives it, where the library does not see to that. It ends with the last clone.
    _driver: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.commands
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.commands
    }
}

/// A connection that can be used.
pub(super) struct Made {
    pub(super) connection: Connection,
    /// What does not work over it all the same.
    pub(super) lacking: Option<Fault>,
}

/// Connects to the server at an address, where its name leads now. Redis speaks RESP3 over it, so that
/// `push` hears at once when it is closed; and, if `tracking`, of what was read and changed.
pub(super) async fn connect(
    settings: &StoreSettings,
    address: ConnectionAddr,
    questions: &Questions,
    tracking: bool,
    push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
) -> Result<Made, Fault> {
    let attempt = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout))
            .set_push_sender(push);
        let mut connection = log_in(settings, address, ProtocolVersion::RESP3, config).await?;
        if let Topology::Sentinel(_) = settings.url.topology() {
            // What sentinels say may be out of date, and a replica can be set to take writes.
            expect_primary(&mut connection).await?;
        }
        let lacking = match ask(&mut connection, &questions.all).await {
            // Its other slots may be its own.
            Err(fault) if questions.of_node && fault.is_of_slot() => None,
            Err(fault) if fault.is_of_connection() => return Err(fault),
            outcome => outcome.err(),
        };
        if tracking {
            let answer = connection.send_packed_command(&tracking_on()).await;
            answer
                .and_then(Value::extract_error)
                .map_err(|error| of_command("CLIENT", &error))?;
        }
        Ok(Made {
            connection,
            lacking,
        })
    };
    within(settings.timeout * 2, attempt).await
}

/// Asks whether everything works that is needed.
async fn ask(connection: &mut MultiplexedConnection, question: &Cmd) -> Result<(), Fault> {
    let answer = connection
        .send_packed_command(question)
        .await
        .and_then(Value::extract_error)
        .map_err(|error| of_command("EVAL", &error))?;
    probe::fault(&answer).map_or(Ok(()), Err)
}

/// Connects for reading alone, to the primary at an address: what a replica knows may be old. Calls
/// have this deadline, unless they set themselves another one.
pub(crate) async fn connect_to_read(
    settings: &StoreSettings,
    address: ConnectionAddr,
    deadline: Duration,
) -> Result<Connection, Fault> {
    let attempt = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(deadline));
        let mut connection = log_in(settings, address, ProtocolVersion::RESP2, config).await?;
        expect_primary(&mut connection).await?;
        Ok(connection)
    };
    within(settings.timeout * 2, attempt).await
}

/// Connects to a sentinel. `push` hears what it announces, and when the connection is closed.
pub(super) async fn connect_to_sentinel(
    settings: &StoreSettings,
    url: &SentinelUrl,
    sentinel: &Node,
    push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
) -> Result<Connection, Fault> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.timeout))
        .set_response_timeout(Some(settings.timeout))
        .set_push_sender(push);
    let info = url
        .at(sentinel)
        .map_err(|error| Fault::of_attempt(&error))?;
    let attempt = open(settings, info, ProtocolVersion::RESP3, config);
    within(settings.timeout * 2, attempt).await
}

/// Connects to ask a node about its cluster.
pub(super) async fn connect_to_ask(
    settings: &StoreSettings,
    address: ConnectionAddr,
) -> Result<Connection, Fault> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.timeout))
        .set_response_timeout(Some(settings.timeout));
    let attempt = log_in(settings, address, ProtocolVersion::RESP2, config);
    within(settings.timeout * 2, attempt).await
}

/// Asks whether the server still is a primary: it may have been made a replica.
pub(crate) async fn expect_primary(connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    let mut hello = Cmd::new();
    // Everybody may ask this, whatever the ACL.
    hello.arg("HELLO");
    let answer: Vec<Value> = hello
        .query_async(connection)
        .await
        .map_err(|error| Fault::of_call("HELLO", &error))?;
    let is = |value: &Value, text: &str| matches!(value, Value::BulkString(bytes) if bytes == text.as_bytes());
    let replica = answer
        .chunks_exact(2)
        .any(|pair| is(&pair[0], "role") && !is(&pair[1], "master"));
    if replica {
        Err(Fault::replica())
    } else {
        Ok(())
    }
}

fn of_command(name: &str, error: &RedisError) -> Fault {
    Fault::of_error(name, error).unwrap_or_else(|| Fault::of_attempt(error))
}

/// Connects to a Redis and logs in.
async fn log_in(
    settings: &StoreSettings,
    address: ConnectionAddr,
    protocol: ProtocolVersion,
    config: AsyncConnectionConfig,
) -> Result<Connection, Fault> {
    let info = settings.url.at(address);
    let info = info.map_err(|error| Fault::of_attempt(&error))?;
    open(settings, info, protocol, config).await
}

/// Connects and logs in, over TLS by a stream of our own.
async fn open(
    settings: &StoreSettings,
    info: ConnectionInfo,
    protocol: ProtocolVersion,
    config: AsyncConnectionConfig,
) -> Result<Connection, Fault> {
    let failed = |error: RedisError| Fault::of_attempt(&error);
    let redis = info.redis_settings().clone().set_protocol(protocol);
    let Some(tls) = &settings.tls else {
        // Many requests share a connection. With Nagle's algorithm, which the library leaves on, one
        // that comes while another is under way waits for that one's answer before it is sent
        // (decision 31).
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_redis_settings(redis).set_tcp_settings(tcp);
        let client = Client::open(info).map_err(failed)?;
        let commands = client.get_multiplexed_async_connection_with_config(&config);
        return Ok(Connection {
            commands: commands.await.map_err(failed)?,
            _driver: None,
        });
    };
    let stream = tokio::time::timeout(settings.timeout, tls.connect(info.addr())).await;
    let stream = stream.map_err(|_| Fault::NO_TLS)?;
    let stream = stream.map_err(|error| Fault::of_io(&error))?;
    let made = MultiplexedConnection::new_with_config(&redis, stream, config).await;
    let (commands, driver) = made.map_err(failed)?;
    Ok(Connection {
        commands,
        _driver: Some(Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)))),
    })
}

async fn within<T>(
    deadline: Duration,
    attempt: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::time::timeout(deadline, attempt)
        .await
        .unwrap_or(Err(Fault::SILENT))
}

/// The command that turns tracking on, of what is asked for by name only: what strangers ask for is
/// not remembered.
///
/// Without `NOLOOP`: a server that does not tell a client of its own change forgets all the same
/// that the client has read the key, and tells it nothing of the next change by somebody else.
fn tracking_on() -> Cmd {
    let mut command = Cmd::new();
    command.arg("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
    command
}
