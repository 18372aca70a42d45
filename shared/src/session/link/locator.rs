//! Where the server in charge is now: what the URL names, or what its sentinels or its cluster say.

use std::{future::pending, sync::Arc};

use redis::ConnectionAddr;
use tokio::sync::watch;

use super::{
    fault::Fault,
    sentinel::{CurrentPrimary, Located, Watch},
    topology,
};
use crate::session::{
    StoreSettings,
    redis_url::{Node, Topology},
};

/// Says where the server in charge is, and when it is another.
#[derive(Clone)]
pub(crate) struct Locator(Source);

#[derive(Clone)]
enum Source {
    /// One server, or a name that leads to it; or why there can be none.
    Fixed(Result<ConnectionAddr, Fault>),
    /// The node of a cluster that a key is with.
    Cluster {
        settings: StoreSettings,
        nodes: Vec<Node>,
        key: &'static str,
    },
    Sentinels {
        located: watch::Receiver<Located>,
        /// For as long as somebody wants to know, the sentinels are asked.
        _watch: Arc<Watch>,
    },
}

impl Locator {
    /// That of a URL.
    ///
    /// # Panics
    ///
    /// There is no thread left to ask sentinels.
    pub(crate) fn of(settings: &StoreSettings) -> Self {
        Self(match settings.url.topology() {
            Topology::Server(address) => Source::Fixed(Ok(address.clone())),
            Topology::Sentinel(url) => {
                let watch = Watch::of(settings, url);
                Source::Sentinels {
                    located: watch.located(),
                    _watch: watch,
                }
            }
            Topology::Cluster(_) => Source::Fixed(Err(Fault::UNSUPPORTED)),
        })
    }

    /// That of a key, which in a cluster is with one of its nodes.
    ///
    /// # Panics
    ///
    /// As [`Locator::of`].
    pub(crate) fn of_key(settings: &StoreSettings, key: &'static str) -> Self {
        match settings.url.topology() {
            Topology::Cluster(nodes) => Self(Source::Cluster {
                settings: settings.clone(),
                nodes: nodes.clone(),
                key,
            }),
            Topology::Server(_) | Topology::Sentinel(_) => Self::of(settings),
        }
    }

    /// The address of the server in charge, when enough sentinels were heard to say.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub(crate) async fn locate(&mut self) -> Result<ConnectionAddr, Fault> {
        match &mut self.0 {
            Source::Fixed(address) => address.clone(),
            Source::Cluster {
                settings,
                nodes,
                key,
            } => topology::find(settings, nodes, key).await,
            Source::Sentinels { located, .. } => {
                let found = located.wait_for(Option::is_some).await;
                match found.ok().as_deref() {
                    Some(Some(Ok(current))) => Ok(current.node.clone().into()),
                    Some(Some(Err(fault))) => Err(fault.clone()),
                    _ => Err(Fault::NOT_YET),
                }
            }
        }
    }

    /// Whether the server at this address is in charge, as far as is known.
    pub(crate) fn leads_to(&self, address: &ConnectionAddr) -> bool {
        match &self.0 {
            Source::Fixed(_) | Source::Cluster { .. } => true,
            Source::Sentinels { located, .. } => is_at(&located.borrow(), address),
        }
    }

    /// Whether the server in charge is about to be replaced, so that what it is told to write may be
    /// lost.
    pub(super) fn is_being_replaced(&self) -> bool {
        match &self.0 {
            Source::Fixed(_) | Source::Cluster { .. } => false,
            Source::Sentinels { located, .. } => matches!(
                &*located.borrow(),
                Some(Ok(CurrentPrimary {
                    is_being_replaced: true,
                    ..
                }))
            ),
        }
    }

    /// Returns when the server at this address is not in charge, or that is not known any more.
    pub(crate) async fn moved(&mut self, address: &ConnectionAddr) {
        match &mut self.0 {
            Source::Fixed(_) | Source::Cluster { .. } => pending().await,
            Source::Sentinels { located, .. } => {
                let moved = located.wait_for(|located| !is_at(located, address));
                // Without the thread nothing is ever heard again.
                if moved.await.is_err() {
                    pending::<()>().await;
                }
            }
        }
    }

    /// Returns when it is worth while to ask again where the server in charge is.
    pub(crate) async fn changed(&mut self) {
        match &mut self.0 {
            Source::Fixed(_) | Source::Cluster { .. } => pending().await,
            Source::Sentinels { located, .. } => {
                if located.changed().await.is_err() {
                    pending::<()>().await;
                }
            }
        }
    }
}

fn is_at(located: &Located, address: &ConnectionAddr) -> bool {
    match (located, address) {
        (Some(Ok(CurrentPrimary { node, .. })), ConnectionAddr::Tcp(host, port)) => {
            node.host == *host && node.port == *port
        }
        _ => false,
    }
}
