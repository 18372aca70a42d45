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
    Connecting,
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
    Waiting,
    Answered(Answer),
    Failed(Outcome),
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
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
            state: State::Connecting,
            reader: ResponseReader::default(),
            unsent: Vec::new(),
        })
    }

    /// Whether bytes are left that the socket would not take.
    pub(super) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends a request, or as much of it as the socket takes.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<()> {
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
        match self.stream.write(&self.unsent) {
            Ok(taken) => {
                self.unsent.drain(..taken);
                Ok(())
            }
            Err(error) if would_block(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads once; what is left makes the socket readable again.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Progress {
        let count = match self.stream.read(buffer) {
            Ok(count) => count,
            Err(error) if would_block(&error) => return Progress::Waiting,
            Err(_) => return Progress::Failed(Outcome::Reset),
        };
        if count == 0 {
            return match self.reader.closed() {
                Some(answer) => Progress::Answered(answer),
                None => Progress::Failed(Outcome::Reset),
            };
        }
        if let State::Busy(in_flight) = &mut self.state {
            in_flight.response_bytes += count as u64;
        }
        match self.reader.feed(&buffer[..count]) {
            Ok(None) => Progress::Waiting,
            Ok(Some(answer)) => Progress::Answered(answer),
            Err(_) => Progress::Failed(Outcome::Malformed),
        }
    }
}

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
