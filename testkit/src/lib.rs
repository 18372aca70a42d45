//! What the tests of several crates need alike. A dev-dependency only; it knows none of our crates,
//! so that each of them can use it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`certificates`] | an authority, and the certificate that it gave to a server |
//! | [`redis`] | a redis-server of one test, which can be killed, stopped and started again |
//! | [`redis_cluster`] | a Redis cluster of one test, whose nodes can be killed and stopped, and whose slots can be moved |
//! | [`sentinels`] | a primary, replicas and sentinels of one test, each of which can be killed and stopped |
//! | [`signer`] | an issuer's private key, and tokens made with it |
//!
//! [`eventually`] waits on a condition.

pub mod certificates;
pub mod redis;
pub mod redis_cluster;
pub mod sentinels;
pub mod signer;

use std::{
    panic::Location,
    time::{Duration, Instant},
};

/// How long [`eventually`] waits: long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition, looking again every few milliseconds. Must be awaited inside a runtime with
/// time.
///
/// # Panics
///
/// The condition did not hold within [`PATIENCE`]; the text names the caller.
#[track_caller]
pub fn eventually(mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        while !condition().await {
            assert!(
                started.elapsed() < PATIENCE,
                "{caller}: not within {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
