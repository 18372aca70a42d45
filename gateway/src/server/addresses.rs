//! How many connections each address has open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use shared::{network::Network, telemetry::metrics::Metrics};

/// How many connections one address may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerAddress {
    /// As many as there may be: all come from proxies of ours.
    All,
    /// A quarter of those that there may be.
    Quarter,
    /// So many.
    AtMost(usize),
}

impl PerAddress {
    /// The number, where all addresses together have at most so many.
    fn of(self, most: usize) -> usize {
        match self {
            Self::All => most,
            Self::Quarter => most.div_ceil(4),
            Self::AtMost(number) => number.min(most),
        }
    }
}

/// Time between two warnings that an address has too many.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Open connections by where they come from. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    open: Arc<Mutex<HashMap<Network, usize>>>,
    most: usize,
    refused: Counter,
}

/// One open connection among those of its address, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Addresses,
    network: Network,
}

impl Addresses {
    /// So many for each address where all together have at most `most`.
    pub(super) fn new(each: PerAddress, most: usize, metrics: &Metrics) -> Self {
        let refused = Counter::default();
        metrics.register(|registry| {
            registry.register(
                "gateway_client_connections_refused",
                "Connections that were closed at once because their address had as many as it may",
                refused.clone(),
            );
        });
        Self {
            open: Arc::default(),
            most: each.of(most),
            refused,
        }
    }

    /// A place for one more; `None` when the address has as many as it may.
    pub(super) fn enter(&self, network: Network) -> Option<Place> {
        let mut open = self.open();
        let count = open.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            addresses: self.clone(),
            network,
        })
    }

    /// Counts a connection that got no place, and says so from time to time.
    pub(super) fn refused(&self, network: Network, warned: &mut Option<Instant>) {
        self.refused.inc();
        if warned.is_none_or(|last| last.elapsed() > WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            tracing::warn!(
                address = %network,
                most = self.most,
                "an address has as many connections as it may; more of it are closed. If it is a \
                 proxy of yours, set GATEWAY_TRUSTED_HOPS; if many clients share it, set \
                 GATEWAY_MAX_CONNECTIONS_PER_ADDRESS"
            );
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use shared::telemetry::Identity;

    use super::*;

    #[test]
    fn an_address_has_a_share_of_what_there_is_and_never_none() {
        assert_eq!(PerAddress::Quarter.of(8192), 2048);
        assert_eq!(PerAddress::Quarter.of(1), 1);
        assert_eq!(PerAddress::All.of(100), 100);
        assert_eq!(PerAddress::AtMost(7).of(100), 7);
        assert_eq!(PerAddress::AtMost(1_000).of(100), 100);
    }

    #[test]
    fn an_address_has_as_many_places_as_it_may_and_nothing_is_kept_of_it() {
        let metrics = Metrics::new(&Identity {
            service: "gateway".into(),
            version: "0",
            instance: String::new(),
        });
        let addresses = Addresses::new(PerAddress::AtMost(2), 10, &metrics);
        let enter = |text: &str| addresses.enter(text.parse::<IpAddr>().unwrap().into());
        let one = enter("2001:db8::1").unwrap();
        let other = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none(), "the same network");
        let another = enter("192.0.2.1").unwrap();
        drop(one);
        let again = enter("2001:db8::3").unwrap();
        drop((other, another, again));
        assert!(addresses.open().is_empty());
    }
}
