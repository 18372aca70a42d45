//! Signals turned into one token, and the deadlines of a drain.
//!
//! The first SIGTERM or SIGINT cancels the token: the service turns not ready, waits for its callers
//! to notice ([`Drain::grace`]), finishes what it has begun ([`Drain::timeout`]), flushes, and ends
//! with 0. A second signal ends the process at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// How long each step of a drain may take.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// From "not ready" to "accepts nothing new": long enough for every health check to see it.
    pub grace: Duration,
    /// From "accepts nothing new" to "cut what is still open".
    pub timeout: Duration,
}

/// A token that the first SIGTERM or SIGINT cancels. Must be called within a tokio runtime.
///
/// # Errors
///
/// The operating system refused to install a signal handler.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "draining; a second signal ends at once");
        cancelled.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: ending without waiting for open requests");
        std::process::exit(1);
    });
    Ok(token)
}
