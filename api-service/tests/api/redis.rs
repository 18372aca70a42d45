//! The session store in a Redis or a cluster of the test's own.

use std::{sync::Arc, time::Duration};

use shared::session::{SessionStore, StoreSettings};
use testkit::eventually;
pub(crate) use testkit::{redis::Redis, redis_cluster::RedisCluster};

/// Deadline of each call in tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(250);

pub(crate) trait Sessions {
    fn place(&self) -> String;

    fn settings(&self) -> StoreSettings {
        StoreSettings {
            url: self.place().parse().unwrap(),
            tls: None,
            timeout: TIMEOUT,
        }
    }

    /// A store of the test's own, connected.
    async fn store(&self) -> SessionStore {
        let store = SessionStore::open(self.settings());
        eventually(async || store.ping().await.is_ok()).await;
        store
    }
}

impl Sessions for Redis {
    fn place(&self) -> String {
        self.url()
    }
}

impl Sessions for Arc<RedisCluster> {
    fn place(&self) -> String {
        self.url()
    }
}
