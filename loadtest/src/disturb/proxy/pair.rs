//! One connection through the proxy: two sockets, and a delay line for each direction.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

use socket2::Socket;

use super::Condition;

/// So many bytes are held in one direction; then its reader's pace is its writer's. The kernel's own
/// buffers come on top, as on any connection.
pub(super) const HELD_BYTES: usize = 256 * 1024;
/// Of a link that is throttled, what is passed on at once takes this long to send.
const PIECE: Duration = Duration::from_millis(5);
/// And is no smaller than a packet of a usual network carries.
const SMALLEST_PIECE: usize = 1_460;

/// One direction of a link, which all of its connections share.
#[derive(Default)]
pub(super) struct Wire {
    /// When everything that was sent over it so far has been sent, at the rate that it has.
    free_at: Option<Instant>,
}

/// What a link does to what is sent over it: its condition, and its wires there and back.
pub(super) struct Way<'a> {
    pub(super) condition: Condition,
    pub(super) wires: &'a mut [Wire; 2],
}

/// Two connected sockets.
pub(super) struct Pair {
    /// Index of its link.
    pub(super) link: usize,
    /// The client's socket, then the target's.
    sides: [Side; 2],
    /// From the client to the target, then back.
    lanes: [Lane; 2],
    /// Under which moment the pair is listed among those that have something to pass on.
    pub(super) listed: Option<Instant>,
}

struct Side {
    socket: Socket,
    connecting: bool,
    /// Whether reading, or writing, may do something; what the kernel says only once is kept here.
    readable: bool,
    writable: bool,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Chunk>,
    held: usize,
    last_due: Option<Instant>,
    /// Nothing more comes from the source.
    ended: bool,
    /// The end was passed on.
    done: bool,
}

struct Chunk {
    due: Instant,
    what: What,
}

enum What {
    Bytes { bytes: Vec<u8>, written: usize },
    End,
    Reset,
}

/// What is left of a pair after it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It goes on.
    Open,
    /// Both directions have ended.
    Closed,
    /// It was reset; by the target if so said.
    Reset,
    /// The target refused the connection.
    Refused,
}

impl Pair {
    pub(super) fn new(link: usize, client: Socket, target: Socket) -> Self {
        let side = |socket, connecting| Side {
            socket,
            connecting,
            readable: true,
            writable: !connecting,
        };
        Self {
            link,
            sides: [side(client, false), side(target, true)],
            lanes: Default::default(),
            listed: None,
        }
    }

    /// Notes what the kernel said of a side.
    pub(super) fn ready(&mut self, side: usize, readable: bool, writable: bool) {
        let side = &mut self.sides[side];
        side.readable |= readable;
        side.writable |= writable;
    }

    /// Whether the target has said that it sends no more.
    pub(super) fn target_ended(&self) -> bool {
        self.lanes[1].ended
    }

    /// When something is to be passed on next, apart from what waits for a slow reader.
    pub(super) fn due(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().enumerate();
        lanes
            .filter(|(index, _)| self.sides[1 - index].writable)
            .filter_map(|(_, lane)| lane.queue.front())
            .map(|chunk| chunk.due)
            .min()
    }

    /// Reads what is there and passes on what is due.
    pub(super) fn serve(&mut self, way: &mut Way<'_>, buffer: &mut [u8]) -> Left {
        if self.sides[1].connecting && self.sides[1].writable {
            // Tells why a connection did not come about, once.
            if !matches!(self.sides[1].socket.take_error(), Ok(None)) {
                self.reset();
                return Left::Refused;
            }
            self.sides[1].connecting = false;
        }
        for index in 0..2 {
            self.read(index, way, buffer);
            if !self.write(index, way) {
                self.reset();
                return Left::Reset;
            }
            // What was full may have room again.
            self.read(index, way, buffer);
        }
        if self.lanes.iter().all(|lane| lane.done) {
            return Left::Closed;
        }
        Left::Open
    }

    fn read(&mut self, index: usize, way: &mut Way<'_>, buffer: &mut [u8]) {
        let (side, lane) = (&mut self.sides[index], &mut self.lanes[index]);
        while side.readable && !side.connecting && !lane.ended && lane.held < HELD_BYTES {
            let room = way.piece(buffer.len()).min(HELD_BYTES - lane.held);
            let what = match (&side.socket).read(&mut buffer[..room]) {
                Ok(0) => What::End,
                Ok(length) => What::Bytes {
                    bytes: buffer[..length].to_vec(),
                    written: 0,
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    side.readable = false;
                    continue;
                }
                Err(_) => What::Reset,
            };
            let due = way.arrival(index, what.bytes());
            lane.push(what, due);
        }
    }

    /// Whether the pair goes on.
    fn write(&mut self, index: usize, way: &mut Way<'_>) -> bool {
        let sink = &mut self.sides[1 - index];
        while sink.writable {
            let lane = &mut self.lanes[index];
            let Some(chunk) = lane.queue.front_mut() else {
                break;
            };
            if chunk.due > Instant::now() {
                break;
            }
            match &mut chunk.what {
                What::Reset => return false,
                What::End => {
                    // A peer that has gone entirely is told of by reading from it.
                    let _ = sink.socket.shutdown(Shutdown::Write);
                    lane.done = true;
                    lane.queue.clear();
                }
                What::Bytes { bytes, written } => {
                    match (&sink.socket).write(&bytes[*written..]) {
                        Ok(length) => {
                            *written += length;
                            if *written == bytes.len() {
                                lane.held -= bytes.len();
                                lane.queue.pop_front();
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            sink.writable = false;
                        }
                        Err(_) => {
                            // Nobody reads this any more, and whoever sends it is to hear so.
                            lane.ended = true;
                            lane.queue.clear();
                            let back = &mut self.lanes[1 - index];
                            back.ended = false;
                            back.push(What::Reset, way.arrival(1 - index, 0));
                            return true;
                        }
                    }
                }
            }
        }
        true
    }

    /// Ends both connections so that both peers are told of a reset and not of an end.
    pub(super) fn reset(&mut self) {
        for side in &self.sides {
            // Without it the peer sees an orderly end, which is only a little less true.
            let _ = side.socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl Way<'_> {
    /// When the last of so many bytes that came just now arrives at the other end.
    fn arrival(&mut self, direction: usize, bytes: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.condition.bytes_per_second else {
            return now + self.condition.delay;
        };
        let wire = &mut self.wires[direction];
        let begins = wire.free_at.map_or(now, |free| free.max(now));
        let sent = begins + Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        wire.free_at = Some(sent);
        sent + self.condition.delay
    }

    /// How many of `most` bytes are passed on as one.
    fn piece(&self, most: usize) -> usize {
        self.condition.bytes_per_second.map_or(most, |rate| {
            let piece = (rate.get() as f64 * PIECE.as_secs_f64()) as usize;
            piece.max(SMALLEST_PIECE).min(most)
        })
    }
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            Self::Bytes { bytes, .. } => bytes.len(),
            Self::End | Self::Reset => 0,
        }
    }
}

impl Lane {
    fn push(&mut self, what: What, due: Instant) {
        match &what {
            What::Bytes { bytes, .. } => self.held += bytes.len(),
            What::End | What::Reset => self.ended = true,
        }
        // A delay that was shortened makes nothing overtake.
        let due = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(due);
        self.queue.push_back(Chunk { due, what });
    }
}
