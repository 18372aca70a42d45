//! One arm while it runs: what is due, what waits, which connections are free.

use std::{collections::VecDeque, io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::{
    Arm, Load, Options,
    connection::{Connection, InFlight, Pending, Progress, State},
    outcome::{ArmOutcome, Ended, Outcome},
    request::Request,
    schedule::Schedule,
};
use crate::stats::random::Random;

/// Pause after a connection was refused, so that a server that is gone is not called in a busy loop.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Multiples of it spread evenly modulo 1, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
const READABLE: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);

pub(super) struct RunningArm {
    number: u64,
    address: SocketAddr,
    requests: Vec<Request>,
    next_request: usize,
    trace_ratio: f64,
    random: Random,
    /// `None` in a closed loop.
    schedule: Option<Schedule>,
    /// No request is due from here on.
    end: Duration,
    deadline: Duration,
    /// Due and not sent, oldest first.
    queue: VecDeque<Pending>,
    slots: Vec<Slot>,
    free_slots: Vec<usize>,
    /// Free connections, the one that rested longest first: all of them are used in turn, so that
    /// no thread of the server is left out. May hold slots that were closed since.
    idle: VecDeque<(usize, u32)>,
    /// Requests in flight in the order of their deadlines. May hold some that have ended.
    in_flight: VecDeque<(Duration, usize, u32)>,
    busy: usize,
    open: usize,
    connecting: usize,
    limit: usize,
    reconnect_at: Duration,
    pub(super) outcome: ArmOutcome,
}

