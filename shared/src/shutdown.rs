//! How a process ends: signals, and the deadlines of a drain.
//!
//! On the first SIGTERM or SIGINT the service turns not ready and goes on serving for as long as
//! somebody may believe an old address of it ([`Drain::grace`]); then it finishes what it has begun
//! ([`Drain::timeout`]), flushes, and ends with 0. A signal during the grace ends the grace, and one
//! after it ends the process at once.
//!
//! A stop takes no longer than both deadlines and a second, whatever the rest of the world does.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};
pub use tokio_util::sync::CancellationToken;

/// How long each step of a drain may take.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// From "not ready" to "accepts nothing new": longer than a health check, a name's addresses or
    /// a load balancer's list may be old.
    pub grace: Duration,
    /// From "accepts nothing new" to "cut what is still open".
    pub timeout: Duration,
}

/// Whether a process was told to end, and whether it may still serve. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    /// By its time, or because whoever ends the process does not wait for it.
    grace_over: CancellationToken,
}

impl From<CancellationToken> for Shutdown {
    /// Begins when the token is cancelled; nobody cuts the grace short.
    fn from(begun: CancellationToken) -> Self {
        Self {
            begun,
            grace_over: CancellationToken::new(),
        }
    }
}

impl Shutdown {
    /// Waits until the process is told to end.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits for so long, or until somebody does not want to wait any more.
    pub async fn grace(&self, grace: Duration) {
        drop(tokio::time::timeout(grace, self.grace_over.cancelled()).await);
        self.grace_over.cancel();
    }
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

/// What SIGTERM and SIGINT begin. Must be called within a tokio runtime, and before the service
/// listens: a signal that comes while a handler is being installed ends the process or is lost.
///
/// # Errors
///
/// The operating system refused to install a signal handler.
pub fn on_signal() -> std::io::Result<Shutdown> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let shutdown = Shutdown::default();
    let told = shutdown.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!(
            signal = name,
            "draining; another signal ends the grace, one after it the process"
        );
        told.begun.cancel();
        let mut name = signals.next().await;
        if !told.grace_over.is_cancelled() {
            tracing::warn!(signal = name, "the grace is cut short");
            told.grace_over.cancel();
            name = signals.next().await;
        }
        tracing::warn!(signal = name, "ending without waiting for open requests");
        std::process::exit(1);
    });
    Ok(shutdown)
}

/// What tells a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
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
