//! Signals turned into one token, and the deadlines of a drain.
//!
//! The first SIGTERM or SIGINT cancels the token: the service turns not ready, waits for its callers
//! to notice ([`Drain::grace`]), finishes what it has begun ([`Drain::timeout`]), flushes, and ends
//! with 0. A second signal ends the process at once.
//!
//! A stop takes no longer than both deadlines and a second, whatever the rest of the world does.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
pub use tokio_util::sync::CancellationToken;

/// How long each step of a drain may take.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// From "not ready" to "accepts nothing new": long enough for every health check to see it.
    pub grace: Duration,
    /// From "accepts nothing new" to "cut what is still open".
    pub timeout: Duration,
}

/// Runs the `main` of a service on a runtime of its own, and ends without waiting for what blocks a
/// thread: a name server that does not answer would hold up the end for half a minute.
pub fn run(mut runtime: Builder, main: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(main);
    runtime.shutdown_background();
    code
}

/// A token that the first SIGTERM or SIGINT cancels. Must be called within a tokio runtime, and before
/// the service listens: a signal that comes while a handler is being installed ends the process or is
/// lost.
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_end_waits_for_no_thread_that_blocks() {
        let started = Instant::now();
        let code = run(Builder::new_current_thread(), async {
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(30)));
            ExitCode::SUCCESS
        });
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
