//! One multiplexed connection to Redis that fails fast while Redis is gone and comes back by itself.
//!
//! The library's own connection manager lets callers wait for a reconnection; under load that turns
//! an outage into a pile of waiting requests. Here a broken or silent connection is closed for
//! everybody, callers fail at once, and one task tries again until a `PING` is answered.

mod watched;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use opentelemetry::KeyValue;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, RedisError,
    RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::sync::mpsc;

pub(super) use self::watched::Watcher;
use super::StoreSettings;
use crate::telemetry::trace::{Span, SpanKind, TraceHandle};

/// Pause between attempts to reconnect: short enough to answer again well within a second.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// So many calls in a row without an answer close the connection for all.
const SILENT_CALLS: u32 = 3;

/// Redis gave no usable answer. Always means "cannot be decided".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no connection; a task is trying to make one.
    #[error("redis is not connected")]
    Down,
    /// No answer within the deadline.
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    /// An answer that says something went wrong in Redis or is of an unexpected form.
    #[error("redis answered unexpectedly: {0}")]
    Protocol(String),
}

impl StoreError {
    /// `error.type` of the span.
    fn kind(&self) -> &'static str {
        match self {
            Self::Down => "connection_unavailable",
            Self::Timeout(_) => "timeout",
            Self::Protocol(_) => "protocol",
        }
    }
}

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    current: Mutex<Option<Connected>>,
    silent_calls: AtomicU32,
    /// Wakes the reconnecting task. The task ends when the last handle is gone.
    lost: mpsc::Sender<()>,
    timeout: Duration,
    peer: Peer,
    watcher: Option<Arc<dyn Watcher>>,
}

/// A handle that does not keep the connection.
pub(super) struct WeakLink(Weak<Inner>);

impl WeakLink {
    pub(super) fn upgrade(&self) -> Option<Link> {
        self.0.upgrade().map(Link)
    }
}

/// A connection and its place in the sequence of connections, so that a failure that is reported
/// late does not close the one that came after.
#[derive(Clone)]
struct Connected {
    generation: u64,
    connection: MultiplexedConnection,
}

/// Where Redis is, for spans.
#[derive(Clone, Default)]
struct Peer {
    address: String,
    port: Option<i64>,
    database: i64,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = self.0.current().is_some();
        f.debug_struct("Link")
            .field("connected", &connected)
            .finish()
    }
}

impl Link {
    /// Starts the task that connects. Must be called inside a runtime.
    pub(crate) fn open(settings: StoreSettings) -> Self {
        Self::start(settings, None)
    }

    /// The same, with `watcher` told of what was read over the connection and changed.
    pub(super) fn open_watched(settings: StoreSettings, watcher: Arc<dyn Watcher>) -> Self {
        Self::start(settings, Some(watcher))
    }

    /// A handle that does not keep the connection.
    pub(super) fn downgrade(&self) -> WeakLink {
        WeakLink(Arc::downgrade(&self.0))
    }

    fn start(settings: StoreSettings, watcher: Option<Arc<dyn Watcher>>) -> Self {
        let (lost, mut losses) = mpsc::channel(1);
        let link = Self(Arc::new(Inner {
            current: Mutex::new(None),
            silent_calls: AtomicU32::new(0),
            lost,
            timeout: settings.timeout,
            peer: Peer::of(settings.url.expose()),
            watcher,
        }));
        let weak = Arc::downgrade(&link.0);
        tokio::spawn(async move {
            let mut generation = 0;
            loop {
                generation += 1;
                let Some(inner) = weak.upgrade() else { return };
                let watch = inner.watcher.is_some().then(|| (weak.clone(), generation));
                drop(inner);
                match connect(&settings, watch).await {
                    Ok(connection) => {
                        let Some(inner) = weak.upgrade() else { return };
                        tracing::info!("connected to redis");
                        inner.silent_calls.store(0, Ordering::Relaxed);
                        // What was reported before this connection stood is about an older one.
                        while losses.try_recv().is_ok() {}
                        if let Some(watcher) = &inner.watcher {
                            watcher.connected(generation);
                        }
                        *inner.current() = Some(Connected {
                            generation,
                            connection,
                        });
                        drop(inner);
                        if losses.recv().await.is_none() {
                            return;
                        }
                        tracing::warn!("lost the connection to redis, reconnecting");
                    }
                    Err(error) => {
                        tracing::debug!(%error, "redis is not reachable");
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    }
                }
                if weak.strong_count() == 0 {
                    return;
                }
            }
        });
        link
    }

