//! Finding the credential in a request, without looking at whether it is good.

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderName, HeaderValue},
};
pub(crate) use shared::credential::{Ambiguous, SESSION_COOKIE, text};
use shared::{credential, session::SessionId};

/// The bearer token of the request. A token in the query (RFC 6750 §2.3) or in a form is never
/// looked at.
///
/// # Errors
///
/// There is more than one `Authorization` header.
pub(crate) fn bearer(request: &HttpRequest) -> Result<Option<&str>, Ambiguous> {
    credential::bearer(all(request, header::AUTHORIZATION))
}

/// The session id of the request: a bearer of the right form, otherwise the cookie. A bearer of
/// another form next to a cookie is somebody else's (a token) and is ignored.
///
/// # Errors
///
/// There is more than one `Authorization` header, or several session cookies that differ: which one
/// is meant cannot be known.
pub(crate) fn session(request: &HttpRequest) -> Result<Presented, Ambiguous> {
    let bearer = bearer(request)?;
    if let Some(id) = bearer.and_then(SessionId::parse) {
        return Ok(Presented::Id(id));
    }
    let cookie = cookie(request, SESSION_COOKIE)?;
    Ok(match (cookie.map(SessionId::parse), bearer) {
        (Some(Some(id)), _) => Presented::Id(id),
        (Some(None), _) | (None, Some(_)) => Presented::Malformed,
        (None, None) => Presented::Nothing,
    })
}

/// What a request presents to the session strategy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// Something of the form of an id.
    Id(SessionId),
    /// A credential that cannot be an id.
    Malformed,
    /// No credential.
    Nothing,
}

/// The value of a cookie of the request.
///
/// # Errors
///
/// There are several of the name that differ.
pub(crate) fn cookie<'a>(
    request: &'a HttpRequest,
    name: &str,
) -> Result<Option<&'a str>, Ambiguous> {
    credential::cookie(all(request, header::COOKIE), name)
}

fn all(request: &HttpRequest, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    request.headers().get_all(name).map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

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
            Ok(Some("a.b.c"))
        );
        assert_eq!(
            bearer(&request(&[("authorization", "Basic YTpi")])),
            Ok(None)
        );
        assert_eq!(bearer(&request(&[])), Ok(None));
    }

    #[test]
    fn a_bearer_without_a_readable_token_is_a_credential_that_nobody_accepts() {
        for value in [&b"Bearer"[..], b"Bearer  ", b"Bearer \xff\xfe"] {
            let value = header::HeaderValue::from_bytes(value).unwrap();
            let request = TestRequest::default()
                .append_header((header::AUTHORIZATION, value))
                .to_http_request();
            assert_eq!(bearer(&request), Ok(Some("")));
            assert_eq!(session(&request), Ok(Presented::Malformed));
        }
    }

    #[test]
    fn a_cookie_of_another_application_may_hold_any_bytes() {
        let id = SessionId::generate();
        let value = [b"name=\xe9; __Host-sid=", id.expose().as_bytes()].concat();
        let request = TestRequest::default()
            .append_header((
                header::COOKIE,
                header::HeaderValue::from_bytes(&value).unwrap(),
            ))
            .to_http_request();
        assert_eq!(session(&request), Ok(Presented::Id(id)));
    }

    #[test]
    fn two_authorization_headers_are_ambiguous() {
        let twice = request(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(bearer(&twice), Err(Ambiguous));
    }

    #[test]
    fn a_stray_token_next_to_a_session_cookie_is_ignored() {
        let id = SessionId::generate();
        let cookie = format!("theme=dark; __Host-sid={}", id.expose());
        let both = request(&[("authorization", "Bearer a.b.c"), ("cookie", &cookie)]);
        assert_eq!(session(&both), Ok(Presented::Id(id)));
    }

    #[test]
    fn a_token_alone_is_a_malformed_session_credential() {
        let token = request(&[("authorization", "Bearer a.b.c")]);
        assert_eq!(session(&token), Ok(Presented::Malformed));
        assert_eq!(
            session(&request(&[("cookie", "a=b")])),
            Ok(Presented::Nothing)
        );
    }

    #[test]
    fn session_cookies_that_differ_are_ambiguous_and_equal_ones_are_one() {
        let [one, other] = [SessionId::generate(), SessionId::generate()];
        let cookies = |a: &SessionId, b: &SessionId| {
            request(&[(
                "cookie",
                &format!("__Host-sid={}; __Host-sid={}", a.expose(), b.expose()),
            )])
        };
        assert_eq!(session(&cookies(&one, &other)), Err(Ambiguous));
        assert_eq!(
            session(&cookies(&one, &one)),
            Ok(Presented::Id(one.clone()))
        );
    }

    #[test]
    fn the_cookie_name_is_case_sensitive() {
        let id = SessionId::generate();
        let lower = request(&[("cookie", &format!("__host-sid={}", id.expose()))]);
        assert_eq!(session(&lower), Ok(Presented::Nothing));
    }
}
