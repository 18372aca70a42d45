//! One multiplexed connection to Redis that fails fast while Redis is gone and comes back by itself.
//!
//! The library's own connection manager lets callers wait for a reconnection; under load that turns
//! an outage into a pile of waiting requests. Here a connection that is broken, silent, or leads to
//! a server that does not take writes any more is given up for everybody, and one task makes another,
//! to where the name of Redis leads by then. Callers wait for the first attempt only, within their
//! deadline: a Redis that is there is there again before they give up, and while it is away each
//! fails at once.
//!
//! | what happened | the call | the connection |
//! | --- | --- | --- |
//! | closed before the call | is sent over the next one | was being made anew already |
//! | closed during the call | a look-up is sent again, once; of anything else it is not known whether it happened | is made anew |
//! | the server refuses it for what the server has become (`READONLY`, `LOADING`, `NOAUTH`, …): it did not happen | is sent again, once | is made anew |
//! | the server refuses what writes (`OOM`, `NOPERM`, …) | fails | stays: reading works |
//! | no answer in time | fails | is made anew after some in a row |
//! | sentinels name another server, or too few of them answer | what the old one still answers is not believed: a look-up is sent again, once | is made anew |
//!
//! Every second the connection is asked whether it can still be used, so that a service which only
//! reads hears of a failover too.

mod connect;
mod connector;
mod failure;
mod fault;
mod inner;
mod locator;
mod peer;
mod probe;
mod sentinel;
mod watched;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use redis::{Cmd, Value};

pub use self::fault::Fault;
pub(super) use self::watched::Watcher;
pub(crate) use self::{
    connect::{Connection, connect_to_read, expect_primary},
    locator::Locator,
    probe::Purpose,
};
use self::{
    connector::Connector,
    inner::{Connected, Inner},
};
use super::StoreSettings;
use crate::{
    background::supervised,
    telemetry::{
        metrics::calls,
        trace::{Span, TraceHandle},
    },
};

/// Redis gave no usable answer. Always means "cannot be decided".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no connection that can be used; a task is trying to make one.
    #[error("redis cannot be used: {0}")]
    Down(Fault),
    /// Redis did not do this, and would do other things.
    #[error("redis refused: {0}")]
    Refused(Fault),
    /// No answer within the deadline.
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke before the answer, so what became of it is unknown.
    #[error("the connection to redis broke")]
    Broken,
    /// An answer that says something went wrong in Redis or is of an unexpected form.
    #[error("redis answered unexpectedly: {0}")]
    Protocol(String),
}

impl StoreError {
    /// `error.type` of the span.
    fn kind(&self) -> &'static str {
        match self {
            Self::Down(_) => "connection_unavailable",
            Self::Refused(_) => "refused",
            Self::Timeout(_) => "timeout",
            Self::Broken => "connection_broken",
            Self::Protocol(_) => "protocol",
        }
    }
}

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

/// A handle that does not keep the connection.
#[derive(Clone)]
pub(super) struct WeakLink(Weak<Inner>);

impl WeakLink {
    pub(super) fn upgrade(&self) -> Option<Link> {
        self.0.upgrade().map(Link)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = self.0.connected().is_some();
        f.debug_struct("Link")
            .field("connected", &connected)
            .finish()
    }
}

impl Link {
    /// Starts the task that connects. Must be called inside a runtime.
    pub(crate) fn open(settings: StoreSettings, purpose: Purpose) -> Self {
        Self::start(settings, purpose, None)
    }

    /// The same for looking sessions up, with `watcher` told of what was read over the connection
    /// and changed.
    pub(super) fn open_watched(settings: StoreSettings, watcher: Arc<dyn Watcher>) -> Self {
        Self::start(settings, Purpose::Check, Some(watcher))
    }

    fn start(settings: StoreSettings, purpose: Purpose, watcher: Option<Arc<dyn Watcher>>) -> Self {
        let link = Self(Arc::new(Inner::new(&settings, watcher)));
        let connector = Connector::new(&link.0, settings, purpose);
        tokio::spawn(supervised("connection to redis", move || {
            connector.clone().run()
        }));
        link
    }

    /// A handle that does not keep the connection.
    pub(super) fn downgrade(&self) -> WeakLink {
        WeakLink(Arc::downgrade(&self.0))
    }

    /// What does not work although there is a connection.
    pub(super) fn lacking(&self) -> Option<Fault> {
        self.0.lacking()
    }

    /// Sends one command. It is sent again only if it certainly did not happen.
    pub(crate) async fn command(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<Value, StoreError> {
        self.send(name, command, trace, false).await
    }

    /// Sends one command that may be done twice as well as once. It is sent again, once, when the
    /// connection breaks before the answer.
    pub(crate) async fn lookup(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
    ) -> Result<Value, StoreError> {
        self.send(name, command, trace, true).await
    }

    /// Reads like [`Link::command`], once, over a watched link, and has the server tell of the next change
    /// of what is read. The server remembers each key that is read so, also one that does not exist.
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

    async fn send(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
        may_repeat: bool,
    ) -> Result<Value, StoreError> {
        let mut span = match trace {
            Some(trace) => self.0.span(name, trace),
            None => Span::silent(),
        };
        let began = Instant::now();
        let outcome = match self.0.connected() {
            Some(connected) => {
                let generation = connected.generation;
                match self.0.ask(name, connected, command).await {
                    Ok(value) => Ok(value),
                    Err(failure) if failure.asks_again(may_repeat) => {
                        Box::pin(self.0.ask_next(generation, name, command)).await
                    }
                    Err(failure) => Err(failure.error),
                }
            }
            None => Box::pin(self.0.ask_next(0, name, command)).await,
        };
        let failed = outcome.as_ref().err().map(StoreError::kind);
        calls::observe("redis", name, failed, began.elapsed());
        if let Some(kind) = failed {
            span.fail(kind);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use testkit::{eventually, redis::Redis};

    use super::*;

    /// Panics, once, in the task that connects.
    #[derive(Default)]
    struct PanicsOnce(AtomicBool);

    impl Watcher for PanicsOnce {
        fn connected(&self, _: u64) {
            assert!(self.0.swap(true, Ordering::Relaxed), "on purpose");
        }

        fn invalidated(&self, _: Option<&[u8]>) {}

        fn lost(&self, _: u64) {}
    }

    #[tokio::test]
    async fn a_task_that_panics_while_it_connects_connects_again() {
        let redis = Redis::start();
        let settings = StoreSettings {
            url: redis.url().parse().unwrap(),
            tls: None,
            timeout: Duration::from_millis(500),
        };
        let watcher = Arc::new(PanicsOnce::default());
        let link = Link::open_watched(settings, Arc::clone(&watcher) as _);
        let ping = redis::cmd("PING");
        eventually(async || link.lookup("PING", &ping, None).await.is_ok()).await;
        assert!(watcher.0.load(Ordering::Relaxed), "it did panic");
    }
}
