//! Multiplexed connections to Redis that fail fast while Redis is gone and come back by themselves: one
//! ([`server`]), or one to each node of a cluster that is in charge of slots ([`cluster`]).
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
//! | sentinels are about to replace the server | a look-up is sent, all else fails | stays |
//! | sentinels name another server, or too few of them answer | what the old one still answers is not believed: a look-up is sent again, once | is made anew |
//!
//! Every second the connection is asked whether it can still be used, so that a service which only
//! reads hears of a failover too.

mod cluster;
mod connect;
mod connector;
mod elsewhere;
mod failure;
mod fault;
mod inner;
mod lacking;
mod locator;
mod members;
mod peer;
mod probe;
mod sentinel;
mod server;
mod together;
mod topology;
mod watched;

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Value};

pub use self::fault::Fault;
pub(super) use self::watched::Watcher;
use self::{
    cluster::{Cluster, WeakCluster},
    server::{Server, WeakServer},
};
pub(crate) use self::{
    connect::{Connection, connect_to_read, expect_primary},
    locator::Locator,
    probe::Purpose,
};
use super::{StoreSettings, redis_url::Topology};
use crate::telemetry::trace::TraceHandle;

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

/// A handle on the connections; clones share them.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// One server holds everything.
    Server(Server),
    /// Several share it.
    Cluster(Cluster),
}

/// A handle that keeps no connection.
#[derive(Clone)]
pub(super) enum WeakLink {
    Server(WeakServer),
    Cluster(WeakCluster),
}

impl WeakLink {
    pub(super) fn upgrade(&self) -> Option<Link> {
        match self {
            Self::Server(server) => server.upgrade().map(Link::Server),
            Self::Cluster(cluster) => cluster.upgrade().map(Link::Cluster),
        }
    }
}

impl Link {
    /// Starts the task that connects. Must be called inside a runtime.
    pub(crate) fn open(settings: StoreSettings, purpose: Purpose) -> Self {
        Self::start(settings, purpose, None)
    }

    /// The same for looking sessions up, with `watcher` told of what was read and changed.
    pub(super) fn open_watched(settings: StoreSettings, watcher: Arc<dyn Watcher>) -> Self {
        Self::start(settings, Purpose::Check, Some(watcher))
    }

    fn start(settings: StoreSettings, purpose: Purpose, watcher: Option<Arc<dyn Watcher>>) -> Self {
        match settings.url.topology() {
            Topology::Cluster(nodes) => {
                let nodes = nodes.clone();
                Self::Cluster(Cluster::open(settings, nodes, purpose, watcher))
            }
            Topology::Server(_) | Topology::Sentinel(_) => {
                Self::Server(Server::open(settings, purpose, watcher))
            }
        }
    }

    /// A handle that keeps no connection.
    pub(super) fn downgrade(&self) -> WeakLink {
        match self {
            Self::Server(server) => WeakLink::Server(server.downgrade()),
            Self::Cluster(cluster) => WeakLink::Cluster(cluster.downgrade()),
        }
    }

    /// What does not work although there is a connection.
    pub(super) fn lacking(&self) -> Option<Fault> {
        match self {
            Self::Server(server) => server.lacking(),
            Self::Cluster(cluster) => cluster.lacking(),
        }
    }

    /// Whether several servers share what there is.
    pub(crate) fn is_of_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
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

    /// Which connection is used for what concerns a key. Another one may lead to another server.
    pub(super) async fn generation(&self, key: &str) -> Result<u64, StoreError> {
        match self {
            Self::Server(server) => server.generation().await,
            Self::Cluster(cluster) => cluster.generation(key).await,
        }
    }

    /// Asks for a sign of life: of the server, or of any node.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Server(server) => server.ping().await,
            Self::Cluster(cluster) => cluster.ping().await,
        }
    }

    /// Whether all that vouch for what was read answer: what they had to say by then was heard.
    pub(super) async fn proves(&self) -> bool {
        match self {
            Self::Server(server) => server.ping().await.is_ok(),
            Self::Cluster(cluster) => cluster.proves().await,
        }
    }

    /// Reads over the watched connection of [`Link::open_watched`].
    pub(super) async fn read_tracked(&self, read: &Cmd) -> Result<Value, StoreError> {
        match self {
            Self::Server(server) => server.read_tracked(read).await,
            Self::Cluster(cluster) => cluster.read_tracked(read).await,
        }
    }

    async fn send(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
        may_repeat: bool,
    ) -> Result<Value, StoreError> {
        match self {
            Self::Server(server) => {
                let outcome = server.send(name, command, trace, may_repeat).await;
                outcome.map_err(|failure| failure.error)
            }
            Self::Cluster(cluster) => cluster.send(name, command, trace, may_repeat).await,
        }
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
