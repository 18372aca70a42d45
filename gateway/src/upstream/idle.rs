//! Idle connections of one thread to one pool, the latest used first.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use super::{connection::Connection, pool::Endpoint};
use crate::deadline::{Ticks, ticks};

/// Connections kept to upstreams.
#[derive(Clone, Copy, Debug)]
pub struct Reuse {
    /// How long an idle one is kept.
    pub idle: Duration,
    /// After what age one is not used again, so that a change of addresses takes effect.
    pub max_age: Duration,
    /// How many idle ones are kept for each upstream and thread.
    pub max_idle: usize,
}

/// Idle connections by upstream.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    ticks: Rc<Ticks>,
    max_idle_ticks: u64,
    max_age_ticks: u64,
    /// The most for one upstream.
    most: usize,
    shelves: RefCell<BTreeMap<u64, Shelf>>,
}

#[derive(Debug)]
struct Shelf {
    endpoint: Arc<Endpoint>,
    #[expect(
        clippy::vec_box,
        reason = "a connection is handed from here to a request and back: a pointer moves, not it"
    )]
    connections: Vec<Box<Connection>>,
}

impl IdleConnections {
    pub(crate) fn new(reuse: Reuse, ticks_of_thread: Rc<Ticks>) -> Self {
        Self {
            ticks: ticks_of_thread,
            max_idle_ticks: ticks(reuse.idle),
            max_age_ticks: ticks(reuse.max_age),
            most: reuse.max_idle,
            shelves: RefCell::default(),
        }
    }

    /// The latest used connection that is not too old.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Box<Connection>> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.get_mut(&endpoint.id)?;
        while let Some(connection) = shelf.connections.pop() {
            if self.may_reuse(&connection) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless it is not fit for one.
    pub(crate) fn put(&self, endpoint: &Arc<Endpoint>, mut connection: Box<Connection>) {
        if !connection.rest(self.ticks.now()) || !self.may_reuse(&connection) {
            return;
        }
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.entry(endpoint.id).or_insert_with(|| Shelf {
            endpoint: Arc::clone(endpoint),
            connections: Vec::new(),
        });
        if shelf.connections.len() < self.most {
            shelf.connections.push(connection);
        }
    }

    /// Drops all connections to an upstream: one of them was found dead, and the others are of the
    /// same process.
    pub(crate) fn forget(&self, endpoint: &Endpoint) {
        if let Some(shelf) = self.shelves.borrow_mut().get_mut(&endpoint.id) {
            shelf.connections.clear();
        }
    }

    /// Drops what was closed, is too old, or belongs to an upstream that left.
    pub(crate) fn sweep(&self) {
        self.shelves.borrow_mut().retain(|_, shelf| {
            shelf
                .connections
                .retain_mut(|connection| self.may_reuse(connection) && connection.settle());
            !shelf.connections.is_empty() && !shelf.endpoint.left.is_cancelled()
        });
    }

    /// Drops all.
    pub(crate) fn clear(&self) {
        self.shelves.borrow_mut().clear();
    }

    fn may_reuse(&self, connection: &Connection) -> bool {
        let now = self.ticks.now();
        now - connection.born < self.max_age_ticks
            && now - connection.idle_since < self.max_idle_ticks
    }
}
