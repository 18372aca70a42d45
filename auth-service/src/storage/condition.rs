//! Whether the database takes writes: what was seen of it last.
//!
//! A disk that is full and a server that became read-only answer every question, so only a write
//! tells. The last refusal also says which connections are in doubt: those that were open by then.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a refusal is believed before a write is tried again; and the shortest time between two
/// that put connections in doubt, so that an outage is no storm of new connections.
const REFUSAL_BELIEVED: Duration = Duration::from_secs(1);
/// How long a write that went well is believed. Readiness is asked for each second, and a write that
/// nobody needs costs the disk a flush.
const WRITE_BELIEVED: Duration = Duration::from_secs(5);

/// Why the database takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No space is left.
    #[error("its disk is full")]
    Full,
    /// A replica that is not, or no more, the primary; a file system that was mounted read-only.
    #[error("it can only be read")]
    ReadOnly,
    /// Reading or writing failed, or what was read is damaged.
    #[error("its disk fails")]
    Broken,
}

impl Refusal {
    /// What an error says about writes; `None` for one that says nothing about the next write.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let code = error.as_database_error()?.code()?;
        // PostgreSQL, appendix A of its manual.
        match &*code {
            "53100" => return Some(Self::Full),
            "25006" => return Some(Self::ReadOnly),
            "58030" | "XX001" | "XX002" => return Some(Self::Broken),
            _ => {}
        }
        // The low byte of SQLite's extended codes: FULL; READONLY; IOERR, CORRUPT, CANTOPEN, NOTADB.
        match code.parse::<u32>().ok()? & 0xff {
            13 => Some(Self::Full),
            8 => Some(Self::ReadOnly),
            10 | 11 | 14 | 26 => Some(Self::Broken),
            _ => None,
        }
    }
}

/// What was seen of the database last, by all who use it.
#[derive(Debug, Default)]
pub(super) struct Condition(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    refused: Option<(Instant, Refusal)>,
    written: Option<Instant>,
    /// Whether the last thing seen was a refusal: its beginning and its end are said once.
    refusing: bool,
}

impl Condition {
    /// Notes a refusal.
    pub(super) fn refuse(&self, refusal: Refusal) {
        let mut seen = self.seen();
        if !seen.refusing {
            tracing::warn!("the user store takes no writes: {refusal}");
        }
        seen.refusing = true;
        if seen
            .refused
            .is_none_or(|(at, _)| is_over(at, REFUSAL_BELIEVED))
        {
            seen.refused = Some((Instant::now(), refusal));
        }
    }

    /// Notes a write that is on the disk.
    pub(super) fn written(&self) {
        let mut seen = self.seen();
        if seen.refusing {
            tracing::info!("the user store takes writes again");
        }
        seen.refusing = false;
        seen.written = Some(Instant::now());
    }

    /// Whether writes are taken, as far as it was seen lately; `None` when a write has to tell.
    pub(super) fn believed(&self) -> Option<Result<(), Refusal>> {
        let seen = self.seen();
        match (seen.refused, seen.written) {
            (Some((at, refusal)), _) if !is_over(at, REFUSAL_BELIEVED) => Some(Err(refusal)),
            (_, Some(at)) if !seen.refusing && !is_over(at, WRITE_BELIEVED) => Some(Ok(())),
            _ => None,
        }
    }

    /// Whether a refusal was the last thing seen.
    pub(super) fn refuses(&self) -> bool {
        self.seen().refusing
    }

    /// Whether a connection of this age was open when the database refused a write last. It may lead
    /// to a server that was the primary once.
    pub(super) fn doubts(&self, age: Duration) -> bool {
        self.seen()
            .refused
            .is_some_and(|(at, _)| at.elapsed() < age)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing is left half done by a holder that panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(since: Instant, believed: Duration) -> bool {
    since.elapsed() >= believed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_after_a_refusal_makes_the_database_good_again() {
        let condition = Condition::default();
        assert_eq!(condition.believed(), None, "nothing was seen yet");
        condition.written();
        assert_eq!(condition.believed(), Some(Ok(())));
        condition.refuse(Refusal::Full);
        assert_eq!(condition.believed(), Some(Err(Refusal::Full)));
        let old = Instant::now().checked_sub(REFUSAL_BELIEVED);
        condition.seen().refused = old.map(|at| (at, Refusal::Full));
        assert_eq!(condition.believed(), None, "it has to be tried");
        condition.written();
        assert_eq!(condition.believed(), Some(Ok(())));
    }

    #[test]
    fn a_connection_that_was_open_at_a_refusal_is_in_doubt_and_a_later_one_is_not() {
        let condition = Condition::default();
        assert!(!condition.doubts(Duration::from_secs(60)));
        condition.refuse(Refusal::ReadOnly);
        assert!(condition.doubts(Duration::from_secs(60)));
        assert!(!condition.doubts(Duration::ZERO));
    }
}
