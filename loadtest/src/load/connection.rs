//! One connection to a server: opened without blocking, one request at a time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    inbox::{Inbox, Stamped, stamp_what_is_received},
    outcome::Outcome,
    response::{Answer, ResponseReader},
    spans::{SpanTarget, TraceIds},
    target::Tls,
};

/// What a connection does.
pub(super) enum State {
    /// What is tried when it fails.
    Opening(Further),
    Idle,
    Busy(InFlight),
}

/// The addresses of a server that a connection has not tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Further {
    /// Number of the next one; after the last the first follows.
    pub(super) next: usize,
    /// How many.
    pub(super) left: usize,
}

/// A request that was sent and whose answer is not complete.
pub(super) struct InFlight {
    pub(super) pending: Pending,
    pub(super) sent: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// Of a request whose trace is kept and told of.
    pub(super) sampled: Option<Box<InTrace>>,
}

/// What a request is in its trace.
pub(super) struct InTrace {
    pub(super) ids: TraceIds,
    pub(super) target: Arc<SpanTarget>,
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
    tls: Option<Box<ClientConnection>>,
    reader: ResponseReader,
    /// What the socket would not take; `tls` keeps its own.
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
    pub(super) fn open(
        address: SocketAddr,
        tls: Option<&Tls>,
        further: Further,
    ) -> io::Result<Self> {
        let tls = tls.map(Tls::begin).transpose()?.map(Box::new);
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        stamp_what_is_received(&socket);
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            stream: socket.into(),
            state: State::Opening(further),
            tls,
            reader: ResponseReader::default(),
            unsent: Vec::new(),
        })
    }

    /// Goes on with opening the connection, after an event; whether it is open now.
    pub(super) fn establish(&mut self, inbox: &mut Inbox) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        loop {
            self.flush()?;
            let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) else {
                return Ok(true);
            };
            match tls.read_tls(&mut Stamped::new(&self.stream, inbox)) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether bytes are left that the socket would not take.
    pub(super) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends a request, or as much of it as the socket takes. `head_only` says that the answer has
    /// no body whatever its head promises.
    pub(super) fn send(&mut self, request: &[u8], head_only: bool) -> io::Result<()> {
        self.reader.expect(head_only);
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(request)?;
            return self.flush();
        }
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
            let written = match &mut self.tls {
                Some(tls) => tls.write_tls(&mut self.stream),
                None => self.stream.write(&self.unsent),
            };
            match written {
                Ok(taken) if self.tls.is_none() => drop(self.unsent.drain(..taken)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once. `ending` says that the peer has closed its side, so that even a short read is
    /// followed by more: the end.
    pub(super) fn receive(&mut self, inbox: &mut Inbox, ending: bool) -> Progress {
        let mut bytes = std::mem::take(&mut inbox.bytes);
        let read = self.read(&mut bytes, inbox);
        let progress = match read {
            Ok(count) => self.feed(&bytes[..count], count < bytes.len() && !ending),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Progress::Drained,
                ErrorKind::Interrupted => Progress::More,
                ErrorKind::InvalidData => Progress::Failed(Outcome::Malformed),
                _ => Progress::Failed(Outcome::Reset),
            },
        };
        inbox.bytes = bytes;
        progress
    }

    fn read(&mut self, bytes: &mut [u8], inbox: &mut Inbox) -> io::Result<usize> {
        let mut stamped = Stamped::new(&self.stream, inbox);
        let Some(tls) = &mut self.tls else {
            return stamped.read(bytes);
        };
        loop {
            match tls.reader().read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            // An end without a farewell cuts off an answer without a length.
            if tls.read_tls(&mut stamped)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
            tls.process_new_packets().map_err(invalid)?;
        }
    }

    fn feed(&mut self, bytes: &[u8], short: bool) -> Progress {
        if bytes.is_empty() {
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
        in_flight.response_bytes += bytes.len() as u64;
        // What is left of a TLS record is not told by the socket.
        let drained = short && self.tls.is_none();
        match self.reader.feed(bytes) {
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
