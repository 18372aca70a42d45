//! A part of a list, and where the next one begins.

use std::cmp::Reverse;

use super::ListedLogin;
use crate::http::error::Error;

/// Logins of a page, when the caller does not say how many.
const USUAL: usize = 50;
/// Logins of a page at most.
const MOST: usize = 100;

/// What a caller asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    limit: usize,
    /// The time and the id of the last login of the page before.
    after: Option<(u64, String)>,
}

impl Page {
    /// Reads the parameters `limit` and `after`; others are not looked at.
    pub(super) fn read(query: &str) -> Result<Self, Error> {
        let mut page = Self {
            limit: USUAL,
            after: None,
        };
        let mut faults = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => match value.parse() {
                    Ok(limit) if (1..=MOST).contains(&limit) => page.limit = limit,
                    _ => faults.push(format!("limit: must be 1 to {MOST}")),
                },
                "after" => match place(&value) {
                    Some(after) => page.after = Some(after),
                    None => faults.push("after: must be what `next` said".to_owned()),
                },
                _ => {}
            }
        }
        if faults.is_empty() {
            Ok(page)
        } else {
            Err(Error::Faulty(faults))
        }
    }

    /// The page of these logins, and what to ask for to get the next one.
    pub(super) fn of(&self, mut logins: Vec<ListedLogin>) -> (Vec<ListedLogin>, Option<String>) {
        // By id where the times are the same, so that a page ends where the next one begins.
        logins.sort_by(|one, other| order(one).cmp(&order(other)));
        if let Some((created_at, id)) = &self.after {
            let after = (Reverse(*created_at), id.as_str());
            logins.retain(|login| order(login) > after);
        }
        let more = logins.len() > self.limit;
        logins.truncate(self.limit);
        let last = logins.last().filter(|_| more);
        let next = last.map(|login| format!("{}.{}", login.created_at, login.id));
        (logins, next)
    }
}

fn order(login: &ListedLogin) -> (Reverse<u64>, &str) {
    (Reverse(login.created_at), &login.id)
}

fn place(text: &str) -> Option<(u64, String)> {
    let (created_at, id) = text.split_once('.')?;
    Some((created_at.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::login::sessions::LoginKind;

    fn login(created_at: u64, id: &str) -> ListedLogin {
        ListedLogin {
            id: id.to_owned(),
            kind: LoginKind::Token,
            client_id: String::new(),
            created_at,
            last_seen: created_at,
            expires_at: created_at + 9,
            current: false,
        }
    }

    #[test]
    fn pages_hold_every_login_once_also_those_of_the_same_second() {
        let all = || {
            let logins = [(5, "b"), (7, "x"), (5, "a"), (5, "c"), (9, "y")];
            logins.map(|(at, id)| login(at, id)).to_vec()
        };
        let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
        for _ in 0..3 {
            let (page, next) = Page::read(&query).unwrap().of(all());
            seen.extend(page.into_iter().map(|login| login.id));
            let Some(next) = next else { break };
            query = format!("limit=2&after={next}");
        }
        assert_eq!(seen, ["y", "x", "a", "b", "c"]);
    }

    #[test]
    fn a_page_goes_on_where_a_login_was_that_has_ended() {
        let page = Page::read("after=7.gone").unwrap();
        let (page, next) = page.of(vec![login(9, "a"), login(7, "h"), login(5, "b")]);
        let ids: Vec<_> = page.iter().map(|login| login.id.as_str()).collect();
        assert_eq!(ids, ["h", "b"]);
        assert_eq!(next, None);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for query in [
            "limit=0",
            "limit=101",
            "limit=",
            "limit=x",
            "after=",
            "after=x.a",
            "after=5",
        ] {
            assert!(
                matches!(Page::read(query), Err(Error::Faulty(_))),
                "{query}"
            );
        }
        assert_eq!(
            Page::read("").unwrap(),
            Page::read("limit=50&other=1").unwrap()
        );
    }
}
