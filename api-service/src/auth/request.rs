//! The credentials in a request, without looking at whether they are good.

use actix_web::{
    HttpRequest,
    http::header::{self, AsHeaderName, HeaderValue},
};
use shared::{
    credential::{self, Ambiguous, SESSION_COOKIE},
    cross_site,
    session::SessionId,
};

use super::refusal::Refusal;

/// The longest credential that is sent on to whoever decides about it, in bytes.
const OPAQUE_LIMIT_BYTES: usize = 8 * 1024;

/// What may be looked at of a request to know its caller.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a>(&'a HttpRequest);

impl<'a> Request<'a> {
    /// The bearer token. A token in the query (RFC 6750 §2.3) or in a form is never looked at.
    ///
    /// # Errors
    ///
    /// There is none, or more than one `Authorization` header.
    pub(crate) fn bearer(self) -> Result<&'a str, Refusal> {
        self.find_bearer()?.ok_or(Refusal::Missing)
    }

    /// The session id: a bearer of the right form, otherwise the cookie. A bearer of another form
    /// next to a cookie is somebody else's (a token) and is ignored.
    ///
    /// # Errors
    ///
    /// There is no credential, or none that can be an id; or there is more than one `Authorization`
    /// header, or several session cookies that differ; or another site had the cookie sent to change
    /// something.
    pub(crate) fn session(self) -> Result<SessionId, Refusal> {
        let bearer = self.find_bearer()?;
        if let Some(id) = bearer.and_then(SessionId::parse) {
            return Ok(id);
        }
        let cookie = self.cookie(SESSION_COOKIE)?;
        if cookie.is_some() && cross_site::is_forged(self.method(), |name| self.all(name)) {
            return Err(Refusal::CrossSite);
        }
        match (cookie.map(SessionId::parse), bearer) {
            (Some(Some(id)), _) => Ok(id),
            (Some(None), _) | (None, Some(_)) => Err(Refusal::Invalid("session_malformed")),
            (None, None) => Err(Refusal::Missing),
        }
    }

    /// A credential that somebody else decides about, of whatever issuer's form: a bearer that may be
    /// a token, otherwise the session's cookie.
    ///
    /// # Errors
    ///
    /// There is no credential, or none that can be a token; or there is more than one `Authorization`
    /// header, or several session cookies that differ.
    pub(crate) fn opaque(self) -> Result<&'a str, Refusal> {
        let bearer = self.find_bearer()?;
        if let Some(token) = bearer.filter(|text| is_opaque(text)) {
            return Ok(token);
        }
        match (self.cookie(SESSION_COOKIE)?, bearer) {
            (Some(text), _) if is_opaque(text) => Ok(text),
            (None, None) => Err(Refusal::Missing),
            _ => Err(Refusal::Invalid("credential_malformed")),
        }
    }

    /// The bearer, otherwise the session's cookie, as it was sent.
    pub(crate) fn credential(self) -> Option<&'a str> {
        let bearer = self.bearer().ok();
        bearer.or_else(|| self.cookie(SESSION_COOKIE).ok().flatten())
    }

    /// The value of a cookie.
    ///
    /// # Errors
    ///
    /// There are several of the name that differ.
    pub(crate) fn cookie(self, name: &str) -> Result<Option<&'a str>, Ambiguous> {
        credential::cookie(self.all(header::COOKIE), name)
    }

    /// The values of all header fields of a name, each as [`credential::text`].
    pub(crate) fn texts(self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let values = self.0.headers().get_all(name);
        values.map(|value| credential::text(value.as_bytes()))
    }

    /// The method, as it was sent.
    pub(crate) fn method(self) -> &'a str {
        self.0.method().as_str()
    }

    /// The path, as it was sent.
    pub(crate) fn path(self) -> &'a str {
        self.0.uri().path()
    }

    fn find_bearer(self) -> Result<Option<&'a str>, Ambiguous> {
        credential::bearer(self.all(header::AUTHORIZATION))
    }

    fn all(self, name: impl AsHeaderName) -> impl Iterator<Item = &'a [u8]> {
        let values = self.0.headers().get_all(name);
        values.map(HeaderValue::as_bytes)
    }
}

/// Whether a text may be a token, of whatever issuer.
fn is_opaque(text: &str) -> bool {
    text.len() <= OPAQUE_LIMIT_BYTES && credential::is_b64token(text)
}

