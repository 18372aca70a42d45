//! Follows a name's addresses, so that scaling a pool needs no restart.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use shared::telemetry::outage::Outage;

use super::{
    check::{self, FirstLook, HealthSettings},
    pool::Pool,
};
use crate::tasks::Tasks;

/// All addresses of a name, or why there are none.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves a host name and port.
pub type Resolver = Arc<dyn Fn(String, u16) -> Lookup + Send + Sync>;

/// Who is in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// These addresses.
    Fixed(Vec<SocketAddr>),
    /// All addresses that a name has now.
    Dns {
        /// The name.
        host: String,
        /// The port of each.
        port: u16,
    },
}

/// The longest that one resolution may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the operating system, which in a container asks the container network's name server.
#[must_use]
pub fn system_resolver() -> Resolver {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}

/// Keeps pools' members and their health up to date.
pub(crate) struct Discovery {
    pub(crate) resolver: Resolver,
    pub(crate) refresh: Duration,
    pub(crate) health: HealthSettings,
    pub(crate) client: reqwest::Client,
    pub(crate) tasks: Tasks,
}

impl Discovery {
    /// Fills the pool and keeps it up to date until the gateway ends. Every copy of `first` is
    /// dropped once the pool's name was looked up and each of the members was asked how it is.
    pub(crate) fn start(self: &Arc<Self>, pool: Arc<Pool>, members: Members, first: FirstLook) {
        match members {
            Members::Fixed(addresses) => self.admit(&pool, &addresses, Some(first)),
            Members::Dns { host, port } => {
                let follow = Arc::clone(self).follow(pool, host, port, first);
                self.tasks.spawn(follow);
            }
        }
    }

    async fn follow(self: Arc<Self>, pool: Arc<Pool>, host: String, port: u16, first: FirstLook) {
        let mut first = Some(first);
        let observer = Outage::of(format!("the name {host} of the pool {}", pool.name)).observer();
        let mut interval = tokio::time::interval(self.refresh);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            match self.lookup(&host, port).await {
                Ok(addresses) => {
                    observer.recovered();
                    self.admit(&pool, &addresses, first.take());
                }
                // Names come and go with their containers and name servers restart: the last
                // addresses are a better guess than none.
                Err(error) => observer.failed(&error),
            }
            first = None;
        }
    }

    /// All addresses in order, each once; none is an error.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let lookup = (self.resolver)(host.to_owned(), port);
        let mut addresses = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await??;
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(io::Error::other("the name has no address"));
        }
        Ok(addresses)
    }

    fn admit(&self, pool: &Arc<Pool>, addresses: &[SocketAddr], first: Option<FirstLook>) {
        for joined in pool.replace(addresses) {
            let (health, client) = (self.health.clone(), self.client.clone());
            let watch = check::watch(Arc::clone(pool), joined, health, client, first.clone());
            self.tasks.spawn(watch);
        }
    }
}
