//! What the tests of connections do to a store, and wait for.

use shared::session::{Creation, SessionId, SessionStore, StoreError};
use testkit::eventually;

use super::record::{NOW, record};

/// Begins a session.
pub(crate) async fn log_in(store: &SessionStore) -> Result<SessionId, StoreError> {
    let id = SessionId::generate("u1");
    let creation = store.create(&id, &record(), NOW, None).await?;
    assert_eq!(creation, Creation::Created);
    Ok(id)
}

/// Waits until a store can be used, and wholly.
pub(crate) async fn works(store: &SessionStore) {
    eventually(async || store.usable().await == Ok(None)).await;
}
