//! The revocations that are in force, as one replica holds them.

use std::collections::HashMap;

use super::{Claims, Entry, Revoked};

/// Parts of the set that are forgotten one at a time, and grow by themselves: a million entries are
/// never walked through, nor moved, while no verdict can be given.
pub(super) const PARTS: usize = 64;

/// Entries by what they name. Holds what was heard of until it can be forgotten, and nothing that
/// is heard later takes anything out before, but a watermark that refuses as much.
#[derive(Debug, Default)]
pub(super) struct Set {
    tokens: Parts<u64>,
    sessions: Parts<u64>,
    users: Parts<Vec<Watermark>>,
    /// At most one.
    all: Vec<Watermark>,
}

#[derive(Debug, PartialEq, Eq)]
struct Watermark {
    before: u64,
    /// Zero for none: no generation is earlier.
    generation: u64,
    except: Option<String>,
    until: u64,
}

/// A map by ids, in parts.
#[derive(Debug)]
struct Parts<V>(Vec<HashMap<Box<str>, V>>);

impl Set {
    /// Adds an entry; one that is there already changes nothing.
    pub(super) fn add(&mut self, entry: Entry) {
        let until = entry.until;
        let watermark = |before, generation: Option<u64>, except| Watermark {
            before,
            generation: generation.unwrap_or_default(),
            except,
            until,
        };
        match entry.revoked {
            Revoked::Token { id } => self.tokens.keep_longest(id, until),
            Revoked::Session { id } => self.sessions.keep_longest(id, until),
            Revoked::User {
                id,
                before,
                generation,
                except,
            } => {
                let watermarks = self.users.of(&id).entry(id.into()).or_default();
                raise(watermarks, watermark(before, generation, except));
            }
            Revoked::All { before, generation } => {
                raise(&mut self.all, watermark(before, generation, None));
            }
        }
    }

    /// Whether a token was revoked.
    pub(super) fn refuses(&self, token: Claims<'_>) -> bool {
        self.tokens.get(token.jti).is_some()
            || token
                .sid
                .is_some_and(|sid| self.sessions.get(sid).is_some())
            || self.all.iter().any(|watermark| watermark.refuses(token))
            || self
                .users
                .get(token.sub)
                .is_some_and(|watermarks| watermarks.iter().any(|one| one.refuses(token)))
    }

    /// Forgets of one part what names only tokens that are over.
    pub(super) fn forget(&mut self, part: usize, now: u64) {
        self.tokens.retain(part, |until| *until > now);
        self.sessions.retain(part, |until| *until > now);
        self.users.retain(part, |watermarks| {
            watermarks.retain(|watermark| watermark.until > now);
            !watermarks.is_empty()
        });
        self.all.retain(|watermark| watermark.until > now);
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        let watermarks = self.users.0.iter().flat_map(HashMap::values).map(Vec::len);
        self.tokens.len() + self.sessions.len() + watermarks.sum::<usize>() + self.all.len()
    }
}

impl Watermark {
    fn refuses(&self, token: Claims<'_>) -> bool {
        let is_before = token.iat <= self.before
            || token
                .generation
                .is_some_and(|generation| generation < self.generation);
        is_before && (self.except.is_none() || self.except.as_deref() != token.sid)
    }
}

/// Raises the watermark that spares the same login, or adds it.
fn raise(watermarks: &mut Vec<Watermark>, new: Watermark) {
    match watermarks.iter_mut().find(|one| one.except == new.except) {
        Some(known) => {
            known.before = known.before.max(new.before);
            known.generation = known.generation.max(new.generation);
            known.until = known.until.max(new.until);
        }
        None => watermarks.push(new),
    }
}

impl<V> Parts<V> {
    fn place(id: &str) -> usize {
        let bytes = id.bytes().rev().take(8);
        let sum = bytes.fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        sum % PARTS
    }

    fn of(&mut self, id: &str) -> &mut HashMap<Box<str>, V> {
        &mut self.0[Self::place(id)]
    }

    fn get(&self, id: &str) -> Option<&V> {
        self.0[Self::place(id)].get(id)
    }

    fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    fn retain(&mut self, part: usize, mut keep: impl FnMut(&mut V) -> bool) {
        let map = &mut self.0[part];
        map.retain(|_, value| keep(value));
        if map.capacity() > 4 * map.len() {
            map.shrink_to(2 * map.len());
        }
    }
}

impl Parts<u64> {
    fn keep_longest(&mut self, id: String, until: u64) {
        let known = self.of(&id).entry(id.into()).or_default();
        *known = until.max(*known);
    }
}

