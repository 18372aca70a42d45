//! Where Redis is, for spans and the log.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use opentelemetry::KeyValue;
use redis::ConnectionAddr;

use crate::{
    session::StoreSettings,
    telemetry::{
        outage::Outage,
        trace::{Span, SpanKind, TraceHandle},
    },
};

/// The outages of each address. All connections of a process to one tell them together.
static OUTAGES: Mutex<Vec<(String, Outage)>> = Mutex::new(Vec::new());

/// An address without credentials.
#[derive(Clone, Default)]
pub(super) struct Peer {
    address: String,
    port: Option<i64>,
    database: i64,
}

impl Peer {
    pub(super) fn of(settings: &StoreSettings) -> Self {
        let Ok(info) = settings.connection_info() else {
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
        f.write_str(&self.address)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
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
