//! The revocations that are in force, as one replica holds them.

use std::collections::{HashMap, HashSet};

use super::{Entry, Revoked};

/// Entries by what they name. Holds what was heard of until it can be forgotten, and nothing that
/// is heard later takes anything out before.
#[derive(Debug, Default)]
pub(super) struct Set {
    tokens: HashMap<String, u64>,
    sessions: HashMap<String, u64>,
    users: HashMap<String, HashSet<Watermark>>,
    all: HashSet<(u64, u64)>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Watermark {
    before: u64,
    except: Option<String>,
    until: u64,
}

impl Set {
    /// Adds an entry; one that is there already changes nothing.
    pub(super) fn add(&mut self, entry: Entry) {
        let until = entry.until;
        match entry.revoked {
            Revoked::Token { id } => keep_longest(&mut self.tokens, id, until),
            Revoked::Session { id } => keep_longest(&mut self.sessions, id, until),
            Revoked::User { id, before, except } => {
                let watermark = Watermark {
                    before,
                    except,
                    until,
                };
                self.users.entry(id).or_default().insert(watermark);
            }
            Revoked::All { before } => {
                self.all.insert((before, until));
            }
        }
    }

    /// Whether a token was revoked.
    pub(super) fn refuses(&self, jti: &str, sid: Option<&str>, sub: &str, iat: u64) -> bool {
        self.tokens.contains_key(jti)
            || sid.is_some_and(|sid| self.sessions.contains_key(sid))
            || self.all.iter().any(|(before, _)| iat <= *before)
            || self.users.get(sub).is_some_and(|watermarks| {
                watermarks.iter().any(|watermark| {
                    iat <= watermark.before
                        && (watermark.except.is_none() || watermark.except.as_deref() != sid)
                })
            })
    }

    /// Forgets what names only tokens that are over.
    pub(super) fn forget(&mut self, now: u64) {
        self.tokens.retain(|_, until| *until > now);
        self.sessions.retain(|_, until| *until > now);
        self.users.retain(|_, watermarks| {
            watermarks.retain(|watermark| watermark.until > now);
            !watermarks.is_empty()
        });
        self.all.retain(|(_, until)| *until > now);
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        let watermarks: usize = self.users.values().map(HashSet::len).sum();
        self.tokens.len() + self.sessions.len() + watermarks + self.all.len()
    }
}

fn keep_longest(map: &mut HashMap<String, u64>, id: String, until: u64) {
    let known = map.entry(id).or_default();
    *known = until.max(*known);
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

    fn own(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_token_and_a_login_are_refused_by_name() {
        let set = set(&[
            (Revoked::Token { id: own("t") }, 9),
            (Revoked::Session { id: own("s") }, 9),
        ]);
        assert!(set.refuses("t", None, "u", 1));
        assert!(set.refuses("x", Some("s"), "u", 1));
        assert!(!set.refuses("x", Some("x"), "u", 1));
        assert!(
            !set.refuses("s", Some("t"), "u", 1),
            "names of one kind are not those of another"
        );
    }

    #[test]
    fn a_user_is_refused_up_to_the_watermark_but_for_the_spared_login() {
        let watermark = Revoked::User {
            id: own("u"),
            before: 5,
            except: Some(own("here")),
        };
        let set = set(&[(watermark, 9)]);
        assert!(set.refuses("t", Some("there"), "u", 5));
        assert!(set.refuses("t", None, "u", 5));
        assert!(!set.refuses("t", Some("here"), "u", 5));
        assert!(!set.refuses("t", Some("there"), "u", 6));
        assert!(!set.refuses("t", Some("there"), "v", 5));
    }

    #[test]
    fn everything_is_refused_up_to_its_watermark() {
        let set = set(&[(Revoked::All { before: 5 }, 9)]);
        assert!(set.refuses("t", None, "u", 5));
        assert!(!set.refuses("t", None, "u", 6));
    }

    #[test]
    fn a_later_watermark_with_an_exception_does_not_lift_an_earlier_one_without() {
        let user = |before, except: Option<&str>| Revoked::User {
            id: own("u"),
            before,
            except: except.map(own),
        };
        let set = set(&[(user(5, None), 9), (user(7, Some("here")), 9)]);
        assert!(set.refuses("t", Some("here"), "u", 5));
        assert!(!set.refuses("t", Some("here"), "u", 6));
        assert!(set.refuses("t", Some("there"), "u", 7));
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
                    except: None,
                },
                8,
            ),
            (Revoked::All { before: 5 }, 8),
        ]);
        assert_eq!(set.len(), 4);
        set.forget(8);
        assert_eq!(
            set.len(),
            1,
            "the same entry is kept for the longer of two times"
        );
        assert!(set.refuses("t", None, "u", 1));
        set.forget(9);
        assert_eq!(set.len(), 0);
    }
}
