//! The remembered signature: tokens that were verified before are not verified again, only looked
//! at again.
//!
//! What is remembered is that a signature was good, which stays true; whatever can change is checked
//! on every hit: the times against the clock, and the key against the issuer's current set. A token
//! is found by all of its bytes, so one that differs in any is another token. Refusals are not
//! remembered: they would be an attacker's to fill the memory with.
//!
//! The hash that finds a token is fast and not cryptographic. Only tokens that the issuer signed
//! get in, so nobody can choose colliding ones.

use std::{cell::RefCell, num::NonZeroUsize, rc::Rc, sync::Arc};

use lru::LruCache;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use shared::{
    telemetry::metrics::Metrics,
    token::{AccessClaims, AccessTokenProfile, KeySet, TokenError, unverified_kid},
};

use crate::auth::Principal;

/// The verified tokens of one worker thread, the least recently used of which goes first.
pub(super) struct Remembered {
    inner: RefCell<Inner>,
    events: Events,
}

struct Inner {
    tokens: LruCache<Box<str>, Entry>,
    /// The set whose keys every entry was, or still is, verified by.
    keys: Arc<KeySet>,
}

struct Entry {
    kid: String,
    claims: AccessClaims,
    principal: Rc<Principal>,
}

impl Remembered {
    pub(super) fn new(capacity: NonZeroUsize, events: Events) -> Self {
        Self {
            inner: RefCell::new(Inner {
                tokens: LruCache::new(capacity),
                keys: Arc::default(),
            }),
            events,
        }
    }

    /// Whom a token names that was verified before, if it holds at `now` too; `None` when it has to
    /// be verified.
    pub(super) fn find(
        &self,
        token: &str,
        profile: &AccessTokenProfile,
        keys: &Arc<KeySet>,
        now: u64,
    ) -> Option<Result<Rc<Principal>, TokenError>> {
        let mut inner = self.inner.borrow_mut();
        inner.follow(keys, &self.events);
        let Some(entry) = inner.tokens.get(token) else {
            self.events.misses.inc();
            return None;
        };
        self.events.hits.inc();
        Some(match profile.check(&entry.claims, now) {
            Ok(()) => Ok(Rc::clone(&entry.principal)),
            Err(error) => {
                if error == TokenError::Expired {
                    inner.tokens.pop(token);
                    self.events.expired.inc();
                }
                Err(error)
            }
        })
    }

    /// Remembers a token that was just verified by a key of `keys`.
    pub(super) fn insert(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        claims: AccessClaims,
        principal: &Rc<Principal>,
    ) {
        let Ok(kid) = unverified_kid(token) else {
            return;
        };
        let mut inner = self.inner.borrow_mut();
        inner.follow(keys, &self.events);
        let entry = Entry {
            kid,
            claims,
            principal: Rc::clone(principal),
        };
        if let Some((old, _)) = inner.tokens.push(token.into(), entry)
            && *old != *token
        {
            self.events.evicted.inc();
        }
    }
}

impl Inner {
    /// Forgets what was verified by keys that `keys` has no longer, or has differently.
    fn follow(&mut self, keys: &Arc<KeySet>, events: &Events) {
        if Arc::ptr_eq(&self.keys, keys) {
            return;
        }
        let gone = self.keys.missing_in(keys);
        if !gone.is_empty() {
            let lost: Vec<Box<str>> = self
                .tokens
                .iter()
                .filter(|(_, entry)| gone.contains(&entry.kid.as_str()))
                .map(|(token, _)| token.clone())
                .collect();
            for token in lost {
                self.tokens.pop(&token);
                events.key_gone.inc();
            }
        }
        self.keys = Arc::clone(keys);
    }
}

