//! One address of several.

use std::fmt;

use redis::ConnectionAddr;

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Node {
    /// A name or an address, that of IPv6 without brackets.
    pub(in crate::session) host: String,
    pub(in crate::session) port: u16,
}

impl Node {
    /// Another node, by what this one says of it: one that does not know its host, or not how others
    /// reach it, is where this one is.
    pub(in crate::session) fn beside(&self, host: &str, port: u16) -> Self {
        let host = if matches!(host, "" | "?") {
            &self.host
        } else {
            host
        };
        Self {
            host: host.to_owned(),
            port,
        }
    }
}

impl From<Node> for ConnectionAddr {
    fn from(node: Node) -> Self {
        Self::Tcp(node.host, node.port)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
