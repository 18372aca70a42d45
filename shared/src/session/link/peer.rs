//! Where Redis is, for spans and the log.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
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

/// Addresses without credentials.
pub(super) struct Peer {
    /// Those of the URL.
    url: String,
    database: i64,
    /// Of the server that was connected to last.
    server: Mutex<Option<ConnectionAddr>>,
}

impl Peer {
    pub(super) fn of(settings: &StoreSettings) -> Self {
        let server = match settings.url.topology() {
            Topology::Server(address) => Some(address.clone()),
            Topology::Sentinel(_) | Topology::Cluster(_) => None,
        };
        Self {
            url: settings.url.to_string(),
            database: settings.url.database(),
            server: Mutex::new(server),
        }
    }

    /// Notes which server is connected to.
    pub(super) fn connected_to(&self, address: &ConnectionAddr) {
        *self.server() = Some(address.clone());
    }

    /// The span of a command.
    pub(super) fn span(&self, name: &'static str, trace: &TraceHandle) -> Span {
        let (address, port) = match &*self.server() {
            Some(ConnectionAddr::Tcp(host, port)) => (host.clone(), Some(i64::from(*port))),
            Some(other) => (other.to_string(), None),
            None => (self.url.clone(), None),
        };
        let mut attributes = vec![
            KeyValue::new("db.system.name", "redis"),
            KeyValue::new("db.operation.name", name),
            KeyValue::new("db.namespace", self.database.to_string()),
            KeyValue::new("server.address", address),
        ];
        attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
        trace.child(name, SpanKind::Client, attributes)
    }

    fn server(&self) -> MutexGuard<'_, Option<ConnectionAddr>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
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
