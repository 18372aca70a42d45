//! Time on the data path: a clock for each thread that moves in ticks, and what a client's
//! connection is waiting for, until when.
//!
//! One timer serves all connections of a thread, so that a request sets none. A deadline is met
//! late by up to a tick, never early.

mod ticks;

use std::{
    cell::{Cell, RefCell},
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use self::ticks::TICK_MS;
pub(crate) use self::ticks::{TICK, Ticks, ticks};
use crate::memory::{Level, Memory};

/// How long a client that still sends is listened to after it was answered.
const LINGER: Duration = Duration::from_secs(2);

/// How long a drain waits for the request of a connection that was just opened: its client cannot
/// know of the drain, and may have sent it already.
const NEWCOMER: Duration = Duration::from_secs(1);

/// How long a body may stand still when memory is short.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// As much of a body passes even when memory is short: it is in buffers that are there anyway.
pub(crate) const SMALL_BYTES: usize = 4 * 1024;

/// Deadlines of the data path.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For connecting to an upstream.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub response: Duration,
    /// For a body that stands still.
    pub body: Duration,
    /// Bytes a second that a client must send of a request's body, or take of an answer, beyond that
    /// time.
    pub body_rate: NonZeroUsize,
    /// For a client to send a head.
    pub header: Duration,
    /// For a client's idle connection.
    pub keep_alive: Duration,
}

/// How long an answer is waited for.
pub(crate) trait Deadline {
    /// Another upstream, or the first, gets its time to answer.
    fn attempt_began(&self);
    /// Whether the deadline has passed.
    fn is_late(&self) -> bool;
    /// State of the request's body.
    fn upload(&self) -> Upload;
}

/// One moment for all attempts together, of a request whose body is at hand.
impl Deadline for Instant {
    fn attempt_began(&self) {}

    fn is_late(&self) -> bool {
        Instant::now() >= *self
    }

    fn upload(&self) -> Upload {
        Upload::Done
    }
}

/// State of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    /// There is none, or it was read to its end.
    Done,
    /// The client has the next move.
    Awaited,
    /// The upstream has the next move.
    Moving,
    /// The client broke it off.
    Lost,
    /// There is no memory for the rest.
    Refused,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The upstream's head; whoever waits for it looks at the deadline.
    Exchange,
    /// The end of an answer's body.
    Answer,
    /// The end of what the client still sends after its last answer.
    Linger,
}

/// How far a client's connection has come. Bodies and the socket report what moves, and each move
/// sets the next deadline.
#[derive(Debug)]
pub(crate) struct Progress {
    ticks: Rc<Ticks>,
    timeouts: Timeouts,
    phase: Cell<Phase>,
    upload: Cell<Upload>,
    /// Tick by which the phase must have moved on.
    deadline: Cell<u64>,
    /// No more requests after this one.
    retired: Cell<bool>,
    memory: Arc<Memory>,
    /// Bytes of the request's body that have passed.
    uploaded: Cell<usize>,
    /// Tick at which that body began, later by the time that the upstream took for it.
    began: Cell<u64>,
    /// Tick at which the upstream was given the last part of it.
    moved: Cell<u64>,
    /// Something was not read because memory is short.
    stalled: Cell<bool>,
    /// Bytes of the answer that the client's socket took.
    taken: Cell<usize>,
    /// Ticks for which it took nothing, and since when it does so now.
    waited: Cell<u64>,
    full_since: Cell<Option<u64>>,
    /// Bytes in the socket that the client had not acknowledged when it was last asked.
    queued: Cell<usize>,
    task: RefCell<Waker>,
}

impl Progress {
    /// A new connection, which is expected to send a request soon.
    pub(crate) fn new(ticks: Rc<Ticks>, timeouts: Timeouts, memory: Arc<Memory>) -> Rc<Self> {
        let progress = Self {
            ticks,
            timeouts,
            phase: Cell::new(Phase::Head),
            upload: Cell::new(Upload::Done),
            deadline: Cell::new(0),
            retired: Cell::new(false),
            memory,
            uploaded: Cell::new(0),
            began: Cell::new(0),
            moved: Cell::new(0),
            stalled: Cell::new(false),
            taken: Cell::new(0),
            waited: Cell::new(0),
            full_since: Cell::new(None),
            queued: Cell::new(0),
            task: RefCell::new(Waker::noop().clone()),
        };
        progress.until(timeouts.header);
        Rc::new(progress)
    }

