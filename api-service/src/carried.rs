//! How a sealed state travels: a browser carries it in a cookie, any other client in a header.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time},
};

use crate::{credential, keep::KeepError};

/// Header in both directions, for clients that keep no cookies.
pub(crate) const HEADER: &str = "statewise-state";
/// The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain` (RFC 6265bis §4.1.3.2).
const COOKIE: &str = "__Host-cart";

/// A state that a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Carried<'a> {
    /// The sealed state that the client carries; a browser sends it as the cookie __Host-cart
    #[param(rename = "Statewise-State", value_type = String, required = false)]
    pub(crate) text: &'a str,
    /// Whether the cookie is one of its ways.
    #[param(ignore)]
    pub(crate) by_cookie: bool,
}

/// The state of a request.
///
/// # Errors
///
/// There are several that differ: which one is meant cannot be known.
pub(crate) fn find(request: &HttpRequest) -> Result<Option<Carried<'_>>, KeepError> {
    let cookie = credential::cookie(request, COOKIE).map_err(|_| KeepError::Ambiguous)?;
    let mut found = cookie;
    for value in request.headers().get_all(HEADER) {
        let text = credential::text(value.as_bytes());
        if found.is_some_and(|known| known != text) {
            return Err(KeepError::Ambiguous);
        }
        found = Some(text);
    }
    Ok(found.map(|text| Carried {
        text,
        by_cookie: cookie.is_some(),
    }))
}

/// The cookie that makes a browser carry a state for so long.
pub(crate) fn cookie(state: String, kept: Duration) -> Cookie<'static> {
    let seconds = i64::try_from(kept.as_secs()).unwrap_or(i64::MAX);
    build(state, time::Duration::seconds(seconds))
}

/// The cookie that makes a browser forget its state.
pub(crate) fn expired() -> Cookie<'static> {
    build(String::new(), time::Duration::ZERO)
}

fn build(value: String, max_age: time::Duration) -> Cookie<'static> {
    Cookie::build(COOKIE, value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(max_age)
        .finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::state::SEALED_LIMIT_BYTES;

    #[test]
    fn the_longest_state_makes_a_cookie_that_every_client_keeps() {
        let century = Duration::from_secs(100 * 366 * 24 * 3_600);
        let whole = cookie("x".repeat(SEALED_LIMIT_BYTES), century).to_string();
        assert!(whole.len() <= 4_096, "{}", whole.len());
        assert!(whole.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3162240000"));
    }

    #[test]
    fn a_state_comes_by_cookie_or_by_header_and_by_both_when_they_are_equal() {
        let found = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default();
            for header in headers {
                request = request.append_header(*header);
            }
            let request = request.to_http_request();
            find(&request).map(|found| found.map(|one| (one.text.to_owned(), one.by_cookie)))
        };
        let by = |text: &str, by_cookie| Ok(Some((text.to_owned(), by_cookie)));
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[(HEADER, "a")]), by("a", false));
        assert_eq!(found(&[("cookie", "x=1; __Host-cart=a")]), by("a", true));
        assert_eq!(
            found(&[("cookie", "__Host-cart=a"), (HEADER, "a")]),
            by("a", true)
        );
        for two in [
            [("cookie", "__Host-cart=a"), (HEADER, "b")],
            [(HEADER, "a"), (HEADER, "b")],
            [("cookie", "__Host-cart=a"), ("cookie", "__Host-cart=b")],
        ] {
            assert_eq!(found(&two), Err(KeepError::Ambiguous), "{two:?}");
        }
    }
}
