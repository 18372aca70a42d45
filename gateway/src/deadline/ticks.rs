//! The clock of a thread, which moves in ticks.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

/// Resolution of all deadlines on the data path.
pub(crate) const TICK: Duration = Duration::from_millis(TICK_MS);

pub(super) const TICK_MS: u64 = 50;

/// The clock of one thread.
#[derive(Debug)]
pub(crate) struct Ticks {
    started: Instant,
    pub(super) now: Cell<u64>,
}

impl Ticks {
    /// A clock that begins at 0.
    pub(crate) fn start() -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            now: Cell::new(0),
        })
    }

    /// The present tick.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Moves on to the present; returns how many ticks have passed since this was last called.
    pub(crate) fn advance(&self) -> u64 {
        let elapsed = self.started.elapsed().as_millis() / TICK.as_millis();
        let now = u64::try_from(elapsed).unwrap_or(u64::MAX);
        now - self.now.replace(now)
    }
}

/// How many ticks make at least `duration`, wherever within a tick it begins.
pub(crate) fn ticks(duration: Duration) -> u64 {
    let whole_seconds = duration.as_secs().saturating_mul(1000 / TICK_MS);
    let rest = u64::from(duration.subsec_millis()).div_ceil(TICK_MS);
    // Half of the range, so that it can be added to any tick.
    whole_seconds.saturating_add(rest + 1).min(u64::MAX / 2)
}