    /// A head was read: the exchange begins.
    pub(crate) fn request_began(&self, has_body: bool) {
        self.phase.set(Phase::Exchange);
        self.uploaded.set(0);
        self.began.set(self.ticks.now());
        self.upload.set(if has_body {
            Upload::Awaited
        } else {
            Upload::Done
        });
        self.attempt_began();
    }

    /// The request's body moved on; once it is complete, the upstream is waited for.
    pub(crate) fn upload_is(&self, upload: Upload) {
        if self.upload.get() == Upload::Refused {
            return;
        }
        let now = self.ticks.now();
        if self.upload.replace(upload) == Upload::Moving {
            self.began.set(self.began.get() + now - self.moved.get());
        }
        let in_exchange = self.phase.get() == Phase::Exchange;
        match upload {
            Upload::Moving => {
                self.moved.set(now);
                self.until(self.timeouts.body);
            }
            Upload::Awaited if in_exchange => {
                self.deadline.set(self.deadline.get().min(self.body_due()));
            }
            Upload::Done if in_exchange => self.until(self.timeouts.response),
            Upload::Done | Upload::Awaited | Upload::Lost | Upload::Refused => {}
        }
    }

    /// The tick by which the next part of the request's body must come, whatever came before: a
    /// body that only drips would keep its connection for ever.
    fn body_due(&self) -> u64 {
        self.began.get() + self.worth(self.uploaded.get())
    }

    /// The ticks that a client has for so many bytes.
    fn worth(&self, bytes: usize) -> u64 {
        let bytes = (bytes as u64).saturating_mul(1000 / TICK_MS);
        ticks(self.timeouts.body) + bytes / self.timeouts.body_rate.get() as u64
    }

    /// So many bytes of the request's body passed.
    pub(crate) fn uploaded(&self, bytes: usize) {
        self.uploaded.set(self.uploaded.get().saturating_add(bytes));
    }

    /// Whether more of a request may be read now. If not, the connection is woken when it may.
    pub(crate) fn may_receive(&self) -> bool {
        let large = self.upload.get() != Upload::Done && self.uploaded.get() > SMALL_BYTES;
        self.passes(large, Level::Easy)
    }

    /// The same for an answer of which so many bytes have passed.
    pub(crate) fn may_answer(&self, passed: usize) -> bool {
        self.passes(passed > SMALL_BYTES, Level::Tight)
    }

    fn passes(&self, large: bool, up_to: Level) -> bool {
        let passes = !large || self.memory.level() <= up_to;
        if !passes {
            self.stalled.set(true);
        }
        passes
    }

    /// The answer's head is on its way.
    pub(crate) fn answer_began(&self) {
        self.phase.set(Phase::Answer);
        self.taken.set(0);
        self.waited.set(0);
        self.full_since.set(None);
        self.until(self.timeouts.body);
    }

    /// A part of the answer came.
    pub(crate) fn answer_moved(&self) {
        self.until(self.timeouts.body);
    }

    /// All of the answer was taken: the connection waits for the client's next request.
    pub(crate) fn answer_ended(&self) {
        self.phase.set(Phase::Idle);
        self.until(self.timeouts.keep_alive);
    }

