//! Reading from sockets together with the moment at which the kernel received what is read.

use std::{
    io::{self, IoSliceMut, Read},
    net::TcpStream,
    os::fd::AsRawFd,
    time::{Duration, Instant},
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
    /// Begin of the schedule, from which all moments are counted.
    pub(super) began: Instant,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER_BYTES],
            control: nix::cmsg_space!(nix::sys::time::TimeSpec),
            received: None,
            began: Instant::now(),
        }
    }

    /// When the kernel received the last of the bytes that were read last, and how long ago that is;
    /// `None` where it does not say, or its clock was set in the meantime.
    pub(super) fn received(&self) -> Option<(Duration, Duration)> {
        let received = self.received?;
        // Both clocks at the same moment: whatever lies between them would falsify the result.
        let real = clock_gettime(ClockId::Realtime);
        let now = self.began.elapsed();
        let real = Duration::new(real.tv_sec as u64, real.tv_nsec as u32);
        let age = real.checked_sub(received)?;
        Some((now.checked_sub(age)?, age))
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
