//! A proxy for bytes that can hold them back, throttle, stall, and refuse: what a network does to a
//! connection.
//!
//! Each direction of a connection is a delay line: what arrives is passed on at its arrival plus the
//! delay, in the order of arrival. A link may have a rate, which its connections share: what is sent
//! faster waits until it would have been sent. Both sockets are without Nagle's algorithm, an end and a
//! reset are passed on like data, and a direction holds a bounded number of bytes: a reader that is
//! slow makes the writer wait, as without the proxy. While the target refuses connections the proxy
//! does too, so that a process that is gone looks the same from both sides.
//!
//! What it does not do: the handshake of a connection is not delayed, and what is acknowledged to the
//! sender has only reached the proxy. So neither slow start nor retransmission is in what it shows, and
//! Nagle's algorithm at a sender waits for the proxy's kernel and not for the other end
//! (`scripts/nagle.py` delays packets).
//!
//! One thread serves all links; at no delay a chunk is passed on in the loop that read it. Times are
//! absolute, and what is nearer than a sleeper is woken on time is waited for awake. What the proxy
//! itself adds is measured by [`mod@check`], and taken off by a [`Calibration`].

mod check;
mod link;
mod pair;
mod switchboard;

use std::{
    io,
    net::SocketAddr,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fd::OwnedFd,
};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

pub use check::{Calibration, DelayError, check};
use switchboard::Switchboard;

/// What a link does to what is sent over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Added to each direction.
    pub delay: Duration,
    /// How fast each direction sends; `None`: as fast as it can.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Whether anything passes.
    pub passage: Passage,
}

/// Whether anything passes a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// Everything does.
    #[default]
    Open,
    /// Nothing does, and nobody is told: connections stay, new ones are not answered. What was under
    /// way arrives when the link is open again, as TCP sends again what was lost.
    Stalled,
    /// Connections are reset and new ones refused.
    Refused,
}

/// The thread that serves all links. Dropping it closes every connection.
pub struct Proxies {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One link: an address to connect to in place of its target's.
#[derive(Clone)]
pub struct Proxy {
    /// Where to connect to.
    pub address: SocketAddr,
    index: usize,
    shared: Arc<Shared>,
}

struct Shared {
    commands: Mutex<mpsc::Sender<Command>>,
    wake: OwnedFd,
}

/// What the thread is told. Each is confirmed once it is done.
enum Command {
    Listen(SocketAddr, mpsc::Sender<io::Result<(usize, SocketAddr)>>),
    Set(usize, Condition, mpsc::Sender<()>),
    Stop,
}

impl Proxies {
    /// Starts the thread; there is no link yet.
    ///
    /// # Errors
    ///
    /// The operating system refuses a thread, an epoll or an event descriptor.
    pub fn start() -> io::Result<Self> {
        let (sender, commands) = mpsc::channel();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let board = Switchboard::new(commands, wake.try_clone()?)?;
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || board.run())?;
        Ok(Self {
            shared: Arc::new(Shared {
                commands: Mutex::new(sender),
                wake,
            }),
            thread: Some(thread),
        })
    }

    /// A link to `target`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// No port can be reserved, or the thread has ended.
    pub fn link(&self, target: SocketAddr) -> io::Result<Proxy> {
        let (index, address) = self
            .shared
            .ask(|done| Command::Listen(target, done))
            .unwrap_or_else(|| Err(ended()))?;
        Ok(Proxy {
            address,
            index,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Proxy {
    /// Changes what the link does, at once: when this returns it does.
    ///
    /// # Errors
    ///
    /// The thread has ended.
    pub fn set(&self, condition: Condition) -> io::Result<()> {
        self.shared
            .ask(|done| Command::Set(self.index, condition, done))
            .ok_or_else(ended)
    }
}

impl Shared {
    /// Sends a command and waits for its answer; `None` when nobody is there to give one.
    fn ask<T>(&self, command: impl FnOnce(mpsc::Sender<T>) -> Command) -> Option<T> {
        let (done, answer) = mpsc::channel();
        self.tell(command(done));
        answer.recv().ok()
    }

    fn tell(&self, command: Command) {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is not there any more needs no telling; the answer that is missing says so.
        let _ = commands.send(command);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.shared.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // It has panicked or it has not: either way its links are gone.
            let _ = thread.join();
        }
    }
}

/// A network does not wait for a processor: this thread goes before others. Where that is not allowed
/// (root is, and CAP_SYS_NICE), what waiting adds is in the measured error.
fn go_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
}

fn ended() -> io::Error {
    io::Error::other("the proxy's thread has ended")
}

#[cfg(test)]
mod tests;
