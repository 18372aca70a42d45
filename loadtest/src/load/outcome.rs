//! What a run of the engine found.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::start::Punctuality;
use crate::stats::histogram::{HIGHEST_US, LatencyHistogram, micros};

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A complete answer within the deadline, with this HTTP status.
    Status(u16),
    /// No connection could be opened.
    Connect,
    /// The connection ended before the answer was complete.
    Reset,
    /// Sent, and no complete answer by the deadline or the end of the run.
    Timeout,
    /// The answer is not HTTP/1.1.
    Malformed,
    /// No connection became free by the deadline or the end of the run.
    NotSent,
}

impl Outcome {
    /// A 2xx answer within the deadline.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// As in reports: `503`, `timeout`.
impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "{status}"),
            Self::Connect => formatter.write_str("connect"),
            Self::Reset => formatter.write_str("reset"),
            Self::Timeout => formatter.write_str("timeout"),
            Self::Malformed => formatter.write_str("malformed"),
            Self::NotSent => formatter.write_str("not_sent"),
        }
    }
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct EngineOutcome {
    /// One for each arm, in their order.
    pub arms: Vec<ArmOutcome>,
    /// Moment 0 of the timelines.
    pub measured_from: Instant,
    /// From the first request, in the warm-up, to the last answer.
    pub elapsed: Duration,
    /// CPU time of the engine's threads in `elapsed`.
    pub cpu: Duration,
    /// Threads that sent.
    pub threads: usize,
    /// The run was ended early.
    pub interrupted: bool,
    /// How it kept to the moment at which it should begin.
    pub punctuality: Punctuality,
}

impl EngineOutcome {
    /// All requests of all arms, those of the warm-up too: what `cpu` was spent on.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.arms.iter().map(|arm| arm.requests_with_warmup).sum()
    }

    /// The generator's own CPU time per request, in µs.
    #[must_use]
    pub fn cpu_us_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests().max(1) as f64
    }

    /// Share of `elapsed` for which the generator's threads were busy, in percent.
    #[must_use]
    pub fn busy_percent(&self) -> f64 {
        let available = self.elapsed.as_secs_f64() * self.threads.max(1) as f64;
        self.cpu.as_secs_f64() / available.max(1e-9) * 100.0
    }

    /// Adds what another thread, or another generator with another share of the same schedule,
    /// found: nothing is lost of either.
    pub fn merge(&mut self, other: Self) {
        for (arm, more) in self.arms.iter_mut().zip(other.arms) {
            arm.merge(more);
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu += other.cpu;
        self.threads += other.threads;
        self.interrupted |= other.interrupted;
    }
}

/// What a run found of one arm. Counts and distributions hold the requests that were due in the
/// measured time.
#[derive(Clone, Debug)]
pub struct ArmOutcome {
    /// Name of the arm.
    pub name: String,
    /// Requests due: the sum of all outcomes.
    pub scheduled: u64,
    /// Of these, sent.
    pub sent: u64,
    /// Requests by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Good requests, from the intended moment of sending to the moment when the kernel received the
    /// last byte of the answer, or to our reading it where the kernel does not say.
    pub response_time: LatencyHistogram,
    /// Good requests, from the actual moment of sending to the same end.
    pub service_time: LatencyHistogram,
    /// All other requests, from the intended moment to the moment of failure.
    pub failure_time: LatencyHistogram,
    /// From the intended moment to the moment when the generator turned to the request: its own
    /// lateness, whether a connection was free or not.
    pub send_lag: LatencyHistogram,
    /// From the moment when the generator turned to the request to its sending, or to its end if it
    /// was never sent: the wait for a free connection. Part of the response time.
    pub connection_wait: LatencyHistogram,
    /// From the moment when the kernel received the end of an answer to our reading it. The response
    /// time does not contain it: it ends with the former. Empty where the kernel does not say.
    pub receive_lateness: LatencyHistogram,
    /// The same by the time for which requests were due.
    pub timeline: Vec<Slice>,
    /// Good answers that came within the measured time, whenever their requests were due.
    pub good_in_window: u64,
    /// Length of the measured time.
    pub window: Duration,
    /// Bytes written for requests that were answered.
    pub request_bytes: u64,
    /// Bytes read of their answers.
    pub response_bytes: u64,
    /// Requests with those of the warm-up.
    pub requests_with_warmup: u64,
    /// Good answers with those of the warm-up.
    pub good_with_warmup: u64,
    /// Connections that were established.
    pub connections_opened: u64,
    /// Connections that were established at the same time, at most; the sum of the threads' own.
    pub connections_open: u64,
    /// Why a connection could not be established, if one could not: of the last one.
    pub connect_fault: Option<String>,
    /// Why this machine would not let a connection be opened, as when descriptors or ports run out:
    /// the load was then not the one that was asked for.
    pub own_connect_fault: Option<String>,
    /// When the last request that had a 2xx answer was sent, counted from the begin of the measured
    /// time.
    pub last_good_sent: Option<Duration>,
    warmup: Duration,
    slice: Duration,
}

/// The requests that were due in one slice of time.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Begin, counted from the begin of the measured time.
    pub at: Duration,
    /// Requests by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Response times in µs of all that were answered with whatever status, to two digits.
    pub response_us: Histogram<u32>,
}

impl Slice {
    fn new(at: Duration) -> Self {
        Self {
            at,
            outcomes: BTreeMap::new(),
            response_us: Histogram::new(2).expect("two digits are a valid constant"),
        }
    }

    fn merge(&mut self, other: &Self) {
        add(&mut self.outcomes, &other.outcomes);
        self.response_us
            .add(&other.response_us)
            .expect("histograms that grow as needed can be added");
    }

