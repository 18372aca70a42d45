//! The loop of the engine's thread: sleeps until a request is due or a socket is ready.

use std::{
    net::SocketAddr,
    num::NonZeroU64,
    os::fd::OwnedFd,
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
    Arm, EngineError, EngineOutcome, Options,
    arm::{RunningArm, parse_token},
};

/// How soon an interrupt is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How long the first connections may take; after that the schedule begins without them.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
const EVENTS: usize = 64;
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Reactor {
    options: Options,
    epoll: OwnedFd,
    arms: Vec<RunningArm>,
    events: Vec<Event>,
    buffer: Vec<u8>,
    began: Instant,
    cpu_at_begin: Duration,
}

impl Reactor {
    pub(super) fn new(
        options: Options,
        arms: Vec<Arm>,
        targets: &[SocketAddr],
    ) -> Result<Self, EngineError> {
        // Without this the kernel rounds sleeps up by 50 µs. It is a refinement: where it is not
        // allowed, the send lag shows the effect.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let arms = (0..).zip(&arms).zip(targets);
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(EngineError::system("epoll"))?,
            arms: arms
                .map(|((number, arm), target)| RunningArm::new(number, arm, *target, &options))
                .collect(),
            options,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; BUFFER_BYTES],
            began: Instant::now(),
            cpu_at_begin: Duration::ZERO,
        })
    }

    /// Opens the first connections of every arm, sets the begin of the schedule, and gives the
    /// moment from which is measured.
    pub(super) fn open_first_connections(&mut self) -> Result<Instant, EngineError> {
        let mut opening = std::mem::take(&mut self.arms);
        for arm in &mut opening {
            arm.open_first(&self.epoll, self.options.connections);
        }
        let deadline = Instant::now() + CONNECT_PATIENCE;
        while opening.iter().any(RunningArm::is_connecting) && Instant::now() < deadline {
            self.wait(LONGEST_SLEEP)?;
            for event in self.events.drain(..) {
                let (number, slot) = parse_token(event.data);
                opening[number].settle(&self.epoll, slot, event.flags);
            }
        }
        self.arms = opening;
        self.cpu_at_begin = thread_cpu();
        self.began = Instant::now();
        Ok(self.began + self.options.warmup)
    }

    pub(super) fn run(mut self) -> Result<EngineOutcome, EngineError> {
        let last = self.options.warmup + self.options.duration + self.options.drain;
        let mut now = self.began.elapsed();
        loop {
            for arm in &mut self.arms {
                arm.advance(&self.epoll, now);
            }
            let done = self.arms.iter().all(|arm| arm.is_done(now));
            if done || now >= last || self.options.interrupt.is_cancelled() {
                return Ok(self.finish(now));
            }
            let wake = self.next_wake(now).min(last);
            self.wait(wake.saturating_sub(now).min(LONGEST_SLEEP))?;
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

    fn wait(&mut self, longest: Duration) -> Result<(), EngineError> {
        self.events.clear();
        let timeout = Timespec {
            tv_sec: longest.as_secs() as i64,
            tv_nsec: i64::from(longest.subsec_nanos()),
        };
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
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
            let (number, slot) = parse_token(event.data);
            self.arms[number].event(&self.epoll, slot, event.flags, now, &mut self.buffer);
            now = self.began.elapsed();
            if next_due <= now {
                for arm in &mut self.arms {
                    arm.advance(&self.epoll, now);
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

    fn finish(mut self, now: Duration) -> EngineOutcome {
        let cpu = thread_cpu().saturating_sub(self.cpu_at_begin);
        let interrupted = self.options.interrupt.is_cancelled();
        for arm in &mut self.arms {
            arm.finish(now);
            if interrupted {
                // A rate is over the time in which was measured.
                let measured = now.saturating_sub(self.options.warmup);
                arm.outcome.window = arm.outcome.window.min(measured);
            }
        }
        EngineOutcome {
            measured_from: self.began + self.options.warmup,
            elapsed: now,
            cpu,
            interrupted,
            arms: self.arms.into_iter().map(|arm| arm.outcome).collect(),
        }
    }
}

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