impl<'a> From<&'a HttpRequest> for Request<'a> {
    fn from(request: &'a HttpRequest) -> Self {
        Self(request)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const MALFORMED: Result<SessionId, Refusal> = Err(Refusal::Invalid("session_malformed"));

    fn bearer(request: &HttpRequest) -> Result<&str, Refusal> {
        Request(request).bearer()
    }

    fn session(request: &HttpRequest) -> Result<SessionId, Refusal> {
        Request(request).session()
    }

    fn request(headers: &[(&str, &str)]) -> HttpRequest {
        let mut request = TestRequest::default();
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        request.to_http_request()
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_other_schemes_are_no_bearer() {
        assert_eq!(
            bearer(&request(&[("authorization", "bEaReR a.b.c")])),
            Ok("a.b.c")
        );
        assert_eq!(
            bearer(&request(&[("authorization", "Basic YTpi")])),
            Err(Refusal::Missing)
        );
        assert_eq!(bearer(&request(&[])), Err(Refusal::Missing));
    }

    #[test]
    fn a_bearer_without_a_readable_token_is_a_credential_that_nobody_accepts() {
        for value in [&b"Bearer"[..], b"Bearer  ", b"Bearer \xff\xfe"] {
            let value = header::HeaderValue::from_bytes(value).unwrap();
            let request = TestRequest::default()
                .append_header((header::AUTHORIZATION, value))
                .to_http_request();
            assert_eq!(bearer(&request), Ok(""));
            assert_eq!(session(&request), MALFORMED);
        }
    }

    #[test]
    fn a_cookie_of_another_application_may_hold_any_bytes() {
        let id = SessionId::generate("nobody");
        let value = [b"name=\xe9; __Host-sid=", id.expose().as_bytes()].concat();
        let request = TestRequest::default()
            .append_header((
                header::COOKIE,
                header::HeaderValue::from_bytes(&value).unwrap(),
            ))
            .to_http_request();
        assert_eq!(session(&request), Ok(id));
    }

    #[test]
    fn two_authorization_headers_are_ambiguous() {
        let twice = request(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(bearer(&twice), Err(Refusal::Ambiguous));
    }

    #[test]
    fn a_stray_token_next_to_a_session_cookie_is_ignored() {
        let id = SessionId::generate("nobody");
        let cookie = format!("theme=dark; __Host-sid={}", id.expose());
        let both = request(&[("authorization", "Bearer a.b.c"), ("cookie", &cookie)]);
        assert_eq!(session(&both), Ok(id));
    }

    #[test]
    fn a_token_alone_is_a_malformed_session_credential() {
        let token = request(&[("authorization", "Bearer a.b.c")]);
        assert_eq!(session(&token), MALFORMED);
        assert_eq!(
            session(&request(&[("cookie", "a=b")])),
            Err(Refusal::Missing)
        );
    }

    #[test]
    fn an_opaque_credential_is_a_bearer_of_any_form_and_otherwise_the_cookie() {
        let malformed = Err(Refusal::Invalid("credential_malformed"));
        let longest = "a".repeat(OPAQUE_LIMIT_BYTES);
        for (headers, found) in [
            (
                &[("authorization", "Bearer a.b~c+d/e==")][..],
                Ok("a.b~c+d/e=="),
            ),
            (
                &[("authorization", &format!("Bearer {longest}"))],
                Ok(&*longest),
            ),
            (
                &[("authorization", "Bearer a"), ("cookie", "__Host-sid=b")],
                Ok("a"),
            ),
            (
                &[("authorization", "Bearer a b"), ("cookie", "__Host-sid=b")],
                Ok("b"),
            ),
            (
                &[("authorization", "Basic YTpi"), ("cookie", "__Host-sid=b")],
                Ok("b"),
            ),
            (&[("authorization", "Bearer a b")], malformed.clone()),
            (&[("authorization", "Bearer")], malformed.clone()),
            (
                &[("authorization", &format!("Bearer {longest}a"))],
                malformed.clone(),
            ),
            (&[("cookie", "__Host-sid=\"b\"")], malformed),
            (
                &[("cookie", "__Host-sid=a; __Host-sid=b")],
                Err(Refusal::Ambiguous),
            ),
            (&[("cookie", "sid=a")], Err(Refusal::Missing)),
        ] {
            assert_eq!(Request(&request(headers)).opaque(), found, "{headers:.40?}");
        }
    }

    #[test]
    fn session_cookies_that_differ_are_ambiguous_and_equal_ones_are_one() {
        let [one, other] = [SessionId::generate("nobody"), SessionId::generate("nobody")];
        let cookies = |a: &SessionId, b: &SessionId| {
            request(&[(
                "cookie",
                &format!("__Host-sid={}; __Host-sid={}", a.expose(), b.expose()),
            )])
        };
        assert_eq!(session(&cookies(&one, &other)), Err(Refusal::Ambiguous));
        assert_eq!(session(&cookies(&one, &one)), Ok(one.clone()));
    }

    #[test]
    fn a_cookie_changes_nothing_on_behalf_of_another_site_and_a_bearer_does() {
        let id = SessionId::generate("nobody");
        let sent =
            |method: &str, credential: (&'static str, String), from: (&'static str, &str)| {
                let request = TestRequest::with_uri("/cart").method(method.parse().unwrap());
                let request = request.insert_header(("host", "shop.example"));
                let request = request.insert_header(credential).insert_header(from);
                session(&request.to_http_request())
            };
        let cookie = || ("cookie", format!("__Host-sid={}", id.expose()));
        let bearer = || ("authorization", format!("Bearer {}", id.expose()));
        for from in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            for method in ["PUT", "POST", "DELETE", "PATCH"] {
                assert_eq!(
                    sent(method, cookie(), from),
                    Err(Refusal::CrossSite),
                    "{from:?}"
                );
                assert!(sent(method, bearer(), from).is_ok(), "{from:?}");
            }
            assert!(sent("GET", cookie(), from).is_ok(), "{from:?}");
        }
        for own in [
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://shop.example"),
        ] {
            assert!(sent("PUT", cookie(), own).is_ok(), "{own:?}");
        }
    }

    #[test]
    fn the_cookie_name_is_case_sensitive() {
        let id = SessionId::generate("nobody");
        let lower = request(&[("cookie", &format!("__host-sid={}", id.expose()))]);
        assert_eq!(session(&lower), Err(Refusal::Missing));
    }
}
