//! Where a node of a cluster sends a call that is not for it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::fault::Fault;
use crate::session::redis_url::Node;

/// What a node says of a slot that it does not answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// The slot is with this node.
    Moved(u16, Node),
    /// The slot is being moved to this node, and the key is not here.
    Ask(Node),
    /// Of several keys some have been moved.
    Later,
    /// It is served by nobody.
    Nowhere,
}

impl Elsewhere {
    /// What an error means that was the answer of `node`.
    pub(super) fn of(error: &RedisError, node: &Node) -> Option<Self> {
        let ErrorKind::Server(kind) = error.kind() else {
            return None;
        };
        let told = || {
            let (address, slot) = error.redirect_node()?;
            let (host, port) = address.rsplit_once(':')?;
            Some((slot, node.beside(host, port.parse().ok()?)))
        };
        match kind {
            ServerErrorKind::Moved => told().map(|(slot, node)| Self::Moved(slot, node)),
            ServerErrorKind::Ask => told().map(|(_, node)| Self::Ask(node)),
            ServerErrorKind::TryAgain => Some(Self::Later),
            ServerErrorKind::ClusterDown => Some(Self::Nowhere),
            _ => None,
        }
    }

    /// Why a call fails that gets no further.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Nowhere => Fault::UNSERVED,
            Self::Moved(..) | Self::Ask(_) | Self::Later => Fault::MOVING,
        }
    }
}
