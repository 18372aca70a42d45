//! Waits for the reason why a store is down.

use shared::session::{SessionStore, StoreError};
use testkit::eventually;

/// Waits until a store cannot be used at all, and says why with these words.
#[track_caller]
pub(crate) fn says(store: &SessionStore, words: &str, lasting: bool) -> impl Future<Output = ()> {
    let (store, words) = (store.clone(), words.to_owned());
    eventually(async move || match store.usable().await {
        Err(StoreError::Down(fault)) => {
            fault.to_string().contains(&words) && fault.is_lasting() == lasting
        }
        _ => false,
    })
}
