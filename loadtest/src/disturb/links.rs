//! The links between the parts of a stack, each through a [`Proxy`] from the start.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::proxy::{Condition, Proxies, Proxy};
use crate::subject::stack::{Detour, Link};

/// Every link of one stack. Dropping it ends the proxies, so it must outlive the stack.
pub struct Links {
    proxies: Proxies,
    made: Mutex<Vec<(Link, Proxy)>>,
}

impl Links {
    /// No links yet: a stack that is started with [`Links::detour`] makes them.
    ///
    /// # Errors
    ///
    /// The operating system refuses what a proxy needs.
    pub fn start() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            proxies: Proxies::start()?,
            made: Mutex::default(),
        }))
    }

    /// For [`StackOptions`](crate::subject::stack::StackOptions): leads every link through a proxy of
    /// its own.
    #[must_use]
    pub fn detour(self: &Arc<Self>) -> Detour {
        let links = Arc::clone(self);
        Arc::new(move |link: &Link, target: SocketAddr| {
            let proxy = links.proxies.link(target)?;
            let address = proxy.address;
            links.made().push((link.clone(), proxy));
            Ok(address)
        })
    }

    /// Puts every link that is `wanted` into a condition; how many those are.
    ///
    /// # Errors
    ///
    /// The proxies have ended.
    pub fn set(&self, wanted: impl Fn(&Link) -> bool, condition: Condition) -> io::Result<usize> {
        let proxies: Vec<Proxy> = self
            .made()
            .iter()
            .filter(|(link, _)| wanted(link))
            .map(|(_, proxy)| proxy.clone())
            .collect();
        for proxy in &proxies {
            proxy.set(condition)?;
        }
        Ok(proxies.len())
    }

    fn made(&self) -> MutexGuard<'_, Vec<(Link, Proxy)>> {
        // A panic elsewhere leaves the list as it was: every change to it is one step.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
