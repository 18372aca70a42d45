//! Ctrl-C, SIGTERM, and SIGHUP of a terminal that is closed: the first ends a job in order, the
//! second at once.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::console::tell;

/// Exit code after an interrupt: 128 + SIGINT, as shells count.
const EXIT_INTERRUPTED: u8 = 130;

/// A token that the first signal cancels. Children of this process end with it even when the second
/// signal leaves no time to end them.
///
/// # Errors
///
/// The signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancel = token.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                for second in [false, true] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                    }
                    if second {
                        std::process::exit(i32::from(EXIT_INTERRUPTED));
                    }
                    tell("interrupted: ending");
                    cancel.cancel();
                }
            });
        })?;
    Ok(token)
}

/// The exit code of a job that a signal ended.
#[must_use]
pub fn exit_code() -> ExitCode {
    ExitCode::from(EXIT_INTERRUPTED)
}
