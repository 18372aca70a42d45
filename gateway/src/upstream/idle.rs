//! Idle connections of one thread, the latest used first.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use super::{Endpoint, link::Link};
use crate::server::worker::Worker;

/// Idle connections by upstream.
#[derive(Debug, Default)]
pub(crate) struct IdleLinks(RefCell<BTreeMap<u64, Shelf>>);

#[derive(Debug)]
struct Shelf {
    endpoint: Arc<Endpoint>,
    #[expect(
        clippy::vec_box,
        reason = "a connection is handed from here to a request and back: a pointer moves, not it"
    )]
    links: Vec<Box<Link>>,
}

impl IdleLinks {
    /// The latest used connection that is not too old.
    pub(crate) fn take(&self, endpoint: &Endpoint, worker: &Worker) -> Option<Box<Link>> {
        let mut shelves = self.0.borrow_mut();
        let shelf = shelves.get_mut(&endpoint.id)?;
        while let Some(link) = shelf.links.pop() {
            if worker.may_reuse(&link) {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless it is not fit for one.
    pub(crate) fn put(&self, endpoint: &Arc<Endpoint>, mut link: Box<Link>, worker: &Worker) {
        if !link.rest(worker.now()) || !worker.may_reuse(&link) {
            return;
        }
        let mut shelves = self.0.borrow_mut();
        let shelf = shelves.entry(endpoint.id).or_insert_with(|| Shelf {
            endpoint: Arc::clone(endpoint),
            links: Vec::new(),
        });
        if shelf.links.len() < worker.max_idle() {
            shelf.links.push(link);
        }
    }

    /// Drops all connections to an upstream: one of them was found dead, and the others are of the
    /// same process.
    pub(crate) fn forget(&self, endpoint: &Endpoint) {
        if let Some(shelf) = self.0.borrow_mut().get_mut(&endpoint.id) {
            shelf.links.clear();
        }
    }

    /// Drops what was closed, is too old, or belongs to an upstream that left.
    pub(crate) fn sweep(&self, worker: &Worker) {
        self.0.borrow_mut().retain(|_, shelf| {
            shelf
                .links
                .retain_mut(|link| worker.may_reuse(link) && link.settle());
            !shelf.links.is_empty() && !shelf.endpoint.left.is_cancelled()
        });
    }

    /// Drops all.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
