//! Active answers that are kept for a short time, when configured: as long as they are, an end of
//! the session is not noticed.

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    rc::Rc,
    time::{Duration, Instant},
};

use lru::LruCache;
use shared::session::SessionId;

use crate::extract::Principal;

/// The most answers that a thread keeps.
const LIMIT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The answers of one thread.
pub(super) struct KnownActive {
    answers: RefCell<LruCache<String, Known>>,
    keep: Duration,
}

struct Known {
    principal: Rc<Principal>,
    since: Instant,
}

impl KnownActive {
    /// `None` when nothing is to be kept.
    pub(super) fn new(keep: Duration) -> Option<Self> {
        (!keep.is_zero()).then(|| Self {
            answers: RefCell::new(LruCache::new(LIMIT)),
            keep,
        })
    }

    /// Whose the id was, if that was said not too long ago and its end is not reached at `now`.
    pub(super) fn find(&self, id: &SessionId, now: u64) -> Option<Rc<Principal>> {
        let mut answers = self.answers.borrow_mut();
        let known = answers.get(id.expose())?;
        if known.since.elapsed() < self.keep && now < known.principal.expires_at {
            return Some(Rc::clone(&known.principal));
        }
        answers.pop(id.expose());
        None
    }

    /// Keeps an answer to a call that was made at `now`.
    pub(super) fn insert(&self, id: &SessionId, principal: &Rc<Principal>, now: u64) {
        if now < principal.expires_at {
            let known = Known {
                principal: Rc::clone(principal),
                since: Instant::now(),
            };
            self.answers.borrow_mut().put(id.expose().to_owned(), known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(expires_at: u64) -> Rc<Principal> {
        Rc::new(Principal {
            subject: "u".to_owned(),
            username: "ada".to_owned(),
            roles: Vec::new(),
            sid: None,
            issued_at: 0,
            expires_at,
            token_id: None,
        })
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_never_past_the_end_of_the_session() {
        let id = SessionId::generate();
        let known = KnownActive::new(Duration::from_secs(3_600)).unwrap();
        known.insert(&id, &principal(100), 100);
        assert!(known.find(&id, 99).is_none(), "kept from its end on");
        known.insert(&id, &principal(100), 50);
        assert!(known.find(&id, 99).is_some());
        assert!(known.find(&id, 100).is_none());
        assert!(known.find(&id, 99).is_none(), "it is still there");

        let brief = KnownActive::new(Duration::from_nanos(1)).unwrap();
        brief.insert(&id, &principal(100), 50);
        assert!(brief.find(&id, 50).is_none());
        assert!(KnownActive::new(Duration::ZERO).is_none());
    }
}
