//! One arm while it runs: what is due, what waits, what is in flight.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::epoll::EventFlags;

use super::{
    Arm, Load, Options,
    connection::{InFlight, InTrace, Pending, Progress, State},
    inbox::Inbox,
    outcome::{ArmOutcome, Ended, Outcome},
    pool::{ENDING, Opening, Place, Pool},
    request::Requests,
    schedule::{Schedule, Share},
    spans::{Sampled, SpanSink},
    target::Target,
};
use crate::stats::random::Random;

/// Multiples of it spread evenly modulo 1, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Multiples of it are far apart, and not steps of the random generator.
const ODD: u64 = 0xA24B_AED4_963E_E407;

pub(super) struct RunningArm {
    requests: Requests,
    trace_ratio: f64,
    trace_seed: u64,
    trace_run: u64,
    spans: Option<SpanSink>,
    /// Moment 0 of the schedule.
    began: Instant,
    /// `None` in a closed loop.
    schedule: Option<Schedule>,
    /// Which requests of the schedule are this thread's.
    share: Share,
    /// Number of the next request.
    number: u64,
    /// No request is due from here on.
    end: Duration,
    deadline: Duration,
    /// Due and not sent, oldest first.
    queue: VecDeque<Pending>,
    pool: Pool,
    /// Requests in flight in the order of their deadlines. May hold some that have ended.
    in_flight: VecDeque<(Duration, Place)>,
    busy: usize,
    /// The kernel tells when it received what is read.
    stamped: bool,
    outcome: ArmOutcome,
}

impl RunningArm {
    pub(super) fn new(
        number: u64,
        arm: &Arm,
        target: &Target,
        options: &Options,
        share: Share,
        epoll: Rc<OwnedFd>,
    ) -> Self {
        let traced = options.trace_ratio > 0.0;
        let (schedule, least, most) = match arm.load {
            Load::Open { rate, arrivals } => {
                // Arms that run at the same time must not send at the same moments.
                let seed = options.seed ^ number.wrapping_mul(ODD);
                let shift = (number as f64 * GOLDEN).fract();
                let mut schedule = Schedule::new(rate, arrivals, seed).later_by(shift);
                schedule.advance_by(share.index);
                let most = options.max_connections.unwrap_or(options.connections);
                (Some(schedule), options.connections, most)
            }
            Load::Closed { connections } => (None, connections, connections),
        };
        Self {
            requests: Requests::new(&arm.url, &arm.variants, traced),
            trace_ratio: options.trace_ratio,
            trace_seed: !options.seed ^ number,
            trace_run: options.trace_run,
            spans: options.spans.clone(),
            began: Instant::now(),
            schedule,
            share,
            number: share.index,
            end: options.warmup + options.duration,
            deadline: options.deadline,
            queue: VecDeque::new(),
            pool: Pool::new(
                epoll,
                number,
                target.clone(),
                share.part_of(least),
                share.part_of(most),
            ),
            in_flight: VecDeque::new(),
            busy: 0,
            stamped: false,
            outcome: ArmOutcome::new(&arm.name, options.warmup, options.duration, options.slice),
        }
    }

    /// The schedule begins.
    pub(super) fn begin(&mut self, at: Instant) {
        self.began = at;
    }

    /// Opens connections before the schedule begins.
    pub(super) fn open_first(&mut self) {
        self.pool.fill(Duration::ZERO, 0);
    }

    pub(super) fn is_opening(&self) -> bool {
        self.pool.is_opening()
    }

