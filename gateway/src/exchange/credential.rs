//! Finding the opaque id in a request, and putting a token in its place. The rules are those of the
//! API's session strategies, so that the two never mean different credentials.

use http::{
    HeaderMap, HeaderValue, Method,
    header::{self, AsHeaderName},
};
use shared::{
    credential::{self, SESSION_COOKIE},
    cross_site,
};

use crate::problem::Refusal;

/// 32 bytes as base64url without padding (RFC 4648 §5).
const PLAIN_LENGTH: usize = 43;
/// The same behind two letters that say where the session is.
const TAGGED_LENGTH: usize = PLAIN_LENGTH + 2;

/// An opaque session id. Whether it names a session, only the token endpoint can tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OpaqueId {
    /// Behind its letters are zeros.
    letters: [u8; TAGGED_LENGTH],
    length: usize,
}

impl std::fmt::Debug for OpaqueId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl OpaqueId {
    /// Reads an id; `None` when the text has not the form of one.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if !matches!(text.len(), PLAIN_LENGTH | TAGGED_LENGTH) {
            return None;
        }
        let in_alphabet = text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        // The last character holds four bits of the 256; its other two are zero in the only
        // spelling that the services accept.
        let ends_well = b"AEIMQUYcgkosw048".contains(text.last()?);
        if !in_alphabet || !ends_well {
            return None;
        }
        let mut letters = [0; TAGGED_LENGTH];
        letters[..text.len()].copy_from_slice(text);
        Some(Self {
            letters,
            length: text.len(),
        })
    }

    /// The credential itself, for the token endpoint.
    pub(super) fn expose(&self) -> &str {
        // Only ASCII passes `parse`.
        std::str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }

    /// One of `parts` numbers from 0, evenly for random ids. Who chooses ids gains nothing: only
    /// those that the token endpoint knows are kept.
    pub(super) fn part(&self, parts: usize) -> usize {
        let sum = self.letters.iter().fold(0, |sum: usize, byte| {
            sum.wrapping_mul(33).wrapping_add(usize::from(*byte))
        });
        sum % parts
    }
}

/// The id that a request presents: a bearer of the right form, otherwise the cookie. `None` for a
/// request that the API is to judge as it is: no credential, another one, or an ambiguous one (two
/// `Authorization` headers, session cookies that differ).
///
/// # Errors
///
/// Another site had the cookie sent to change something. Behind us nobody could tell: the API sees a
/// token in a header.
pub(super) fn find(method: &Method, headers: &HeaderMap) -> Result<Option<OpaqueId>, Refusal> {
    let Some((id, by_cookie)) = presented(headers) else {
        return Ok(None);
    };
    if by_cookie && cross_site::is_forged(method.as_str(), |name| lines(headers, name)) {
        return Err(Refusal::CrossSite);
    }
    Ok(Some(id))
}

/// The id, and whether it is that of the cookie.
fn presented(headers: &HeaderMap) -> Option<(OpaqueId, bool)> {
    let bearer = credential::bearer(lines(headers, header::AUTHORIZATION)).ok()?;
    if let Some(id) = bearer.and_then(|token| OpaqueId::parse(token.as_bytes())) {
        return Some((id, false));
    }
    let cookie = credential::cookie(lines(headers, header::COOKIE), SESSION_COOKIE).ok()?;
    OpaqueId::parse(cookie?.as_bytes()).map(|id| (id, true))
}

