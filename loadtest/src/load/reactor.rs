//! The loop of one of the engine's threads: sleeps until a request is due or a socket is ready.

use std::{
    num::NonZeroU64,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event},
    },
    io::Errno,
    time::{ClockId, clock_gettime},
};

use super::{
    Arm, EngineError, EngineOutcome, Options, arm::RunningArm, inbox::Inbox, pool::parse_token,
    schedule::Share, start::Punctuality, target::Target,
};

/// How soon an interrupt is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How long the first connections may take; after that the schedule begins without them.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Answers may be left in the kernel for so long.
const SOON: Duration = Duration::from_millis(1);
/// Enough for all that can have happened at once, so that nothing is given up that was answered.
const EVENTS: usize = 1024;

pub(super) struct Reactor {
    options: Options,
    epoll: Rc<OwnedFd>,
    arms: Vec<RunningArm>,
    events: Vec<Event>,
    inbox: Inbox,
    began: Instant,
    cpu_at_begin: Duration,
}

impl Reactor {
    pub(super) fn new(
        options: Options,
        arms: &[Arm],
        targets: &[Target],
        share: Share,
    ) -> Result<Self, EngineError> {
        // Without this the kernel rounds sleeps up by 50 µs. It is a refinement: where it is not
        // allowed, the send lag shows the effect.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(EngineError::system("epoll"))?;
        let epoll = Rc::new(epoll);
        let arm = |((number, arm), target)| {
            RunningArm::new(number, arm, target, &options, share, Rc::clone(&epoll))
        };
        let arms = (0..).zip(arms).zip(targets).map(arm).collect();
        Ok(Self {
            epoll,
            arms,
            options,
            events: Vec::with_capacity(EVENTS),
            inbox: Inbox::new(),
            began: Instant::now(),
            cpu_at_begin: Duration::ZERO,
        })
    }

    /// Opens the first connections of every arm.
    pub(super) fn open_first_connections(&mut self) -> Result<(), EngineError> {
        for arm in &mut self.arms {
            arm.open_first();
        }
        let deadline = Instant::now() + CONNECT_PATIENCE;
        while self.arms.iter().any(RunningArm::is_opening) && Instant::now() < deadline {
            self.wait(LONGEST_SLEEP)?;
            for event in self.events.drain(..) {
                let (number, place) = parse_token(event.data);
                self.arms[number].settle(place, event.flags, &mut self.inbox);
            }
        }
        Ok(())
    }

    /// Sends what is due from `began` on, which all threads have in common.
    pub(super) fn run(mut self, began: Instant) -> Result<EngineOutcome, EngineError> {
        self.cpu_at_begin = thread_cpu();
        self.began = began;
        self.inbox.began = began;
        for arm in &mut self.arms {
            arm.begin(began);
        }
        let last = self.options.warmup + self.options.duration + self.options.drain;
        let mut now = self.began.elapsed();
        loop {
            for arm in &mut self.arms {
                arm.tidy(now);
                arm.send_due(now);
            }
            let done = self.arms.iter().all(|arm| arm.is_done(now));
            if done || now >= last || self.options.interrupt.is_cancelled() {
                return Ok(self.finish(Instant::now()));
            }
            let wake = self.next_wake(now).min(last);
            let until_due = wake.saturating_sub(now).min(LONGEST_SLEEP);
            self.rest(until_due)?;
            now = self.handle_events();
        }
    }

    fn next_wake(&self, now: Duration) -> Duration {
        self.arms
            .iter()
            .map(|arm| arm.wake_at(now))
            .min()
            .unwrap_or(Duration::MAX)
    }

    /// Waits, and looks what has happened in the meantime. When a request is due soon, answers are
    /// left in the kernel until then: to wake up for each would double the cost of a request, and
    /// the kernel says when they came.
    fn rest(&mut self, until_due: Duration) -> Result<(), EngineError> {
        let time = until_due.saturating_sub(self.options.busy_poll);
        let leave = until_due <= SOON && self.arms.iter().all(RunningArm::can_leave_answers);
        if !leave || time.is_zero() {
            return self.wait(time);
        }
        std::thread::sleep(time);
        let now = self.began.elapsed();
        for arm in &mut self.arms {
            arm.send_due(now);
        }
        self.wait(Duration::ZERO)
    }