    /// The client's socket gave something.
    pub(crate) fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.until(self.timeouts.header);
        }
    }

    /// The client's socket took so many bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.taken.set(self.taken.get().saturating_add(bytes));
        if let Some(since) = self.full_since.get() {
            self.full_since.set(None);
            self.waited
                .set(self.waited.get() + self.ticks.now() - since);
        }
        match self.phase.get() {
            Phase::Answer => self.until(self.timeouts.body),
            Phase::Idle => self.until(self.timeouts.keep_alive),
            Phase::Head | Phase::Exchange | Phase::Linger => {}
        }
    }

    /// The client's socket takes nothing now: its client does not read, or reads what the socket
    /// holds already, which may be megabytes. `queued` tells how many of its bytes the client has not
    /// acknowledged; it is asked once when the socket is full and again when the deadline has passed.
    ///
    /// However little a client reads at a time, it has the time that its bytes are worth; that in
    /// which the upstream sends nothing does not count.
    pub(crate) fn full(&self, queued: impl FnOnce() -> usize) {
        if !matches!(self.phase.get(), Phase::Answer | Phase::Idle) {
            return;
        }
        let since = match self.full_since.get() {
            Some(since) => {
                // Zero is no deadline: the connection was given up because memory is short.
                if self.is_late() && self.deadline.get() > 0 {
                    let queued = queued();
                    if queued < self.queued.replace(queued) {
                        self.until(self.timeouts.body);
                    }
                }
                since
            }
            None => {
                self.queued.set(queued());
                self.ticks.now()
            }
        };
        self.full_since.set(Some(since));
        let acknowledged = self.taken.get().saturating_sub(self.queued.get());
        let due = since + self.worth(acknowledged);
        let due = due.saturating_sub(self.waited.get());
        self.deadline.set(self.deadline.get().min(due));
    }

    /// All answers were sent. Returns whether the client may still send: that is read for a while.
    pub(crate) fn lingers(&self) -> bool {
        if self.phase.get() != Phase::Linger {
            self.phase.set(Phase::Linger);
            self.until(LINGER);
        }
        self.upload.get() != Upload::Done
    }

    /// Whether a head is on its way, as far as can be told: the connection was opened, or its first
    /// byte came, a moment ago.
    pub(crate) fn expects_head(&self) -> bool {
        let moment = self.timeouts.header.saturating_sub(NEWCOMER);
        self.phase.get() == Phase::Head && self.deadline.get() > self.ticks.now() + ticks(moment)
    }

    /// Whether the connection is to be dropped for being late. During an exchange the request
    /// answers that by itself.
    pub(crate) fn is_overdue(&self) -> bool {
        self.phase.get() != Phase::Exchange && self.is_late()
    }

    /// Whether the client may have acknowledged what its full socket holds, which is known when the
    /// connection tries to write. Who was given up for memory is not asked.
    pub(crate) fn may_have_moved(&self) -> bool {
        self.full_since.get().is_some()
            && matches!(self.phase.get(), Phase::Answer | Phase::Idle)
            && self.deadline.get() > 0
    }

    /// Gives up what the level of memory leaves no room for, and goes on with what it had stopped.
    pub(crate) fn bear(&self, level: Level) {
        let stands_still = || {
            let since = ticks(self.timeouts.body.saturating_sub(SHORT_PATIENCE));
            self.deadline.get() <= self.ticks.now() + since
        };
        match (self.phase.get(), self.upload.get()) {
            _ if level == Level::Easy => {}
            // Ends once what it was sent is written.
            (Phase::Idle, _) => self.retired.set(true),
            (Phase::Exchange, Upload::Awaited | Upload::Moving) if stands_still() => {
                self.upload.set(Upload::Refused);
                self.deadline.set(0);
            }
            // Nothing was done for it yet, or it was answered.
            (Phase::Head | Phase::Linger, _) if level == Level::Critical => self.deadline.set(0),
            (Phase::Answer, _) if level == Level::Critical && stands_still() => {
                self.deadline.set(0);
            }
            _ => {}
        }
        if self.stalled.replace(false) || self.retired.get() {
            self.wake();
        }
    }

    /// Whether it was asked to end.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Sets the task that is woken when the deadline has passed.
    pub(crate) fn watched_by(&self, task: &Waker) {
        self.task.borrow_mut().clone_from(task);
    }

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        self.task.borrow().wake_by_ref();
    }

    fn until(&self, duration: Duration) {
        self.deadline.set(self.ticks.now() + ticks(duration));
    }
}

impl Deadline for Progress {
    fn attempt_began(&self) {
        self.until(match self.upload.get() {
            Upload::Done => self.timeouts.response,
            _ => self.timeouts.body,
        });
    }

    fn is_late(&self) -> bool {
        self.ticks.now() >= self.deadline.get()
    }

    fn upload(&self) -> Upload {
        self.upload.get()
    }
}

#[cfg(test)]
mod tests {
    use shared::telemetry::{Identity, metrics::Metrics};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HALF_A_SECOND: u64 = 500 / TICK_MS;

    /// A connection with a deadline of a second for a body, and of a thousand bytes a second.
    fn connection(ticks: &Rc<Ticks>) -> Rc<Progress> {
        let timeouts = Timeouts {
            connect: SECOND,
            response: SECOND,
            body: SECOND,
            body_rate: NonZeroUsize::new(1_000).unwrap(),
            header: SECOND,
            keep_alive: SECOND,
        };
        let metrics = Metrics::new(&Identity {
            service: "gateway".into(),
            version: "0",
            instance: String::new(),
        });
        Progress::new(Rc::clone(ticks), timeouts, Memory::new(&metrics))
    }