    /// Handles what happened to a connection before the schedule begins.
    pub(super) fn settle(&mut self, place: Place, flags: EventFlags, inbox: &mut Inbox) {
        match self.pool.get(place).map(|connection| &connection.state) {
            Some(State::Opening { .. }) => {
                self.pool.advance(place, inbox, Duration::ZERO);
            }
            Some(_) if flags.intersects(ENDING) => {
                self.pool.close(place);
            }
            _ => {}
        }
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
        if let Some((deadline, _)) = self.in_flight.front() {
            wake = wake.min(*deadline);
        }
        wake.min(self.pool.wake_at(now, self.queue.len()))
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

    /// Whether nothing is lost when answers are left in the kernel for a moment: it says when they
    /// came, and no request waits for a connection.
    pub(super) fn can_leave_answers(&self) -> bool {
        self.schedule.is_some()
            && self.stamped
            && self.queue.is_empty()
            && self.pool.has_free()
            && !self.pool.is_opening()
    }

    /// Turns to everything that is due, and sends what can be sent.
    pub(super) fn send_due(&mut self, now: Duration) {
        while let Some(due) = self.next_due().filter(|due| *due <= now) {
            let number = self.next_number();
            self.queue.push_back(Pending {
                number,
                due,
                taken: now,
            });
            if let Some(schedule) = &mut self.schedule {
                schedule.advance_by(self.share.of);
            }
        }
        self.dispatch(now);
    }

    /// Gives up what is too late, and closes what is not needed.
    pub(super) fn tidy(&mut self, now: Duration) {
        self.expire(now);
        self.pool.close_rested(now);
    }

    fn next_number(&mut self) -> u64 {
        let number = self.number;
        self.number += self.share.of;
        number
    }

    fn dispatch(&mut self, now: Duration) {
        if self.schedule.is_none() {
            while now < self.end
                && let Some(place) = self.pool.take()
            {
                let number = self.next_number();
                let (due, taken) = (now, now);
                self.send(place, Pending { number, due, taken }, now);
            }
        }
        while !self.queue.is_empty()
            && let Some(place) = self.pool.take()
        {
            if let Some(pending) = self.queue.pop_front() {
                self.send(place, pending, now);
            }
        }
        if now < self.end || !self.queue.is_empty() {
            self.pool.fill(now, self.queue.len());
        }
    }

    fn send(&mut self, place: Place, pending: Pending, now: Duration) {
        let Some(connection) = self.pool.get(place) else {
            return;
        };
        let request = self.requests.numbered(pending.number);
        let mut sampled = None;
        if self.trace_ratio > 0.0 {
            // Each request has a stream of its own, whichever thread sends it.
            let own = pending.number.wrapping_mul(ODD);
            let mut random = Random::new(self.trace_seed ^ own);
            let is_kept = random.unit() < self.trace_ratio;
            let ids = request.begin_trace(&mut random, self.trace_run, is_kept);
            let ids = ids.filter(|_| is_kept && self.spans.is_some());
            sampled = ids.map(|ids| {
                let target = Arc::clone(request.target());
                Box::new(InTrace { ids, target })
            });
        }
        connection.state = State::Busy(InFlight {
            pending,
            sent: now,
            request_bytes: request.bytes().len() as u64,
            response_bytes: 0,
            sampled,
        });
        self.busy += 1;
        self.in_flight
            .push_back((pending.due + self.deadline, place));
        if connection.send(request.bytes(), request.is_head()).is_err() {
            self.close(place, Outcome::Reset, now);
        }
    }

    /// Handles what happened to a connection.
    pub(super) fn event(
        &mut self,
        place: Place,
        flags: EventFlags,
        now: Duration,
        inbox: &mut Inbox,
    ) {
        match self.pool.get(place).map(|connection| &connection.state) {
            None => return,
            Some(State::Opening { .. }) => {
                if self.pool.advance(place, inbox, now) == Opening::Refused {
                    self.refused(now);
                }
            }
            Some(_) => self.transfer(place, flags, now, inbox),
        }
        self.dispatch(now);
    }

    /// Connections were refused. Requests that have no other connection to wait for fail with them.
    fn refused(&mut self, now: Duration) {
        if self.schedule.is_none() && now < self.end {
            let number = self.next_number();
            let (due, taken) = (now, now);
            self.ended(Pending { number, due, taken }, None, Outcome::Connect, now);
        } else if !self.pool.has_established() {
            while let Some(pending) = self.queue.pop_front() {
                self.ended(pending, None, Outcome::Connect, now);
            }
        }
    }

    /// Writes what is left to write and reads all that has come: there is one event for it.
    fn transfer(&mut self, place: Place, flags: EventFlags, now: Duration, inbox: &mut Inbox) {
        let ending = flags.intersects(ENDING);
        if flags.contains(EventFlags::OUT)
            && let Some(connection) = self.pool.get(place)
            && connection.flush().is_err()
        {
            self.close(place, Outcome::Reset, now);
            return;
        }
        if !ending && !flags.contains(EventFlags::IN) {
            return;
        }
        while let Some(connection) = self.pool.get(place) {
            match connection.receive(inbox, ending) {
                Progress::Drained => return,
                Progress::More => {}
                Progress::Failed(outcome) => self.close(place, outcome, now),
                Progress::Answered { answer, drained } => {
                    let outcome = Outcome::Status(answer.status);
                    let at = self.received(place, now, inbox);
                    let Some(connection) = self.pool.get(place) else {
                        return;
                    };
                    // An answer before the request was sent in full: the rest would be taken for
                    // the next one.
                    if !answer.reusable || connection.wants_to_write() {
                        self.close(place, outcome, at);
                    } else if let State::Busy(in_flight) =
                        std::mem::replace(&mut connection.state, State::Idle)
                    {
                        self.busy -= 1;
                        self.pool.rest(place, now);
                        self.ended(in_flight.pending, Some(&in_flight), outcome, at);
                        if drained {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// When the kernel received the end of the answer on a connection, as far as it says so. Our
    /// reading may be later, which is noted.
    fn received(&mut self, place: Place, now: Duration, inbox: &Inbox) -> Duration {
        let state = self.pool.get(place).map(|connection| &connection.state);
        let Some(State::Busy(in_flight)) = state else {
            return now;
        };
        // Not before it was asked for: then a clock was set in between.
        let received = inbox.received().filter(|(at, _)| *at >= in_flight.sent);
        self.stamped = received.is_some();
        let Some((at, age)) = received else {
            return now;
        };
        self.outcome.receive_lateness.record(age);
        at
    }

    /// Closes a connection; a request that was in flight on it ended with `outcome`.
    fn close(&mut self, place: Place, outcome: Outcome, now: Duration) {
        if let Some(State::Busy(in_flight)) = self.pool.close(place) {
            self.busy -= 1;
            self.ended(in_flight.pending, Some(&in_flight), outcome, now);
        }
    }

    fn ended(
        &mut self,
        pending: Pending,
        in_flight: Option<&InFlight>,
        outcome: Outcome,
        now: Duration,
    ) {
        if let Some(request) = in_flight
            && let (Some(sampled), Some(spans)) = (&request.sampled, &self.spans)
        {
            spans.send(Sampled {
                ids: sampled.ids,
                target: Arc::clone(&sampled.target),
                due: self.began + pending.due,
                sent: self.began + request.sent,
                ended: self.began + now,
                outcome,
            });
        }
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
        while let Some(&(deadline, place)) = self.in_flight.front() {
            let live = self.is_busy_since(place, deadline);
            if live && deadline > now {
                break;
            }
            self.in_flight.pop_front();
            if live {
                self.close(place, Outcome::Timeout, now);
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

    fn is_busy_since(&mut self, place: Place, deadline: Duration) -> bool {
        let state = self.pool.get(place).map(|connection| &connection.state);
        matches!(state, Some(State::Busy(in_flight))
            if in_flight.pending.due + self.deadline == deadline)
    }

    /// The run is over: whatever has not ended by now has failed.
    pub(super) fn finish(mut self, now: Duration) -> ArmOutcome {
        for place in self.pool.places() {
            self.close(place, Outcome::Timeout, now);
        }
        while let Some(pending) = self.queue.pop_front() {
            self.ended(pending, None, Outcome::NotSent, now);
        }
        self.outcome.connections_opened = self.pool.opened;
        self.outcome.connections_open = self.pool.most_open;
        self.outcome.connect_fault = self.pool.fault;
        self.outcome.own_connect_fault = self.pool.own_fault;
        self.outcome
    }
}
