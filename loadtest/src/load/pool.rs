//! The connections of one arm: how many are open, and which is used next.
//!
//! A *fixed* pool holds the same number at all times: what is lost is opened again, and the
//! connection that rested longest is used next, so that no thread of the server is left out. A
//! *growing* pool adds a connection for each request that waits, up to a limit; the one that was
//! used last is used next, so that those not needed rest, and are closed when they have rested for
//! [`REST`].

use std::{collections::VecDeque, io, os::fd::OwnedFd, rc::Rc, time::Duration};

use rustix::{
    event::epoll::{self, EventData, EventFlags},
    io::Errno,
};

use super::{
    connection::{Connection, Further, State},
    inbox::Inbox,
    target::Target,
};

/// How long a connection beyond the first ones may rest before it is closed.
const REST: Duration = Duration::from_secs(1);
/// Pause after a connection was refused, so that a server that is gone is not called in a busy loop.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Told once for each change, so that nothing is to be registered anew while a connection lives.
const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
/// The connection, or the peer's side of it, has ended.
pub(super) const ENDING: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);

/// A place for a connection, and its user: events of an earlier user come late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: usize,
    generation: u32,
}

struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

struct Resting {
    place: Place,
    since: Duration,
}

/// What became of a connection that was being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Continues,
    Ready,
    /// At every address.
    Refused,
}

pub(super) struct Pool {
    epoll: Rc<OwnedFd>,
    arm: u64,
    target: Target,
    next_address: usize,
    /// Connections that are always open.
    least: usize,
    /// Connections that may be open; more than `least` in a growing pool.
    most: usize,
    slots: Vec<Slot>,
    free_slots: Vec<usize>,
    /// In the order in which they came to rest. May hold places that were closed since.
    resting: VecDeque<Resting>,
    /// With those that are being opened.
    open: usize,
    opening: usize,
    /// The server refused, and has not accepted since: it is tried with one connection at a time.
    refused: bool,
    reconnect_at: Duration,
    /// Connections that were established.
    pub(super) opened: u64,
    /// Established at the same time, at most.
    pub(super) most_open: u64,
    /// Why a connection could not be established, of the last one.
    pub(super) fault: Option<String>,
    /// Why this machine would not let one be opened, of the last one.
    pub(super) own_fault: Option<String>,
}

impl Pool {
    pub(super) fn new(
        epoll: Rc<OwnedFd>,
        arm: u64,
        target: Target,
        least: usize,
        most: usize,
    ) -> Self {
        Self {
            epoll,
            arm,
            target,
            next_address: 0,
            least,
            most,
            slots: Vec::new(),
            free_slots: Vec::new(),
            resting: VecDeque::new(),
            open: 0,
            opening: 0,
            refused: false,
            reconnect_at: Duration::ZERO,
            opened: 0,
            most_open: 0,
            fault: None,
            own_fault: None,
        }
    }

    fn is_growing(&self) -> bool {
        self.most > self.least
    }

    fn established(&self) -> usize {
        self.open - self.opening
    }

    pub(super) fn is_opening(&self) -> bool {
        self.opening > 0
    }

    /// Whether a request would not have to wait.
    pub(super) fn has_free(&self) -> bool {
        !self.resting.is_empty()
    }

    pub(super) fn has_established(&self) -> bool {
        self.established() > 0
    }

    /// Whether another connection is to be opened when so many requests wait for one.
    fn lacks(&self, waiting: usize) -> bool {
        self.open < self.least || (self.open < self.most && self.opening < waiting)
    }

    /// Opens what is missing when so many requests wait for a connection.
    pub(super) fn fill(&mut self, now: Duration, waiting: usize) {
        if now < self.reconnect_at {
            return;
        }
        while self.lacks(waiting) && !(self.refused && self.opening > 0) {
            let all = Further {
                next: self.next_address,
                left: self.target.addresses.len(),
            };
            self.next_address = self.next_address.wrapping_add(1);
            if !self.open_one(all) {
                // Out of file descriptors or ports: requests wait on for a free connection.
                self.reconnect_at = now + RECONNECT_PAUSE;
                return;
            }
        }
    }

    /// When [`Pool::fill`] or [`Pool::close_rested`] has something to do even if no event comes.
    pub(super) fn wake_at(&self, now: Duration, waiting: usize) -> Duration {
        let mut wake = Duration::MAX;
        if self.reconnect_at > now && self.lacks(waiting) {
            wake = self.reconnect_at;
        }
        if self.is_growing()
            && self.established() > self.least
            && let Some(first) = self.resting.front()
        {
            wake = wake.min(first.since + REST);
        }
        wake
    }

