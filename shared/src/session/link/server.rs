//! One multiplexed connection to one server.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Instant,
};

use redis::{Cmd, Value};

use super::{
    StoreError,
    connector::Connector,
    failure::{Failure, Happened},
    fault::Fault,
    inner::{Connected, Inner},
    probe::{Purpose, Questions},
    watched::Watcher,
};
use crate::{
    background::supervised,
    session::{StoreSettings, place::Tag, redis_url::Node},
    telemetry::{
        metrics::calls,
        trace::{Span, TraceHandle},
    },
};

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

/// A handle that does not keep the connection.
#[derive(Clone)]
pub(in crate::session) struct WeakServer(Weak<Inner>);

impl WeakServer {
    pub(super) fn upgrade(&self) -> Option<Server> {
        self.0.upgrade().map(Server)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("connected", &self.is_connected())
            .finish()
    }
}

impl Server {
    /// Starts the task that connects. Must be called inside a runtime.
    pub(super) fn open(
        settings: StoreSettings,
        purpose: Purpose,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        let inner = Inner::new(&settings, None, watcher);
        Self::start(inner, settings, Questions::new(purpose))
    }

    /// The same for one node of a cluster, which is asked now and then about keys of a tag.
    pub(super) fn open_node(
        settings: &StoreSettings,
        node: &Node,
        purpose: Purpose,
        tag: Option<Tag>,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        let settings = StoreSettings {
            url: settings.url.of_node(node),
            ..settings.clone()
        };
        let inner = Inner::new(&settings, Some(node.clone()), watcher);
        Self::start(inner, settings, Questions::of_node(tag, purpose))
    }

    fn start(inner: Inner, settings: StoreSettings, questions: Questions) -> Self {
        let server = Self(Arc::new(inner));
        let connector = Connector::new(&server.0, settings, questions);
        tokio::spawn(supervised("connection to redis", move || {
            connector.clone().run()
        }));
        server
    }

    /// A handle that does not keep the connection.
    pub(super) fn downgrade(&self) -> WeakServer {
        WeakServer(Arc::downgrade(&self.0))
    }

    /// Whether a connection stands.
    pub(super) fn is_connected(&self) -> bool {
        self.0.connected().is_some()
    }

    /// Why no connection stands.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.fault()
    }

    /// What does not work although there is a connection.
    pub(super) fn lacking(&self) -> Option<Fault> {
        self.0.lacking()
    }

    /// Sends one command. It is sent again, once, if it certainly did not happen, or `may_repeat`; if
    /// not, it is refused while sentinels replace the server: what is written then may be lost.
    pub(super) async fn send(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
        may_repeat: bool,
    ) -> Result<Value, Failure> {
        let (span, began) = (self.span(name, trace), Instant::now());
        let outcome = match self.0.connected() {
            _ if !may_repeat && self.0.locator.is_being_replaced() => {
                let error = StoreError::Refused(Fault::BEING_REPLACED);
                Err(Failure::new(Happened::Settled, error))
            }
            Some(connected) => {
                let generation = connected.generation;
                match self.0.ask(name, connected, command).await {
                    Ok(value) => Ok(value),
                    Err(failure) if failure.asks_again(may_repeat) => {
                        Box::pin(self.0.ask_next(generation, name, command)).await
                    }
                    Err(failure) => Err(failure),
                }
            }
            None => Box::pin(self.0.ask_next(0, name, command)).await,
        };
        observe(name, &outcome, began, span);
        outcome
    }

    /// The place of the connection that stands, or of the next one, among all of the process.
    pub(super) async fn generation(&self) -> Result<u64, StoreError> {
        Ok(self.current().await?.generation)
    }

    /// The connection that stands, or the next one, when it stands in time.
    async fn current(&self) -> Result<Connected, StoreError> {
        let timeout = self.0.timeout();
        let connected = tokio::time::timeout(timeout, self.0.next(0)).await;
        let connected = connected.map_err(|_| StoreError::Timeout(timeout))?;
        connected.map_err(StoreError::Down)
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let answer = self.send("PING", &redis::cmd("PING"), None, true).await;
        match answer.map_err(|failure| failure.error) {
            // A Redis that cannot save to disk refuses even this; reading works.
            Ok(_) | Err(StoreError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends one command about a slot that the node is being given.
    pub(super) async fn send_asking(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<Value, Failure> {
        let (span, began) = (self.span(name, trace), Instant::now());
        let outcome = self.ask_importing(name, command).await;
        observe(name, &outcome, began, span);
        outcome
    }

    /// Asks a node that is being given the slot of the command's key, over the connection that stands
    /// or the next one.
    async fn ask_importing(&self, name: &str, command: &Cmd) -> Result<Value, Failure> {
        let current = self.current().await;
        let mut connected = current.map_err(|error| Failure::new(Happened::Settled, error))?;
        // Sent as one piece: the first is about the command that comes next on the connection.
        let mut both = redis::pipe();
        both.cmd("ASKING");
        both.add_command(command.clone());
        let answers = connected.connection.send_packed_commands(&both, 1, 1).await;
        let answer = answers.map(|mut answers| answers.pop().unwrap_or(Value::Nil));
        self.0.judge(name, connected.generation, answer)
    }

    /// Reads once, over a watched connection, and has the server tell of the next change of what is
    /// read. The server remembers each key that is read so, also one that does not exist.
    pub(super) async fn read_tracked(&self, read: &Cmd) -> Result<Value, StoreError> {
        let Some(Connected {
            generation,
            mut connection,
        }) = self.0.connected()
        else {
            return Err(StoreError::Broken);
        };
        // Sent as one piece: the first is about the command that comes next on the connection.
        let mut both = redis::pipe();
        both.cmd("CLIENT").arg("CACHING").arg("YES");
        both.add_command(read.clone());
        let answers = connection.send_packed_commands(&both, 0, both.len()).await;
        match self
            .0
            .judge("CLIENT", generation, answers.map(Value::Array))
        {
            Ok(Value::Array(mut answers)) if answers.len() == both.len() => {
                Ok(answers.pop().unwrap_or(Value::Nil))
            }
            Ok(_) => Err(StoreError::Protocol("CLIENT CACHING".to_owned())),
            Err(failure) => Err(failure.error),
        }
    }

    fn span(&self, name: &'static str, trace: Option<&TraceHandle>) -> Span {
        match trace {
            Some(trace) => self.0.span(name, trace),
            None => Span::silent(),
        }
    }
}

/// Tells metrics and trace how a call ended.
fn observe(name: &'static str, outcome: &Result<Value, Failure>, began: Instant, mut span: Span) {
    let failed = outcome.as_ref().err().map(|failure| failure.error.kind());
    calls::observe("redis", name, failed, began.elapsed());
    if let Some(kind) = failed {
        span.fail(kind);
    }
}