    /// Requests that were due.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Requests with a 2xx answer within the deadline.
    #[must_use]
    pub fn good(&self) -> u64 {
        good(&self.outcomes)
    }
}

impl ArmOutcome {
    pub(super) fn new(name: &str, warmup: Duration, window: Duration, slice: Duration) -> Self {
        Self {
            name: name.to_owned(),
            scheduled: 0,
            sent: 0,
            outcomes: BTreeMap::new(),
            response_time: LatencyHistogram::new(),
            service_time: LatencyHistogram::new(),
            failure_time: LatencyHistogram::new(),
            send_lag: LatencyHistogram::new(),
            connection_wait: LatencyHistogram::new(),
            receive_lateness: LatencyHistogram::new(),
            timeline: Vec::new(),
            good_in_window: 0,
            window,
            request_bytes: 0,
            response_bytes: 0,
            requests_with_warmup: 0,
            good_with_warmup: 0,
            connections_opened: 0,
            connections_open: 0,
            connect_fault: None,
            own_connect_fault: None,
            last_good_sent: None,
            warmup,
            slice,
        }
    }

    /// Good answers per second of the measured time.
    #[must_use]
    pub fn achieved_per_second(&self) -> f64 {
        self.good_in_window as f64 / self.window.as_secs_f64().max(1e-9)
    }

    /// Requests with a 2xx answer within the deadline.
    #[must_use]
    pub fn good(&self) -> u64 {
        good(&self.outcomes)
    }

    /// Requests that ended in another way.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.scheduled - self.good()
    }

    /// Requests that were answered, with whatever status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.outcomes
            .iter()
            .filter(|(outcome, _)| matches!(outcome, Outcome::Status(_)))
            .map(|(_, count)| count)
            .sum()
    }

    /// Counts one request that has ended.
    pub(super) fn record(&mut self, ended: Ended) {
        self.requests_with_warmup += 1;
        let good = ended.outcome.is_good();
        let (from, until) = (self.warmup, self.warmup + self.window);
        if good {
            self.good_with_warmup += 1;
            self.good_in_window += u64::from((from..until).contains(&ended.at));
        }
        let Some(due) = ended.due.checked_sub(from) else {
            return;
        };
        let response = ended.at.saturating_sub(ended.due);
        self.scheduled += 1;
        self.sent += u64::from(ended.sent.is_some());
        *self.outcomes.entry(ended.outcome).or_default() += 1;
        self.send_lag.record(ended.taken.saturating_sub(ended.due));
        let left_queue = ended.sent.unwrap_or(ended.at);
        self.connection_wait
            .record(left_queue.saturating_sub(ended.taken));
        if let (true, Some(sent)) = (good, ended.sent) {
            self.last_good_sent = self.last_good_sent.max(sent.checked_sub(from));
            self.response_time.record(response);
            self.service_time.record(ended.at.saturating_sub(sent));
        } else {
            self.failure_time.record(response);
        }
        let answered = matches!(ended.outcome, Outcome::Status(_));
        if answered {
            self.request_bytes += ended.request_bytes;
            self.response_bytes += ended.response_bytes;
        }
        let slice = self.slice_of(due);
        *slice.outcomes.entry(ended.outcome).or_default() += 1;
        if answered {
            // It grows as needed: the range cannot be exceeded.
            let _ = slice.response_us.record(micros(response).min(HIGHEST_US));
        }
    }

    fn merge(&mut self, other: Self) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        add(&mut self.outcomes, &other.outcomes);
        self.response_time.merge(&other.response_time);
        self.service_time.merge(&other.service_time);
        self.failure_time.merge(&other.failure_time);
        self.send_lag.merge(&other.send_lag);
        self.connection_wait.merge(&other.connection_wait);
        self.receive_lateness.merge(&other.receive_lateness);
        for slice in other.timeline {
            self.slice_of(slice.at).merge(&slice);
        }
        self.good_in_window += other.good_in_window;
        self.window = self.window.max(other.window);
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        self.requests_with_warmup += other.requests_with_warmup;
        self.good_with_warmup += other.good_with_warmup;
        self.connections_opened += other.connections_opened;
        self.connections_open += other.connections_open;
        self.connect_fault = self.connect_fault.take().or(other.connect_fault);
        self.own_connect_fault = self.own_connect_fault.take().or(other.own_connect_fault);
        self.last_good_sent = self.last_good_sent.max(other.last_good_sent);
    }

    fn slice_of(&mut self, due: Duration) -> &mut Slice {
        let index = (due.as_nanos() / self.slice.as_nanos().max(1)) as usize;
        while self.timeline.len() <= index {
            let at = self.slice * u32::try_from(self.timeline.len()).unwrap_or(u32::MAX);
            self.timeline.push(Slice::new(at));
        }
        &mut self.timeline[index]
    }
}

/// One request that has ended; all moments are counted from the begin of the schedule.
pub(super) struct Ended {
    pub(super) due: Duration,
    pub(super) taken: Duration,
    pub(super) sent: Option<Duration>,
    pub(super) at: Duration,
    pub(super) outcome: Outcome,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

fn good(outcomes: &BTreeMap<Outcome, u64>) -> u64 {
    outcomes
        .iter()
        .filter(|(outcome, _)| outcome.is_good())
        .map(|(_, count)| count)
        .sum()
}

fn add(outcomes: &mut BTreeMap<Outcome, u64>, more: &BTreeMap<Outcome, u64>) {
    for (outcome, count) in more {
        *outcomes.entry(*outcome).or_default() += count;
    }
}