    /// Sends one command.
    pub(crate) async fn command(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<Value, StoreError> {
        let mut span = self.span(name, trace);
        let outcome = match self.0.connected() {
            None => Err(StoreError::Down),
            Some(Connected {
                generation,
                mut connection,
            }) => {
                let answer = connection.send_packed_command(command).await;
                self.0.judge(generation, answer)
            }
        };
        note(&mut span, &outcome);
        outcome
    }

    fn span(&self, name: &'static str, trace: Option<&TraceHandle>) -> Span {
        let Some(trace) = trace else {
            return Span::silent();
        };
        let peer = &self.0.peer;
        let mut attributes = vec![
            KeyValue::new("db.system.name", "redis"),
            KeyValue::new("db.operation.name", name),
            KeyValue::new("db.namespace", peer.database.to_string()),
            KeyValue::new("server.address", peer.address.clone()),
        ];
        attributes.extend(peer.port.map(|port| KeyValue::new("server.port", port)));
        trace.child(name, SpanKind::Client, attributes)
    }
}

fn note<T>(span: &mut Span, outcome: &Result<T, StoreError>) {
    if let Err(error) = outcome {
        span.fail(error.kind());
    }
}

impl Inner {
    fn current(&self) -> MutexGuard<'_, Option<Connected>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self) -> Option<Connected> {
        self.current().clone()
    }

    /// Turns the library's answer into ours, and closes a connection that has shown itself dead.
    fn judge(&self, generation: u64, answer: RedisResult<Value>) -> Result<Value, StoreError> {
        let error = match answer.and_then(Value::extract_error) {
            Ok(value) => {
                self.silent_calls.store(0, Ordering::Relaxed);
                return Ok(value);
            }
            Err(error) => error,
        };
        if error.is_timeout() {
            if self.silent_calls.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS {
                self.close(generation);
            }
            return Err(StoreError::Timeout(self.timeout));
        }
        if error.is_io_error() || error.is_unrecoverable_error() {
            self.close(generation);
            return Err(StoreError::Down);
        }
        Err(StoreError::Protocol(describe(&error)))
    }

    fn close(&self, generation: u64) {
        let mut current = self.current();
        if current
            .as_ref()
            .is_some_and(|connected| connected.generation == generation)
        {
            *current = None;
            if let Some(watcher) = &self.watcher {
                watcher.lost(generation);
            }
            // A full channel already holds the same message.
            let _ = self.lost.try_send(());
        }
    }
}

/// The error's code or category only: its text may repeat what was sent.
fn describe(error: &RedisError) -> String {
    error.code().unwrap_or_else(|| error.category()).to_owned()
}

/// A connection that has answered a `PING` within the deadline, and that tracks what is read over
/// it when the link is watched.
async fn connect(
    settings: &StoreSettings,
    watch: Option<(Weak<Inner>, u64)>,
) -> Result<MultiplexedConnection, StoreError> {
    let attempt = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout));
        let url = settings.url.expose().as_str();
        let watched = watch.is_some();
        let (client, config) = match watch {
            Some((inner, generation)) => {
                watched::client(url, config, watched::push_to(inner, generation))?
            }
            None => (Client::open(url)?, config),
        };
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut ping = Cmd::new();
        ping.arg("PING");
        // A Redis that still loads its data answers with an error and is not there yet.
        connection
            .send_packed_command(&ping)
            .await?
            .extract_error()?;
        if watched {
            connection
                .send_packed_command(&watched::tracking_on())
                .await?
                .extract_error()?;
        }
        Ok::<_, RedisError>(connection)
    };
    match tokio::time::timeout(settings.timeout * 2, attempt).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(StoreError::Protocol(describe(&error))),
        Err(_) => Err(StoreError::Timeout(settings.timeout)),
    }
}

impl Peer {
    fn of(url: &str) -> Self {
        let Ok(info) = url.into_connection_info() else {
            return Self::default();
        };
        let (address, port) = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host.clone(), Some(i64::from(*port)))
            }
            ConnectionAddr::Unix(path) => (path.display().to_string(), None),
            _ => (String::new(), None),
        };
        Self {
            address,
            port,
            database: info.redis_settings().db(),
        }
    }
}
