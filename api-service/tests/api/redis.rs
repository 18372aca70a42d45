//! The session store in a Redis of the test's own.

use std::time::Duration;

use shared::session::{SessionStore, StoreSettings};
use testkit::eventually;
pub(crate) use testkit::redis::Redis;

/// Deadline of each call in tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(250);

pub(crate) trait Sessions {
    fn settings(&self) -> StoreSettings;

    /// A store of the test's own, connected.
    async fn store(&self) -> SessionStore;
}

impl Sessions for Redis {
    fn settings(&self) -> StoreSettings {
        StoreSettings {
            url: self.url().parse().unwrap(),
            tls: None,
            timeout: TIMEOUT,
        }
    }

    async fn store(&self) -> SessionStore {
        let store = SessionStore::open(self.settings());
        eventually(async || store.ping().await.is_ok()).await;
        store
    }
}