/// What happens to remembered tokens, counted; clones count together.
#[derive(Clone)]
pub(super) struct Events {
    hits: Counter,
    misses: Counter,
    evicted: Counter,
    expired: Counter,
    key_gone: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Event {
    event: &'static str,
}

impl Events {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let family = Family::<Event, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "statewise_remembered_tokens",
                "Look-ups of verified tokens in memory (hit, miss), and entries that left it",
                family.clone(),
            );
        });
        let counter = |event| family.get_or_create_owned(&Event { event });
        Self {
            hits: counter("hit"),
            misses: counter("miss"),
            evicted: counter("evicted"),
            expired: counter("expired"),
            key_gone: counter("key_gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use shared::{
        telemetry::Identity,
        token::{RolesClaim, TokenAlgorithms, TokenTypes},
    };
    use testkit::signer::{AUDIENCE, ISSUER, Signer, claims};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn profile() -> AccessTokenProfile {
        AccessTokenProfile {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(86_400),
            types: TokenTypes::default(),
            algorithms: TokenAlgorithms::default(),
            roles: RolesClaim::default(),
        }
    }

    fn keys(signer: &Signer) -> Arc<KeySet> {
        Arc::new(KeySet::from_jwks(signer.jwks().as_bytes()).unwrap())
    }

    fn remembered(capacity: usize) -> Remembered {
        let identity = Identity {
            service: "test".into(),
            version: "0",
            instance: String::new(),
        };
        let events = Events::register(&Metrics::new(&identity));
        Remembered::new(NonZeroUsize::new(capacity).unwrap(), events)
    }

    fn remember(memory: &Remembered, token: &str, keys: &Arc<KeySet>) {
        let claims: AccessClaims = profile().verify(token, keys, NOW).unwrap();
        let principal = Rc::new(claims.clone().into());
        memory.insert(token, keys, claims, &principal);
    }

    fn good(signer: &Signer, name: &str) -> String {
        let mut claims = claims(NOW, &["user"]);
        claims["sub"] = name.into();
        signer.sign(&claims)
    }

    #[test]
    fn the_times_are_checked_on_every_hit_with_the_leeway_of_the_profile() {
        let signer = Signer::eddsa("k1");
        let (memory, keys, token) = (remembered(9), keys(&signer), good(&signer, "u"));
        remember(&memory, &token, &keys);
        let find = |now| memory.find(&token, &profile(), &keys, now);
        assert!(matches!(find(NOW + 929), Some(Ok(_))));
        assert!(matches!(find(NOW - 31), Some(Err(TokenError::IssuedAhead))));
        assert!(matches!(find(NOW + 930), Some(Err(TokenError::Expired))));
        assert!(find(NOW).is_none(), "an expired token is kept");
        assert_eq!(memory.events.expired.get(), 1);
    }

    #[test]
    fn a_key_that_left_the_set_or_changed_takes_its_tokens_along_at_once() {
        let (old, new) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
        let impostor = Signer::eddsa("k1");
        let token = good(&old, "u");
        for later in [&new, &impostor] {
            let memory = remembered(9);
            remember(&memory, &token, &keys(&old));
            let later = keys(later);
            assert!(memory.find(&token, &profile(), &later, NOW).is_none());
            // It does not come back with the key: it has to be verified again.
            assert!(memory.find(&token, &profile(), &keys(&old), NOW).is_none());
            assert_eq!(memory.events.key_gone.get(), 1);
        }
    }

    #[test]
    fn a_set_that_is_fetched_again_with_the_same_key_takes_nothing_along() {
        let signer = Signer::eddsa("k1");
        let (memory, token) = (remembered(9), good(&signer, "u"));
        remember(&memory, &token, &keys(&signer));
        let again = keys(&signer);
        assert!(memory.find(&token, &profile(), &again, NOW).is_some());
    }

    #[test]
    fn the_memory_is_bounded_and_the_least_recently_used_goes_first() {
        let signer = Signer::eddsa("k1");
        let (memory, keys) = (remembered(2), keys(&signer));
        let tokens = ["a", "b", "c"].map(|name| good(&signer, name));
        let find = |token: &str| memory.find(token, &profile(), &keys, NOW).is_some();
        remember(&memory, &tokens[0], &keys);
        remember(&memory, &tokens[1], &keys);
        assert!(find(&tokens[0]));
        remember(&memory, &tokens[2], &keys);
        assert!(find(&tokens[0]) && !find(&tokens[1]) && find(&tokens[2]));
        assert_eq!(memory.events.evicted.get(), 1);
    }

    proptest! {
        #[test]
        fn a_token_with_one_byte_changed_is_never_found(place in 0_usize.., byte in 33_u8..127) {
            let signer = Signer::eddsa("k1");
            let (memory, keys) = (remembered(9), keys(&signer));
            let token = good(&signer, "u");
            remember(&memory, &token, &keys);
            let mut changed = token.clone().into_bytes();
            let place = place % changed.len();
            changed[place] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let found = memory.find(&changed, &profile(), &keys, NOW);
            prop_assert_eq!(found.is_some(), changed == token);
            prop_assert_eq!(profile().verify(&changed, &keys, NOW).is_ok(), changed == token);
        }
    }
}
