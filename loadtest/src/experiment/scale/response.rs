//! The response time that slices let expect, by a simulation. Pure.
//!
//! A process with a slice runs at full speed until its quota is used up, and then waits for the next period.
//! The usual formulas know servers that are slower all the time, and not such; so requests are sent through
//! the replicas and the store in simulated time, each process first come, first served.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
};

use crate::stats::random::Random;

/// Requests of a simulation; the first tenth of them meets an empty system and is not counted.
const REQUESTS: usize = 20_000;

/// A process, or several of the same kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Station {
    /// CPU time per request, seconds.
    pub(super) demand: f64,
    /// Quota and period in seconds; `None`: it runs freely.
    pub(super) slice: Option<(f64, f64)>,
}

/// A system whose replicas ask a store in the middle of each request, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Simulated {
    pub(super) replicas: usize,
    pub(super) replica: Station,
    pub(super) store: Option<Station>,
    /// Time that all else takes, seconds.
    pub(super) rest: f64,
}

/// Part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    First,
    Store,
    Second,
}

/// What waits at a process: a request and its part.
type Job = (usize, Part);

/// A process while it is simulated.
#[derive(Clone, Debug)]
struct Server {
    slice: Option<(f64, f64)>,
    /// What is left of the quota, and until when it is good.
    left: f64,
    until: f64,
    waiting: VecDeque<Job>,
    is_busy: bool,
    /// Requests that were given to it and are not answered.
    in_flight: usize,
}

impl Server {
    fn new(slice: Option<(f64, f64)>, random: &mut Random) -> Self {
        let (quota, period) = slice.unwrap_or((f64::INFINITY, f64::INFINITY));
        Self {
            slice,
            left: quota,
            // The periods of different processes have nothing to do with each other.
            until: random.unit() * period,
            waiting: VecDeque::new(),
            is_busy: false,
            in_flight: 0,
        }
    }

    /// When work that begins now is done.
    fn finish(&mut self, now: f64, mut work: f64) -> f64 {
        let Some((quota, period)) = self.slice else {
            return now + work;
        };
        let mut at = now;
        loop {
            if at >= self.until {
                let passed = ((at - self.until) / period).floor() + 1.0;
                self.until += passed * period;
                self.left = quota;
            }
            let run = work.min(self.left).min(self.until - at);
            at += run;
            work -= run;
            self.left -= run;
            if work <= 1e-12 {
                return at;
            }
            // The quota is used up, or the period is over.
            at = self.until;
        }
    }
}

/// A moment in simulated time; ordered by time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Event {
    at: f64,
    /// Number of the process that is done; the store is the last.
    server: usize,
    job: Job,
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at)
    }
}

struct Simulation {
    system: Simulated,
    servers: Vec<Server>,
    events: BinaryHeap<Reverse<Event>>,
    /// When each request came, and who has it.
    arrived: Vec<(f64, usize)>,
    /// Sum and number of the response times.
    seen: (f64, usize),
}

/// Mean response time in seconds at a rate in requests per second; the same seed, the same result.
pub(super) fn mean_response(system: Simulated, rate: f64, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let replicas = (0..system.replicas).map(|_| system.replica.slice);
    let store = system.store.map(|store| store.slice);
    let servers = replicas
        .chain(store)
        .map(|slice| Server::new(slice, &mut random));
    let mut simulation = Simulation {
        servers: servers.collect(),
        system,
        events: BinaryHeap::new(),
        arrived: Vec::with_capacity(REQUESTS),
        seen: (0.0, 0),
    };
    let mut now = 0.0;
    while simulation.arrived.len() < REQUESTS {
        now -= (1.0 - random.unit()).ln() / rate;
        simulation.run_until(now);
        // The one of two that has less to do, as the gateway chooses.
        let one = random.below(system.replicas);
        let other = random.below(system.replicas);
        let of = |server: usize| simulation.servers[server].in_flight;
        let chosen = if of(one) <= of(other) { one } else { other };
        simulation.servers[chosen].in_flight += 1;
        let request = simulation.arrived.len();
        simulation.arrived.push((now, chosen));
        simulation.give(chosen, (request, Part::First), now);
    }
    simulation.run_until(f64::INFINITY);
    let (sum, count) = simulation.seen;
    sum / count.max(1) as f64 + system.rest
}