    fn wait(&mut self, longest: Duration) -> Result<(), EngineError> {
        self.events.clear();
        let timeout = Timespec {
            tv_sec: longest.as_secs() as i64,
            tv_nsec: i64::from(longest.subsec_nanos()),
        };
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&*self.epoll, spare, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(EngineError::system("epoll")(error)),
        }
    }

    /// Requests that become due in the meantime go out between two events.
    fn handle_events(&mut self) -> Duration {
        let mut now = self.began.elapsed();
        let mut next_due = self.next_due();
        for index in 0..self.events.len() {
            let event = self.events[index];
            let (number, place) = parse_token(event.data);
            self.arms[number].event(place, event.flags, now, &mut self.inbox);
            now = self.began.elapsed();
            if next_due <= now {
                for arm in &mut self.arms {
                    arm.send_due(now);
                }
                next_due = self.next_due();
            }
        }
        now
    }

    fn next_due(&self) -> Duration {
        self.arms
            .iter()
            .filter_map(RunningArm::next_due)
            .min()
            .unwrap_or(Duration::MAX)
    }

    /// Ends the run; what has not ended by then has failed.
    pub(super) fn finish(self, at: Instant) -> EngineOutcome {
        let cpu = thread_cpu().saturating_sub(self.cpu_at_begin);
        let now = at.saturating_duration_since(self.began);
        let interrupted = self.options.interrupt.is_cancelled();
        let ended = |arm: RunningArm| {
            let mut outcome = arm.finish(now);
            if interrupted {
                // A rate is over the time in which was measured.
                let measured = now.saturating_sub(self.options.warmup);
                outcome.window = outcome.window.min(measured);
            }
            outcome
        };
        EngineOutcome {
            measured_from: self.began + self.options.warmup,
            elapsed: now,
            cpu,
            threads: 1,
            interrupted,
            punctuality: Punctuality::default(),
            arms: self.arms.into_iter().map(ended).collect(),
        }
    }
}

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use url::Url;

    use super::*;
    use crate::load::{Arrivals, Load, Outcome, Variant};

    fn answer_everybody(listener: TcpListener) {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    }

    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || answer_everybody(listener));
        address
    }

    fn reactor(addresses: Vec<SocketAddr>) -> Reactor {
        let arm = Arm {
            name: "arm".to_owned(),
            url: Url::parse("http://name.invalid/").unwrap(),
            variants: vec![Variant::default()],
            load: Load::Open {
                rate: 100.0,
                arrivals: Arrivals::Uniform,
            },
        };
        let options = Options {
            duration: Duration::from_millis(300),
            connections: 6,
            ..Options::default()
        };
        let target = Target {
            addresses,
            tls: None,
        };
        let mut reactor = Reactor::new(options, &[arm], &[target], Share::WHOLE).unwrap();
        reactor.open_first_connections().unwrap();
        reactor
    }

    fn drive(addresses: Vec<SocketAddr>) -> crate::load::ArmOutcome {
        let began = Instant::now();
        reactor(addresses).run(began).unwrap().arms.remove(0)
    }

    fn refusing() -> SocketAddr {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        unused.local_addr().unwrap()
    }

    #[test]
    fn each_connection_tries_every_address_before_it_counts_as_refused() {
        for addresses in [
            vec![refusing(), server()],
            vec![server(), refusing(), refusing()],
        ] {
            let found = reactor(addresses).finish(Instant::now()).arms.remove(0);
            assert_eq!(found.connections_open, 6);
        }
    }

    #[test]
    fn an_address_that_refuses_is_passed_over() {
        let refusing = refusing();
        let found = drive(vec![refusing, refusing, server()]);
        assert_eq!(
            found.outcomes.keys().collect::<Vec<_>>(),
            [&Outcome::Status(200)]
        );
        assert_eq!((found.connections_open, found.connections_opened), (6, 6));
    }

    #[test]
    fn connections_are_spread_over_the_addresses() {
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let addresses = listeners.iter().map(|one| one.local_addr().unwrap());
        let addresses: Vec<SocketAddr> = addresses.collect();
        drive(addresses);
        for listener in listeners {
            listener.set_nonblocking(true).unwrap();
            let accepted = std::iter::from_fn(|| listener.accept().ok()).count();
            assert_eq!(accepted, 2);
        }
    }
}
