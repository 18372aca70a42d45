//! The thread that starts the children, so that they end when this process does.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::mpsc,
};

use rustix::process::Signal;

/// Starts processes from a thread of its own.
///
/// The signal that Linux sends at a parent's death is sent when the *thread* ends that started the
/// child, so children are not started from threads that come and go.
pub(super) struct Spawner(mpsc::Sender<Order>);

struct Order {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. It ends when the spawner is dropped, and with it the children.
    pub(super) fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for Order { mut command, reply } in inbox {
                    // Nobody waits for the answer only when the caller panicked.
                    let _ = reply.send(command.spawn());
                }
            })?;
        Ok(Self(orders))
    }

    /// Starts a process in a group of its own, out of reach of the terminal's Ctrl-C, that is sent
    /// `at_end` when this process ends.
    pub(super) fn spawn(&self, mut command: Command, at_end: Signal) -> io::Result<Child> {
        command.process_group(0);
        die_with_parent(&mut command, at_end);
        let (reply, answer) = mpsc::channel();
        let gone = || io::Error::other("the spawner thread has ended");
        self.0.send(Order { command, reply }).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the standard library offers no safe way to set a process attribute between fork and exec"
)]
fn die_with_parent(command: &mut Command, at_end: Signal) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    // SAFETY: the closure runs in the child between fork and exec and makes only system calls; it
    // neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(at_end))?;
            // The parent may have ended before the signal was asked for.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(
                    rustix::io::Errno::SRCH.raw_os_error(),
                ));
            }
            Ok(())
        });
    }
}

/// Elsewhere a killed load test leaves its children behind; a stopped one does not.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command, _: Signal) {}
