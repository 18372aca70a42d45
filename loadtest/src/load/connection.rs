//! One connection to a server: opened without blocking, one request at a time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    outcome::Outcome,
    response::{Answer, ResponseReader},
};

/// What a connection does.
pub(super) enum State {
    /// When it fails, so many further addresses of the server are tried.
    Opening {
        addresses_left: usize,
    },
    Idle,
    Busy(InFlight),
}

/// A request that was sent and whose answer is not complete.
pub(super) struct InFlight {
    pub(super) pending: Pending,
    pub(super) sent: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

/// A request that was due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Its place in the schedule of the arm, from 0.
    pub(super) number: u64,
    /// When it was meant to be sent.
    pub(super) due: Duration,
    /// When the generator turned to it.
    pub(super) taken: Duration,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    reader: ResponseReader,
    unsent: Vec<u8>,
}

/// What reading brought.
pub(super) enum Progress {
    /// All that had come is read.
    Drained,
    /// More may have come.
    More,
    /// The answer is complete.
    Answered {
        answer: Answer,
        /// All that had come is read.
        drained: bool,
    },
    /// The connection is of no more use.
    Failed(Outcome),
}

impl Connection {
    pub(super) fn open(address: SocketAddr, addresses_left: usize) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            stream: socket.into(),
            state: State::Opening { addresses_left },
            reader: ResponseReader::default(),
            unsent: Vec::new(),
        })
    }

    /// Whether bytes are left that the socket would not take.
    pub(super) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends a request, or as much of it as the socket takes. `head_only` says that the answer has
    /// no body whatever its head promises.
    pub(super) fn send(&mut self, request: &[u8], head_only: bool) -> io::Result<()> {
        self.reader.expect(head_only);
        let taken = match self.stream.write(request) {
            Ok(taken) => taken,
            Err(error) if would_block(&error) => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(&request[taken..]);
        Ok(())
    }

    /// Sends more of what is left.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.wants_to_write() {
            match self.stream.write(&self.unsent) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once. `ending` says that the peer has closed its side, so that even a short read is
    /// followed by more: the end.
    pub(super) fn receive(&mut self, buffer: &mut [u8], ending: bool) -> Progress {
        let count = match self.stream.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Progress::More,
            Err(_) => return Progress::Failed(Outcome::Reset),
        };
        if count == 0 {
            return match self.reader.closed() {
                Some(answer) => Progress::Answered {
                    answer,
                    drained: true,
                },
                None => Progress::Failed(Outcome::Reset),
            };
        }
        let State::Busy(in_flight) = &mut self.state else {
            // What comes on an idle connection answers nothing.
            return Progress::Failed(Outcome::Malformed);
        };
        in_flight.response_bytes += count as u64;
        let drained = count < buffer.len() && !ending;
        match self.reader.feed(&buffer[..count]) {
            Ok(Some(answer)) => Progress::Answered { answer, drained },
            Ok(None) if drained => Progress::Drained,
            Ok(None) => Progress::More,
            Err(_) => Progress::Failed(Outcome::Malformed),
        }
    }
}

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