impl Simulation {
    fn run_until(&mut self, end: f64) {
        while self.events.peek().is_some_and(|next| next.0.at <= end) {
            if let Some(Reverse(event)) = self.events.pop() {
                self.done(event);
            }
        }
    }

    fn give(&mut self, server: usize, job: Job, now: f64) {
        self.servers[server].waiting.push_back(job);
        if !self.servers[server].is_busy {
            self.next(server, now);
        }
    }

    fn next(&mut self, server: usize, now: f64) {
        let Some(job) = self.servers[server].waiting.pop_front() else {
            self.servers[server].is_busy = false;
            return;
        };
        let work = match (job.1, self.system.store) {
            (Part::Store, Some(store)) => store.demand,
            (_, Some(_)) => self.system.replica.demand / 2.0,
            (_, None) => self.system.replica.demand,
        };
        let at = self.servers[server].finish(now, work);
        self.servers[server].is_busy = true;
        self.events.push(Reverse(Event { at, server, job }));
    }

    fn done(&mut self, Event { at, server, job }: Event) {
        let (request, part) = job;
        let (arrived, replica) = self.arrived[request];
        match (part, self.system.store) {
            (Part::First, Some(_)) => self.give(self.system.replicas, (request, Part::Store), at),
            (Part::Store, _) => self.give(replica, (request, Part::Second), at),
            (Part::First, None) | (Part::Second, _) => {
                self.servers[replica].in_flight -= 1;
                if request >= REQUESTS / 10 {
                    self.seen.0 += at - arrived;
                    self.seen.1 += 1;
                }
            }
        }
        self.next(server, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(replicas: usize, slice: Option<(f64, f64)>) -> Simulated {
        Simulated {
            replicas,
            replica: Station {
                demand: 25e-6,
                slice,
            },
            store: None,
            rest: 0.0,
        }
    }

    /// Pollaczek and Khinchine: a server that takes the same time for each request.
    #[test]
    fn a_server_without_a_slice_is_the_one_of_the_textbook() {
        for load in [0.3, 0.6, 0.8] {
            let found = mean_response(system(1, None), load / 25e-6, 7);
            let expected = 25e-6 * (1.0 + load / 2.0 / (1.0 - load));
            // Waits follow each other, so that 18,000 of them are as good as some hundred.
            assert!(
                (found / expected - 1.0).abs() < 0.15,
                "{load}: {found} {expected}"
            );
        }
    }

    #[test]
    fn a_slice_costs_nothing_while_it_is_not_used_up_and_a_period_when_it_is() {
        let slice = Some((2e-3, 40e-3));
        let at = |load: f64| mean_response(system(1, slice), load * 0.05 / 25e-6, 7);
        // A tenth of the slice: no period has so many requests that they use it up.
        assert!((at(0.1) / 25e-6 - 1.0).abs() < 0.1, "{}", at(0.1));
        assert!(at(0.6) < at(0.8) && at(0.8) < at(0.95));
        // Near its end, some requests of each period wait for the next one; beyond it, ever more do.
        assert!(at(0.95) > 200e-6, "{}", at(0.95));
        assert!(at(1.2) > 100e-3, "{}", at(1.2));
    }

    #[test]
    fn a_store_is_asked_once_for_each_request() {
        let store = Station {
            demand: 5e-6,
            slice: None,
        };
        let with = Simulated {
            store: Some(store),
            rest: 1e-4,
            ..system(4, None)
        };
        let found = mean_response(with, 1_000.0, 3);
        assert!((found / 130e-6 - 1.0).abs() < 0.05, "{found}");
    }

    #[test]
    fn quota_is_given_anew_at_the_end_of_each_period() {
        let mut server = Server::new(Some((2.0, 10.0)), &mut Random::new(1));
        (server.left, server.until) = (2.0, 10.0);
        // Two of five units in the first period, two in the second, one in the third.
        assert!((server.finish(1.0, 5.0) - 21.0).abs() < 1e-9);
        // What is left of the third.
        assert!((server.finish(22.0, 1.0) - 23.0).abs() < 1e-9);
        assert!((server.finish(24.0, 1.0) - 31.0).abs() < 1e-9);
        // A long pause gives one quota, not several.
        assert!((server.finish(75.0, 3.0) - 81.0).abs() < 1e-9);
    }
}
