//! Where Redis is, for spans and the log.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use opentelemetry::KeyValue;
use redis::ConnectionAddr;

use crate::{
    session::{StoreSettings, redis_url::Topology},
    telemetry::{
        outage::Outage,
        trace::{Span, SpanKind, TraceHandle},
    },
};

/// The outages of each address. All connections of a process to one tell them together.
static OUTAGES: Mutex<Vec<(String, Outage)>> = Mutex::new(Vec::new());

/// An address without credentials.
#[derive(Clone)]
pub(super) struct Peer {
    address: String,
    port: Option<i64>,
    database: i64,
    /// How the log names it.
    name: String,
}

impl Peer {
    pub(super) fn of(settings: &StoreSettings) -> Self {
        let name = settings.url.to_string();
        let (address, port) = match settings.url.topology() {
            Topology::Server(ConnectionAddr::Tcp(host, port)) => {
                (host.clone(), Some(i64::from(*port)))
            }
            Topology::Server(other) => (other.to_string(), None),
            Topology::Sentinel(_) | Topology::Cluster(_) => (name.clone(), None),
        };
        Self {
            address,
            port,
            database: settings.url.database(),
            name,
        }
    }

    /// The span of a command.
    pub(super) fn span(&self, name: &'static str, trace: &TraceHandle) -> Span {
        let mut attributes = vec![
            KeyValue::new("db.system.name", "redis"),
            KeyValue::new("db.operation.name", name),
            KeyValue::new("db.namespace", self.database.to_string()),
            KeyValue::new("server.address", self.address.clone()),
        ];
        attributes.extend(self.port.map(|port| KeyValue::new("server.port", port)));
        trace.child(name, SpanKind::Client, attributes)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The outages of the Redis at this address.
pub(super) fn outage(peer: &Peer) -> Outage {
    let address = peer.to_string();
    let mut outages = OUTAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, outage)) = outages.iter().find(|(known, _)| *known == address) {
        return outage.clone();
    }
    let outage = Outage::of(format!("redis at {address}"));
    outages.push((address, outage.clone()));
    outage
}