    /// Closes what a growing pool has not needed for long.
    pub(super) fn close_rested(&mut self, now: Duration) {
        if !self.is_growing() {
            return;
        }
        while let Some(first) = self.resting.front() {
            let (place, rested) = (first.place, first.since + REST <= now);
            if self.get(place).is_some() {
                if !rested || self.established() <= self.least {
                    return;
                }
                self.close(place);
            }
            self.resting.pop_front();
        }
    }

    pub(super) fn get(&mut self, place: Place) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(place.index)?;
        (slot.generation == place.generation).then_some(slot.connection.as_mut()?)
    }

    /// A free connection.
    pub(super) fn take(&mut self) -> Option<Place> {
        loop {
            let resting = if self.is_growing() {
                self.resting.pop_back()?
            } else {
                self.resting.pop_front()?
            };
            if self.get(resting.place).is_some() {
                return Some(resting.place);
            }
        }
    }

    /// The connection is free (again).
    pub(super) fn rest(&mut self, place: Place, now: Duration) {
        self.resting.push_back(Resting { place, since: now });
    }

    /// Goes on with opening a connection, after an event.
    pub(super) fn advance(&mut self, place: Place, inbox: &mut Inbox, now: Duration) -> Opening {
        let Some(connection) = self.get(place) else {
            return Opening::Continues;
        };
        let State::Opening(further) = connection.state else {
            return Opening::Continues;
        };
        let error: io::Error = match connection.establish(inbox) {
            Ok(false) => return Opening::Continues,
            Ok(true) => {
                connection.state = State::Idle;
                self.opening -= 1;
                self.opened += 1;
                self.most_open = self.most_open.max(self.established() as u64);
                self.refused = false;
                self.rest(place, now);
                return Opening::Ready;
            }
            Err(error) => error,
        };
        self.fault = Some(error.to_string());
        self.close(place);
        if further.left > 0 && self.open_one(further) {
            return Opening::Continues;
        }
        self.refused = true;
        self.reconnect_at = now + RECONNECT_PAUSE;
        Opening::Refused
    }

    /// Closes a connection and gives what it did.
    pub(super) fn close(&mut self, place: Place) -> Option<State> {
        self.get(place)?;
        let slot = &mut self.slots[place.index];
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        let connection = slot.connection.take()?;
        self.free_slots.push(place.index);
        self.open -= 1;
        if matches!(connection.state, State::Opening(_)) {
            self.opening -= 1;
        }
        Some(connection.state)
    }

    /// Every place that has a connection.
    pub(super) fn places(&self) -> Vec<Place> {
        (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.connection.is_some())
            .map(|(index, slot)| Place {
                index,
                generation: slot.generation,
            })
            .collect()
    }

    /// Begins to open a connection at one of these addresses, at least one; `false` when the system
    /// refuses all at once.
    fn open_one(&mut self, mut further: Further) -> bool {
        let index = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
            });
            self.slots.len() - 1
        });
        let generation = self.slots[index].generation;
        let token = token(self.arm, Place { index, generation });
        loop {
            let addresses = &self.target.addresses;
            let address = addresses[further.next % addresses.len()];
            further.next = further.next.wrapping_add(1);
            further.left -= 1;
            let opened = Connection::open(address, self.target.tls.as_ref(), further).and_then(
                |connection| {
                    epoll::add(&*self.epoll, &connection.stream, token, WATCHED)?;
                    Ok(connection)
                },
            );
            match opened {
                Ok(connection) => {
                    self.slots[index].connection = Some(connection);
                    self.open += 1;
                    self.opening += 1;
                    return true;
                }
                // An address of a network that this machine is not in.
                Err(_) if further.left > 0 => {}
                Err(error) => {
                    self.free_slots.push(index);
                    self.fault = Some(error.to_string());
                    if is_own(&error) {
                        self.own_fault.clone_from(&self.fault);
                    }
                    return false;
                }
            }
        }
    }
}

/// Whether this machine, and not the server or the way to it, refuses: it has no more descriptors,
/// ports or memory.
fn is_own(error: &io::Error) -> bool {
    const OWN: [Errno; 5] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    Errno::from_io_error(error).is_some_and(|errno| OWN.contains(&errno))
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

/// Arm and place in one epoll token.
fn token(arm: u64, place: Place) -> EventData {
    EventData::new_u64(arm << 56 | u64::from(place.generation) << 32 | place.index as u64)
}

/// Arm and place of a token.
pub(super) fn parse_token(data: EventData) -> (usize, Place) {
    let bits = data.u64();
    let place = Place {
        index: bits as u32 as usize,
        generation: (bits >> 32) as u32 & GENERATION_MASK,
    };
    ((bits >> 56) as usize, place)
}
