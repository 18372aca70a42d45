//! What tests over real processes share: a [`Cluster`] with verbs for its public API, a [`Service`] of
//! its own, a receiver of exported [`spans`], and [`eventually`] for what takes a moment.

pub mod cluster;
pub mod service;
pub mod spans;

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

pub use cluster::{Answer, Cluster};
pub use service::Service;

/// How long [`eventually`] waits before it calls a condition unmet: long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// There was none within [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask).0
}

/// As [`eventually`], with a patience that is part of the promise, and the time that it took.
///
/// # Panics
///
/// There was no answer within `patience`.
#[track_caller]
pub fn within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return (answer, started.elapsed());
        }
        assert!(
            started.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Path of one of our programs, built into the folder above the one of this test.
///
/// # Panics
///
/// It is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two folders deep")
        .join(name);
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// One of our programs with nothing of this process's environment but PATH.
#[must_use]
pub fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a program that is expected to end by itself.
///
/// # Panics
///
/// It cannot be started, or does not end.
#[track_caller]
#[must_use]
pub fn ends(command: &mut Command) -> Output {
    let mut child = command.spawn().expect("the program starts");
    eventually("the program ends by itself", || {
        child.try_wait().expect("a child can be waited for")
    });
    child.wait_with_output().expect("its output can be read")
}

/// Whether a process of this id runs; a zombie does not.
#[must_use]
pub fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name in parentheses, which may hold anything, comes the state.
    let state = status.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}
