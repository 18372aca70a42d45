//! Active answers that are kept for a short time, when configured: as long as they are, an end of
//! the session is not noticed.

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    rc::Rc,
    time::{Duration, Instant},
};

use crate::auth::Principal;
use lru::LruCache;

/// The most answers that a thread keeps.
const LIMIT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// An answer about a longer credential is not kept, so that a thread keeps 20 MB at most.
const CREDENTIAL_LIMIT_BYTES: usize = 2 * 1024;

/// The answers of one thread.
pub(super) struct KeptAnswers {
    answers: RefCell<LruCache<String, Kept>>,
    keep: Duration,
}

struct Kept {
    principal: Rc<Principal>,
    since: Instant,
}

impl KeptAnswers {
    /// `None` when nothing is to be kept.
    pub(super) fn new(keep: Duration) -> Option<Self> {
        (!keep.is_zero()).then(|| Self {
            answers: RefCell::new(LruCache::new(LIMIT)),
            keep,
        })
    }

    /// Whose the credential was, if that was said not too long ago and its end is not reached at `now`.
    pub(super) fn find(&self, credential: &str, now: u64) -> Option<Rc<Principal>> {
        let mut answers = self.answers.borrow_mut();
        let kept = answers.get(credential)?;
        if kept.since.elapsed() < self.keep && is_before_end(&kept.principal, now) {
            return Some(Rc::clone(&kept.principal));
        }
        answers.pop(credential);
        None
    }

    /// Keeps an answer to a call that was made at `now`.
    pub(super) fn insert(&self, credential: &str, principal: &Rc<Principal>, now: u64) {
        if is_before_end(principal, now) && credential.len() <= CREDENTIAL_LIMIT_BYTES {
            let kept = Kept {
                principal: Rc::clone(principal),
                since: Instant::now(),
            };
            self.answers.borrow_mut().put(credential.to_owned(), kept);
        }
    }
}

/// What has no end that anybody knows of is kept for its time only.
fn is_before_end(principal: &Principal, now: u64) -> bool {
    principal.expires_at.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(expires_at: impl Into<Option<u64>>) -> Rc<Principal> {
        Rc::new(Principal {
            subject: "u".to_owned(),
            username: "ada".to_owned(),
            issuer: None,
            roles: Vec::new(),
            sid: None,
            issued_at: 0,
            generation: None,
            expires_at: expires_at.into(),
            token_id: None,
        })
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_never_past_the_end_of_the_session() {
        let id = "a.b~c/d==";
        let kept = KeptAnswers::new(Duration::from_secs(3_600)).unwrap();
        kept.insert(id, &principal(100), 100);
        assert!(kept.find(id, 99).is_none(), "kept from its end on");
        kept.insert(id, &principal(100), 50);
        assert!(kept.find(id, 99).is_some());
        assert!(kept.find(id, 100).is_none());
        assert!(kept.find(id, 99).is_none(), "it is still there");

        let long = "a".repeat(CREDENTIAL_LIMIT_BYTES + 1);
        kept.insert(&long, &principal(100), 50);
        assert!(kept.find(&long, 50).is_none());
        kept.insert(id, &principal(None), 50);
        assert!(kept.find(id, u64::MAX).is_some());

        let brief = KeptAnswers::new(Duration::from_nanos(1)).unwrap();
        brief.insert(id, &principal(100), 50);
        assert!(brief.find(id, 50).is_none());
        assert!(KeptAnswers::new(Duration::ZERO).is_none());
    }
}
