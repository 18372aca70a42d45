//! Reading from sockets together with the moment at which the kernel received what is read.

use std::{
    io::{self, IoSliceMut, Read},
    net::TcpStream,
    os::fd::AsRawFd,
    time::Duration,
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use rustix::time::{ClockId, clock_gettime};
use socket2::Socket;

const BUFFER_BYTES: usize = 64 * 1024;

/// Where bytes are read to; one for all connections of a thread.
pub(super) struct Inbox {
    pub(super) bytes: Vec<u8>,
    control: Vec<u8>,
    /// When the kernel received the last of the bytes that were read last, by the system's clock.
    received: Option<Duration>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER_BYTES],
            control: nix::cmsg_space!(nix::sys::time::TimeSpec),
            received: None,
        }
    }

    /// How long ago the kernel received the last of the bytes that were read last; `None` where it
    /// does not say, or its clock was set in the meantime.
    pub(super) fn age(&self) -> Option<Duration> {
        let now = clock_gettime(ClockId::Realtime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32).checked_sub(self.received?)
    }
}

/// Asks the kernel to tell when it received what is read. Where it does not, nothing is lost but
/// that.
pub(super) fn stamp_what_is_received(socket: &Socket) {
    let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
}

/// A socket whose reads note the kernel's time stamp.
pub(super) struct Stamped<'a> {
    stream: &'a TcpStream,
    control: &'a mut Vec<u8>,
    received: &'a mut Option<Duration>,
}

impl<'a> Stamped<'a> {
    pub(super) fn new(stream: &'a TcpStream, inbox: &'a mut Inbox) -> Self {
        Self {
            stream,
            control: &mut inbox.control,
            received: &mut inbox.received,
        }
    }
}

impl Read for Stamped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffers = [IoSliceMut::new(buffer)];
        let fd = self.stream.as_raw_fd();
        let control = Some(&mut self.control[..]);
        let message = recvmsg::<()>(fd, &mut buffers, control, MsgFlags::empty())?;
        // The end of the stream has no time stamp: the last bytes before it keep theirs.
        if message.bytes > 0 {
            *self.received = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                _ => None,
            });
        }
        Ok(message.bytes)
    }
}
