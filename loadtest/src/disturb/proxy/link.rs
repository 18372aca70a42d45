//! A link: where it listens, where it leads to, and what it does to what is sent over it.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::event::epoll::{self, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

use super::{
    Condition, Passage,
    pair::{Way, Wire},
};
use crate::subject::stack::Reservation;

/// How often a target that refuses is tried again.
const PROBE: Duration = Duration::from_millis(5);
/// A target on this machine answers a handshake at once, or its queue is full.
const PROBE_PATIENCE: Duration = Duration::from_millis(10);
const BACKLOG: i32 = 1_024;

pub(super) struct Link {
    port: Reservation,
    pub(super) target: SocketAddr,
    condition: Condition,
    wires: [Wire; 2],
    /// Closed while the target refuses, or this link does.
    pub(super) listener: Option<Socket>,
    /// When the target is tried next, to see whether it listens.
    pub(super) probe_at: Option<Instant>,
}

impl Link {
    /// A link to `target` at a port of its own. It does not listen yet.
    pub(super) fn to(target: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            port: Reservation::loopback()?,
            target,
            condition: Condition::default(),
            wires: Default::default(),
            listener: None,
            probe_at: None,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address
    }

    pub(super) fn passage(&self) -> Passage {
        self.condition.passage
    }

    pub(super) fn way(&mut self) -> Way<'_> {
        Way {
            condition: self.condition,
            wires: &mut self.wires,
        }
    }

    /// Whoever has connected meets it from now on.
    pub(super) fn set(&mut self, condition: Condition) {
        self.condition = condition;
        if condition.passage == Passage::Refused {
            self.listener = None;
            self.probe_at = None;
        }
        if condition.bytes_per_second.is_none() {
            // What was sent too fast for a rate that no longer holds makes nobody wait.
            self.wires = Default::default();
        }
    }

    /// Listens if the target does, and does not if it does not.
    pub(super) fn look_at_target(&mut self, epoll: &OwnedFd, token: EventData) {
        self.probe_at = None;
        if self.condition.passage == Passage::Refused {
            return;
        }
        match TcpStream::connect_timeout(&self.target, PROBE_PATIENCE) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.listener = None;
                self.probe_at = Some(Instant::now() + PROBE);
            }
            // A target that is too busy to answer is there.
            _ if self.listener.is_some() => {}
            _ => match self.listen(epoll, token) {
                Ok(listener) => self.listener = Some(listener),
                Err(_) => self.probe_at = Some(Instant::now() + PROBE),
            },
        }
    }

    fn listen(&self, epoll: &OwnedFd, token: EventData) -> io::Result<Socket> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
        listener.set_reuse_address(true)?;
        listener.bind(&self.port.address.into())?;
        listener.listen(BACKLOG)?;
        epoll::add(epoll, &listener, token, EventFlags::IN | EventFlags::ET)?;
        Ok(listener)
    }
}
