//! A pool and its members: a snapshot of who is in it, how each is, and what each is doing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use shared::{clock::Clock, shutdown::CancellationToken};

use super::{
    counters::Counters,
    health::{Fault, Health, Readiness},
};

/// One upstream: an address in one pool, from when it joined until it left.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Unlike the address never used again, so that connections of a member that left and came
    /// back are not mixed up.
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
    /// Cancelled when the member leaves its pool.
    pub(crate) left: CancellationToken,
    in_flight: AtomicU32,
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            health: Health::default(),
            left: CancellationToken::new(),
            in_flight: AtomicU32::new(0),
        }
    }

    /// Whether it ends or has left its pool, so that a failure is no news.
    fn is_leaving(&self) -> bool {
        self.left.is_cancelled() || self.health.readiness() == Readiness::Ending
    }

    /// Requests sent and not fully answered.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// One request at an upstream; counted until dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Endpoint>);

impl InFlight {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A named set of upstreams that can stand in for each other.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) counters: Counters,
    pub(crate) clock: Clock,
    /// Members and their health are one snapshot: a request sees both as they were at one moment.
    members: ArcSwap<Vec<Arc<Endpoint>>>,
}

impl Pool {
    pub(crate) fn new(name: String, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            name,
            counters: Counters::default(),
            clock,
            members: ArcSwap::default(),
        })
    }

    pub(crate) fn members(&self) -> Guard<Arc<Vec<Arc<Endpoint>>>> {
        self.members.load()
    }

    /// Makes the members be exactly those at `addresses`; returns who joined. Members that stay
    /// keep their health and connections; those that leave finish what they have.
    pub(crate) fn replace(&self, addresses: &[SocketAddr]) -> Vec<Arc<Endpoint>> {
        let before = self.members.load_full();
        let mut after = Vec::with_capacity(addresses.len());
        let mut joined = Vec::new();
        for address in addresses {
            if let Some(member) = before.iter().find(|member| member.address == *address) {
                after.push(Arc::clone(member));
            } else {
                let member = Arc::new(Endpoint::new(*address));
                tracing::info!(pool = self.name, upstream = %address, "an upstream joined");
                joined.push(Arc::clone(&member));
                after.push(member);
            }
        }
        let left: Vec<_> = before
            .iter()
            .filter(|member| !addresses.contains(&member.address))
            .collect();
        if joined.is_empty() && left.is_empty() {
            return joined;
        }
        let changes = (joined.len() + left.len()) as u64;
        self.counters.changes.inc_by(changes);
        self.members.store(Arc::new(after));
        for member in left {
            tracing::info!(pool = self.name, upstream = %member.address, "an upstream left");
            member.left.cancel();
        }
        joined
    }

    /// A request failed in a way that speaks against the upstream. It comes last then, for a time; of
    /// one that was about to leave that is no alarm.
    pub(crate) fn blame(&self, endpoint: &Endpoint, fault: Fault) {
        if let Some(time) = endpoint.health.failed(fault, &self.clock) {
            if endpoint.is_leaving() {
                tracing::info!(pool = self.name, upstream = %endpoint.address, "an upstream has ended");
                return;
            }
            self.counters.ejections.inc();
            tracing::warn!(
                pool = self.name,
                upstream = %endpoint.address,
                milliseconds = time.as_millis(),
                "an upstream is ejected after failed requests"
            );
        }
    }
}
