//! What does not work over a connection that stands.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::fault::Fault;

/// What did not work and was not met again for this long works.
const CALM: Duration = Duration::from_secs(3);

/// The fault, and when it was met last.
#[derive(Default)]
pub(super) struct Lacking(Mutex<Option<(Fault, Instant)>>);

impl Lacking {
    /// The fault, if there is one.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.known().as_ref().map(|(fault, _)| fault.clone())
    }

    /// Notes that a fault was met.
    pub(super) fn meet(&self, fault: &Fault) {
        *self.known() = Some((fault.clone(), Instant::now()));
    }

    /// Notes that none was met; whether that means that there is none. One that comes and goes, as of a
    /// server that is just about full, is one fault.
    pub(super) fn ends(&self) -> bool {
        let mut known = self.known();
        let ends = known.as_ref().is_none_or(|(_, met)| met.elapsed() > CALM);
        if ends {
            *known = None;
        }
        ends
    }

    /// Notes that there is none.
    pub(super) fn clear(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<(Fault, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