/// A place for a connection. The generation tells its users apart, in events that come late too.
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl RunningArm {
    pub(super) fn new(number: u64, arm: &Arm, address: SocketAddr, options: &Options) -> Self {
        let traced = options.trace_ratio > 0.0;
        let (schedule, limit) = match arm.load {
            Load::Open { rate, arrivals } => {
                // Arms that run at the same time must not send at the same moments.
                let seed = options.seed ^ number.wrapping_mul(0xA24B_AED4_963E_E407);
                let shift = (number as f64 * GOLDEN).fract();
                let schedule = Schedule::new(rate, arrivals, seed).later_by(shift);
                (Some(schedule), options.max_connections.max(1))
            }
            Load::Closed { connections } => (None, connections),
        };
        Self {
            number,
            address,
            requests: arm
                .variants
                .iter()
                .map(|variant| Request::new(&arm.url, variant, traced))
                .collect(),
            next_request: 0,
            trace_ratio: options.trace_ratio,
            random: Random::new(!options.seed ^ number),
            schedule,
            end: options.warmup + options.duration,
            deadline: options.deadline,
            queue: VecDeque::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            idle: VecDeque::new(),
            in_flight: VecDeque::new(),
            busy: 0,
            open: 0,
            connecting: 0,
            limit,
            reconnect_at: Duration::ZERO,
            outcome: ArmOutcome::new(&arm.name, options.warmup, options.duration, options.slice),
        }
    }

    /// Opens connections before the schedule begins.
    pub(super) fn open_first(&mut self, epoll: &OwnedFd, wanted: usize) {
        let wanted = if self.schedule.is_some() {
            wanted.min(self.limit)
        } else {
            self.limit
        };
        for _ in self.open..wanted {
            if !self.open_one(epoll) {
                break;
            }
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.connecting > 0
    }

    /// When the next request is due; `None` when no more is.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let due = self.schedule.as_ref()?.peek();
        (due < self.end).then_some(due)
    }

    /// When something is to be done even if no event comes.
    pub(super) fn wake_at(&self, now: Duration) -> Duration {
        let mut wake = self.next_due().unwrap_or(Duration::MAX);
        if let Some(front) = self.queue.front() {
            wake = wake.min(front.due + self.deadline);
        }
        if let Some((deadline, ..)) = self.in_flight.front() {
            wake = wake.min(*deadline);
        }
        let wants_connection = self.open < self.limit
            && (!self.queue.is_empty() || (self.schedule.is_none() && now < self.end));
        if wants_connection && self.reconnect_at > now {
            wake = wake.min(self.reconnect_at);
        }
        wake
    }

    /// No request is in flight or waits, and none will come.
    pub(super) fn is_done(&self, now: Duration) -> bool {
        self.busy == 0
            && self.queue.is_empty()
            && match self.schedule {
                Some(_) => self.next_due().is_none(),
                None => now >= self.end,
            }
    }

    /// Turns to everything that is due, sends what can be sent, gives up what is too late.
    pub(super) fn advance(&mut self, epoll: &OwnedFd, now: Duration) {
        while let Some(due) = self.next_due().filter(|due| *due <= now) {
            self.queue.push_back(Pending { due, taken: now });
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
        }
        self.expire(now);
        self.dispatch(epoll, now);
    }

    fn dispatch(&mut self, epoll: &OwnedFd, now: Duration) {
        if self.schedule.is_none() {
            while now < self.end
                && let Some(slot) = self.take_idle()
            {
                self.send(
                    epoll,
                    slot,
                    Pending {
                        due: now,
                        taken: now,
                    },
                    now,
                );
            }
            if now < self.end && now >= self.reconnect_at {
                self.open_first(epoll, self.limit);
            }
            return;
        }
        while !self.queue.is_empty()
            && let Some(slot) = self.take_idle()
        {
            if let Some(pending) = self.queue.pop_front() {
                self.send(epoll, slot, pending, now);
            }
        }
        if now >= self.reconnect_at {
            while self.connecting < self.queue.len()
                && self.open < self.limit
                && self.open_one(epoll)
            {}
        }
    }

    fn take_idle(&mut self) -> Option<usize> {
        while let Some((index, generation)) = self.idle.pop_front() {
            let slot = &self.slots[index];
            if slot.generation == generation
                && let Some(Connection {
                    state: State::Idle, ..
                }) = slot.connection
            {
                return Some(index);
            }
        }
        None
    }

    fn send(&mut self, epoll: &OwnedFd, index: usize, pending: Pending, now: Duration) {
        let count = self.requests.len();
        let request = &mut self.requests[self.next_request];
        self.next_request = (self.next_request + 1) % count;
        if self.trace_ratio > 0.0 {
            let sampled = self.random.unit() < self.trace_ratio;
            request.begin_trace(&mut self.random, sampled);
        }
        let slot = &mut self.slots[index];
        let Some(connection) = &mut slot.connection else {
            return;
        };
        connection.state = State::Busy(InFlight {
            pending,
            sent: now,
            request_bytes: request.bytes().len() as u64,
            response_bytes: 0,
        });
        self.busy += 1;
        self.in_flight
            .push_back((pending.due + self.deadline, index, slot.generation));
        if connection.send(request.bytes()).is_err() {
            self.close(index, Outcome::Reset, now);
        } else if connection.wants_to_write() {
            let token = token(self.number, index, slot.generation);
            // It fails only if the socket is not registered; then the deadline ends the request.
            let _ = epoll::modify(epoll, &connection.stream, token, READABLE | EventFlags::OUT);
        }
    }

    /// Handles what happened to a connection before the schedule begins.
    pub(super) fn settle(
        &mut self,
        epoll: &OwnedFd,
        (index, generation): (usize, u32),
        flags: EventFlags,
    ) {
        let Some(slot) = self
            .slots
            .get(index)
            .filter(|slot| slot.generation == generation)
        else {
            return;
        };
        match &slot.connection {
            Some(Connection {
                state: State::Connecting,
                ..
            }) if !flags.intersects(EventFlags::ERR | EventFlags::HUP) => {
                self.connected(epoll, index, flags, Duration::ZERO);
            }
            _ => self.close(index, Outcome::Connect, Duration::ZERO),
        }
    }

    /// Handles what happened to the connection in `index`.
    pub(super) fn event(
        &mut self,
        epoll: &OwnedFd,
        (index, generation): (usize, u32),
        flags: EventFlags,
        now: Duration,
        buffer: &mut [u8],
    ) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let (true, Some(connection)) = (slot.generation == generation, &mut slot.connection) else {
            return;
        };
        if matches!(connection.state, State::Connecting) {
            self.connected(epoll, index, flags, now);
        } else {
            if flags.contains(EventFlags::OUT) && connection.wants_to_write() {
                let written = connection.flush();
                self.flushed(epoll, index, written, now);
            }
            if flags.intersects(READABLE | EventFlags::HUP | EventFlags::ERR) {
                self.readable(index, now, buffer);
            }
        }
        self.dispatch(epoll, now);
    }

    fn connected(&mut self, epoll: &OwnedFd, index: usize, flags: EventFlags, now: Duration) {
        let slot = &mut self.slots[index];
        let Some(connection) = &mut slot.connection else {
            return;
        };
        let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP)
            || !matches!(connection.stream.take_error(), Ok(None));
        let token = token(self.number, index, slot.generation);
        if failed || epoll::modify(epoll, &connection.stream, token, READABLE).is_err() {
            self.close(index, Outcome::Connect, now);
            self.refused(now);
            return;
        }
        connection.state = State::Idle;
        self.connecting -= 1;
        self.idle.push_back((index, slot.generation));
    }

    /// A connection was refused. Requests that have no other connection to wait for fail with it.
    fn refused(&mut self, now: Duration) {
        self.reconnect_at = now + RECONNECT_PAUSE;
        if self.schedule.is_none() && now < self.end {
            self.ended(
                Pending {
                    due: now,
                    taken: now,
                },
                None,
                Outcome::Connect,
                now,
            );
        } else if self.open == self.connecting {
            while let Some(pending) = self.queue.pop_front() {
                self.ended(pending, None, Outcome::Connect, now);
            }
        }
    }

    fn flushed(&mut self, epoll: &OwnedFd, index: usize, written: io::Result<()>, now: Duration) {
        if written.is_err() {
            self.close(index, Outcome::Reset, now);
            return;
        }
        let slot = &self.slots[index];
        if let Some(connection) = slot
            .connection
            .as_ref()
            .filter(|open| !open.wants_to_write())
        {
            let token = token(self.number, index, slot.generation);
            let _ = epoll::modify(epoll, &connection.stream, token, READABLE);
        }
    }

    fn readable(&mut self, index: usize, now: Duration, buffer: &mut [u8]) {
        let slot = &mut self.slots[index];
        let Some(connection) = &mut slot.connection else {
            return;
        };
        match connection.receive(buffer) {
            Progress::Waiting => {}
            Progress::Failed(outcome) => self.close(index, outcome, now),
            Progress::Answered(answer) => {
                let outcome = Outcome::Status(answer.status);
                if !answer.reusable || connection.wants_to_write() {
                    self.close(index, outcome, now);
                    return;
                }
                let generation = slot.generation;
                // What comes on an idle connection answers nothing.
                match std::mem::replace(&mut connection.state, State::Idle) {
                    State::Busy(in_flight) => {
                        self.busy -= 1;
                        self.idle.push_back((index, generation));
                        self.ended(in_flight.pending, Some(&in_flight), outcome, now);
                    }
                    State::Idle | State::Connecting => self.close(index, outcome, now),
                }
            }
        }
    }

    /// Closes a connection; a request that was in flight on it ended with `outcome`.
    fn close(&mut self, index: usize, outcome: Outcome, now: Duration) {
        let slot = &mut self.slots[index];
        let Some(connection) = slot.connection.take() else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        self.free_slots.push(index);
        self.open -= 1;
        match connection.state {
            State::Connecting => self.connecting -= 1,
            State::Idle => {}
            State::Busy(in_flight) => {
                self.busy -= 1;
                self.ended(in_flight.pending, Some(&in_flight), outcome, now);
            }
        }
    }

    fn ended(
        &mut self,
        pending: Pending,
        in_flight: Option<&InFlight>,
        outcome: Outcome,
        now: Duration,
    ) {
        self.outcome.record(Ended {
            due: pending.due,
            taken: pending.taken,
            sent: in_flight.map(|request| request.sent),
            at: now,
            outcome,
            request_bytes: in_flight.map_or(0, |request| request.request_bytes),
            response_bytes: in_flight.map_or(0, |request| request.response_bytes),
        });
    }

    /// Gives up what has no answer by its deadline.
    fn expire(&mut self, now: Duration) {
        while let Some(&(deadline, index, generation)) = self.in_flight.front() {
            let live = self.is_busy_since(index, generation, deadline);
            if live && deadline > now {
                break;
            }
            self.in_flight.pop_front();
            if live {
                self.close(index, Outcome::Timeout, now);
            }
        }
        while let Some(pending) = self.queue.front().copied() {
            if pending.due + self.deadline > now {
                break;
            }
            self.queue.pop_front();
            self.ended(pending, None, Outcome::NotSent, now);
        }
    }

    fn is_busy_since(&self, index: usize, generation: u32, deadline: Duration) -> bool {
        let slot = &self.slots[index];
        slot.generation == generation
            && matches!(&slot.connection, Some(Connection { state: State::Busy(in_flight), .. })
                if in_flight.pending.due + self.deadline == deadline)
    }

    /// The run is over: whatever has not ended by now has failed.
    pub(super) fn finish(&mut self, now: Duration) {
        for index in 0..self.slots.len() {
            self.close(index, Outcome::Timeout, now);
        }
        while let Some(pending) = self.queue.pop_front() {
            self.ended(pending, None, Outcome::NotSent, now);
        }
    }

    /// Begins to open a connection; `false` when the system refuses even that.
    fn open_one(&mut self, epoll: &OwnedFd) -> bool {
        self.outcome.connections_opened += 1;
        let index = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        let token = token(self.number, index, slot.generation);
        let opened = Connection::open(self.address).and_then(|connection| {
            epoll::add(epoll, &connection.stream, token, READABLE | EventFlags::OUT)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                slot.connection = Some(connection);
                self.open += 1;
                self.connecting += 1;
                true
            }
            // Out of file descriptors or ports: waiting requests wait on for a free connection.
            Err(_) => {
                self.free_slots.push(index);
                false
            }
        }
    }
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

/// Arm, generation and slot in one epoll token.
fn token(arm: u64, index: usize, generation: u32) -> EventData {
    EventData::new_u64(arm << 56 | u64::from(generation) << 32 | index as u64)
}

/// Arm, slot and generation of a token.
pub(super) fn parse_token(data: EventData) -> (usize, (usize, u32)) {
    let bits = data.u64();
    let generation = (bits >> 32) as u32 & GENERATION_MASK;
    ((bits >> 56) as usize, (bits as u32 as usize, generation))
}