    /// Half a second after the other, parts of a body of so many bytes, which the upstream takes so
    /// many ticks to read. The number of the first that was late.
    fn first_late(bytes: usize, reading: u64) -> Option<u64> {
        let ticks = Ticks::start();
        let progress = connection(&ticks);
        let pass = |passed: u64| ticks.now.set(ticks.now() + passed);
        progress.request_began(true);
        (1..100).find(|_| {
            progress.upload_is(Upload::Awaited);
            pass(HALF_A_SECOND - reading);
            if progress.is_late() {
                return true;
            }
            progress.uploaded(bytes);
            progress.upload_is(Upload::Moving);
            pass(reading);
            progress.is_late()
        })
    }

    /// Half a second after the other, a client takes so many bytes of an answer. The number of the
    /// first part that came too late.
    fn first_left(bytes: usize) -> Option<u64> {
        let ticks = Ticks::start();
        let progress = connection(&ticks);
        progress.request_began(false);
        progress.answer_began();
        (1..100).find(|_| {
            progress.answer_moved();
            progress.full(|| 0);
            ticks.now.set(ticks.now() + HALF_A_SECOND);
            // More of the answer changes nothing, and neither does another try.
            progress.answer_moved();
            progress.full(|| 0);
            if progress.is_overdue() {
                return true;
            }
            progress.sent(bytes);
            false
        })
    }

    #[test]
    fn an_answer_has_the_time_that_the_bytes_are_worth_that_its_client_takes() {
        assert_eq!(first_left(1), Some(3), "it is read in drips");
        assert_eq!(first_left(400), Some(7), "a little too slowly");
        assert_eq!(first_left(500), None);
    }

    /// The answer to a client whose socket took a million bytes at once and is full.
    fn answer_in_a_full_socket(ticks: &Rc<Ticks>) -> Rc<Progress> {
        let progress = connection(ticks);
        progress.request_began(false);
        progress.answer_began();
        progress.sent(1_000_000);
        progress.full(|| 1_000_000);
        progress
    }

    /// A socket took a million bytes at once, of which the client acknowledges so many in each
    /// second. The number of the second in which it was too late.
    fn first_unacknowledged(bytes: usize) -> Option<usize> {
        let ticks = Ticks::start();
        let progress = answer_in_a_full_socket(&ticks);
        // A deadline is met late by up to a tick.
        ticks.now.set(ticks.now() + 1);
        (1..100).find(|second| {
            ticks.now.set(ticks.now() + 2 * HALF_A_SECOND);
            progress.full(|| 1_000_000 - second * bytes);
            progress.is_overdue()
        })
    }

    #[test]
    fn a_client_that_reads_what_its_socket_holds_does_not_stand_still() {
        assert_eq!(first_unacknowledged(0), Some(1));
        assert_eq!(first_unacknowledged(900), Some(10), "a little too slowly");
        assert_eq!(first_unacknowledged(1_000), None);
    }

    #[test]
    fn who_was_given_up_for_memory_is_not_kept_for_acknowledging_a_little() {
        let ticks = Ticks::start();
        let progress = answer_in_a_full_socket(&ticks);
        ticks.now.set(ticks.now() + 2 * HALF_A_SECOND + 1);
        progress.bear(Level::Critical);
        progress.full(|| 999_000);
        assert!(progress.is_overdue());
    }

    #[test]
    fn a_client_that_takes_what_there_is_has_all_the_time_of_the_upstream() {
        let ticks = Ticks::start();
        let progress = connection(&ticks);
        progress.request_began(false);
        progress.answer_began();
        for _ in 0..100 {
            ticks.now.set(ticks.now() + HALF_A_SECOND);
            assert!(!progress.is_overdue());
            progress.answer_moved();
            progress.sent(1);
        }
    }

    #[test]
    fn a_body_has_the_time_that_its_bytes_are_worth_and_that_of_the_upstream() {
        assert_eq!(first_late(1, 0), Some(3), "it drips");
        assert_eq!(first_late(400, 0), Some(7), "a little too slow");
        assert_eq!(first_late(500, 0), None);
        assert_eq!(first_late(1, HALF_A_SECOND), None, "the upstream is slow");
    }
}
