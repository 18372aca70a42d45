//! The sealed state in a request: a browser carries it in a cookie, any other client in a header.

use shared::credential::Ambiguous;

use crate::auth::Request;

/// Header in both directions, for clients that keep no cookies.
pub(crate) const HEADER: &str = "statewise-state";
/// The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain` (RFC 6265bis §4.1.3.2).
pub(crate) const COOKIE: &str = "__Host-cart";

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

impl<'a> Carried<'a> {
    /// The state of a request.
    ///
    /// # Errors
    ///
    /// There are several that differ: which one is meant cannot be decided.
    pub(crate) fn find(request: Request<'a>) -> Result<Option<Self>, Ambiguous> {
        let cookie = request.cookie(COOKIE)?;
        let mut found = cookie;
        for text in request.texts(HEADER) {
            if found.is_some_and(|other| other != text) {
                return Err(Ambiguous);
            }
            found = Some(text);
        }
        Ok(found.map(|text| Self {
            text,
            by_cookie: cookie.is_some(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_state_comes_by_cookie_or_by_header_and_by_both_when_they_are_equal() {
        let found = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default();
            for header in headers {
                request = request.append_header(*header);
            }
            let request = request.to_http_request();
            let found = Carried::find(Request::from(&request));
            found.map(|found| found.map(|one| (one.text.to_owned(), one.by_cookie)))
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
            assert_eq!(found(&two), Err(Ambiguous), "{two:?}");
        }
    }
}