impl<V> Default for Parts<V> {
    fn default() -> Self {
        Self(std::iter::repeat_with(HashMap::new).take(PARTS).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[(Revoked, u64)]) -> Set {
        let mut set = Set::default();
        for (revoked, until) in entries {
            set.add(Entry {
                revoked: revoked.clone(),
                until: *until,
            });
        }
        set
    }

    fn forget(set: &mut Set, now: u64) {
        for part in 0..PARTS {
            set.forget(part, now);
        }
    }

    fn refuses(set: &Set, jti: &str, sid: Option<&str>, sub: &str, iat: u64) -> bool {
        set.refuses(Claims {
            jti,
            sid,
            sub,
            iat,
            generation: None,
        })
    }

    fn own(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_token_and_a_login_are_refused_by_name() {
        let set = set(&[
            (Revoked::Token { id: own("t") }, 9),
            (Revoked::Session { id: own("s") }, 9),
        ]);
        assert!(refuses(&set, "t", None, "u", 1));
        assert!(refuses(&set, "x", Some("s"), "u", 1));
        assert!(!refuses(&set, "x", Some("x"), "u", 1));
        assert!(
            !refuses(&set, "s", Some("t"), "u", 1),
            "names of one kind are not those of another"
        );
    }

    #[test]
    fn a_user_is_refused_up_to_the_watermark_but_for_the_spared_login() {
        let watermark = Revoked::User {
            id: own("u"),
            before: 5,
            generation: None,
            except: Some(own("here")),
        };
        let set = set(&[(watermark, 9)]);
        assert!(refuses(&set, "t", Some("there"), "u", 5));
        assert!(refuses(&set, "t", None, "u", 5));
        assert!(!refuses(&set, "t", Some("here"), "u", 5));
        assert!(!refuses(&set, "t", Some("there"), "u", 6));
        assert!(!refuses(&set, "t", Some("there"), "v", 5));
    }

    #[test]
    fn everything_is_refused_up_to_its_watermark() {
        let set = set(&[(
            Revoked::All {
                before: 5,
                generation: None,
            },
            9,
        )]);
        assert!(refuses(&set, "t", None, "u", 5));
        assert!(!refuses(&set, "t", None, "u", 6));
    }

    #[test]
    fn a_later_watermark_with_an_exception_does_not_lift_an_earlier_one_without() {
        let user = |before, except: Option<&str>| Revoked::User {
            id: own("u"),
            before,
            generation: None,
            except: except.map(own),
        };
        let set = set(&[(user(5, None), 9), (user(7, Some("here")), 9)]);
        assert!(refuses(&set, "t", Some("here"), "u", 5));
        assert!(!refuses(&set, "t", Some("here"), "u", 6));
        assert!(refuses(&set, "t", Some("there"), "u", 7));
    }

    #[test]
    fn what_can_be_forgotten_takes_no_room() {
        let mut set = set(&[
            (Revoked::Token { id: own("t") }, 9),
            (Revoked::Token { id: own("t") }, 5),
            (Revoked::Session { id: own("s") }, 8),
            (
                Revoked::User {
                    id: own("u"),
                    before: 5,
                    generation: None,
                    except: None,
                },
                8,
            ),
            (
                Revoked::All {
                    before: 5,
                    generation: None,
                },
                8,
            ),
        ]);
        assert_eq!(set.len(), 4);
        forget(&mut set, 8);
        assert_eq!(
            set.len(),
            1,
            "the same entry is kept for the longer of two times"
        );
        assert!(refuses(&set, "t", None, "u", 1));
        forget(&mut set, 9);
        assert_eq!(set.len(), 0);
    }

    #[test]
    fn watermarks_of_one_user_are_one_entry_for_each_login_that_they_spare() {
        let user = |before, except: Option<&str>| Revoked::User {
            id: own("u"),
            before,
            generation: None,
            except: except.map(own),
        };
        let ends: Vec<_> = (1..=100).map(|before| (user(before, None), 9)).collect();
        let mut set = set(&ends);
        set.add(Entry {
            revoked: user(7, None),
            until: 8,
        });
        set.add(Entry {
            revoked: user(7, Some("here")),
            until: 9,
        });
        assert_eq!(set.len(), 2);
        assert!(refuses(&set, "t", Some("here"), "u", 100));
        assert!(!refuses(&set, "t", Some("here"), "u", 101));
    }

    #[test]
    fn what_was_issued_in_an_earlier_generation_is_refused_whatever_its_time() {
        let user = Revoked::User {
            id: own("u"),
            before: 5,
            generation: Some(70),
            except: Some(own("here")),
        };
        let all = Revoked::All {
            before: 4,
            generation: Some(60),
        };
        let set = set(&[(user, 9), (all, 9)]);
        let token = |sub, sid, generation| Claims {
            jti: "t",
            sid: Some(sid),
            sub,
            iat: 8,
            generation,
        };
        for (token, refused) in [
            (token("u", "there", Some(69)), true),
            (token("u", "there", Some(70)), false),
            (token("u", "there", None), false),
            (token("u", "here", Some(69)), false),
            (token("u", "here", Some(59)), true),
            (token("v", "there", Some(59)), true),
            (token("v", "there", Some(60)), false),
        ] {
            assert_eq!(set.refuses(token), refused, "{token:?}");
        }
    }
}