fn lines(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// Makes `authorization` the only credential of a request: it takes the place of the header, and
/// the session cookie goes; other cookies stay.
pub(super) fn replace(headers: &mut HeaderMap, authorization: HeaderValue) {
    headers.insert(header::AUTHORIZATION, authorization);
    let has_session = |value: &HeaderValue| {
        let mut cookies = value.as_bytes().split(|byte| *byte == b';');
        cookies.any(is_session)
    };
    if !headers.get_all(header::COOKIE).iter().any(has_session) {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(without_session)
        .collect();
    headers.remove(header::COOKIE);
    for value in kept {
        headers.append(header::COOKIE, value);
    }
}

/// Names are case-sensitive.
fn is_session(cookie: &[u8]) -> bool {
    cookie
        .trim_ascii()
        .strip_prefix(SESSION_COOKIE.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"="))
}

/// A `Cookie` header without the session's cookies; `None` when nothing is left.
fn without_session(value: &HeaderValue) -> Option<HeaderValue> {
    let others: Vec<&[u8]> = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .filter(|cookie| !is_session(cookie))
        .map(<[u8]>::trim_ascii)
        .filter(|cookie| !cookie.is_empty())
        .collect();
    if others.is_empty() {
        return None;
    }
    // Parts of a header's value are a header's value.
    HeaderValue::from_bytes(&others.join(&b"; "[..])).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const OTHER: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBE";
    const TAGGED: &str = "x_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn found(lines: &[(&'static str, &str)]) -> Option<String> {
        find(&Method::GET, &map(lines))
            .unwrap()
            .map(|id| id.expose().to_owned())
    }

    #[test]
    fn a_bearer_of_the_form_of_an_id_goes_before_the_cookie() {
        let bearer = format!("bEaReR  {ID} ");
        let cookie = format!("theme=dark;__Host-sid={OTHER}; a=b");
        assert_eq!(
            found(&[("authorization", &bearer), ("cookie", &cookie)]).as_deref(),
            Some(ID)
        );
        let tagged = format!("Bearer {TAGGED}");
        assert_eq!(
            found(&[("authorization", &tagged), ("cookie", &cookie)]).as_deref(),
            Some(TAGGED)
        );
        for stray in ["Bearer a.b.c", "Bearer ", "Bearer", "Basic YTpi"] {
            assert_eq!(
                found(&[("authorization", stray), ("cookie", &cookie)]).as_deref(),
                Some(OTHER),
                "{stray}"
            );
        }
    }

    #[test]
    fn what_is_ambiguous_or_of_another_form_is_left_to_the_api() {
        let bearer = format!("Bearer {ID}");
        let [one, other] = [ID, OTHER].map(|id| format!("__Host-sid={id}"));
        let odd = format!("Bearer {}B", &ID[..42]);
        let [longer, odder] = [
            format!("Bearer A{ID}"),
            format!("Bearer {}B", &TAGGED[..44]),
        ];
        for lines in [
            &[("authorization", bearer.as_str()), ("authorization", "x")][..],
            &[("authorization", "Bearer a.b.c")],
            &[("authorization", &odd)],
            &[("authorization", &longer)],
            &[("authorization", &odder)],
            &[("authorization", ID)],
            &[("cookie", &one), ("cookie", &other)],
            &[("cookie", &one.to_ascii_lowercase())],
            &[("cookie", "__Host-sid=")],
            &[],
        ] {
            assert_eq!(found(lines), None, "{lines:?}");
        }
        assert_eq!(
            found(&[("cookie", &one), ("cookie", &one)]).as_deref(),
            Some(ID),
            "equal ones are one"
        );
    }

    #[test]
    fn the_token_takes_the_place_of_every_copy_of_the_id() {
        let bearer = format!("Bearer {ID}");
        let cookies = format!("a=1; __Host-sid={ID};b=2;");
        let alone = format!("__Host-sid={ID}");
        let mut headers = map(&[
            ("authorization", &bearer),
            ("cookie", &cookies),
            ("cookie", &alone),
            ("cookie", "c=3"),
        ]);
        replace(&mut headers, HeaderValue::from_static("Bearer t"));
        let all = |name: &str| -> Vec<String> {
            headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(all("authorization"), ["Bearer t"]);
        assert_eq!(all("cookie"), ["a=1; b=2", "c=3"]);
    }

    #[test]
    fn an_id_does_not_show_in_debug_output() {
        let id = OpaqueId::parse(ID.as_bytes()).unwrap();
        assert_eq!(format!("{id:?}"), "[secret]");
    }

    proptest! {
        #[test]
        fn after_a_replacement_no_id_is_left_to_find(
            bearer in "(Bearer )?[A-Za-z0-9. _-]{0,50}",
            cookies in prop::collection::vec("(__Host-sid=|x=|;| )?[A-Za-z0-9;= _-]{0,50}", 0..4),
        ) {
            let mut headers = map(&[("authorization", &bearer)]);
            for cookie in &cookies {
                headers.append("cookie", HeaderValue::try_from(cookie).unwrap());
            }
            replace(&mut headers, HeaderValue::from_static("Bearer a.b.c"));
            prop_assert!(presented(&headers).is_none());
        }
    }
}
