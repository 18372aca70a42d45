//! Finding a credential in the headers of a request, without looking at whether it is good.
//!
//! Bytes in and text out, because a header may hold anything, and because every service that reads
//! a credential must find the same one.

/// Name of the session cookie. The prefix binds it to this host and to `/` (RFC 6265bis §4.1.3.2).
pub const SESSION_COOKIE: &str = "__Host-sid";

/// The request is not of a form that RFC 6750 §2 allows: which credential is meant cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The bearer token in the `Authorization` headers of a request, RFC 6750 §2.1. `None` when there is
/// no such header or it is of another scheme; empty, which nobody accepts, when there is nothing
/// readable after the scheme.
///
/// # Errors
///
/// There is more than one `Authorization` header.
pub fn bearer<'a>(
    authorization: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<&'a str>, Ambiguous> {
    let mut headers = authorization.into_iter();
    let Some(value) = headers.next() else {
        return Ok(None);
    };
    if headers.next().is_some() {
        return Err(Ambiguous);
    }
    let end = value.iter().position(|byte| *byte == b' ');
    let (scheme, token) = value.split_at(end.unwrap_or(value.len()));
    // Schemes are case-insensitive, RFC 9110 §11.1.
    let bearer = scheme.eq_ignore_ascii_case(b"bearer");
    Ok(bearer.then(|| text(token)))
}

/// The value of a cookie in the `Cookie` headers of a request. The prefix `__Host-` keeps a browser
/// from ever holding two of ours, so two that differ come from somebody who wants one mistaken for
/// the other.
///
/// # Errors
///
/// There are several of the name that differ.
pub fn cookie<'a>(
    cookies: impl IntoIterator<Item = &'a [u8]>,
    name: &str,
) -> Result<Option<&'a str>, Ambiguous> {
    let mut found = None;
    for header in cookies {
        for pair in header.split(|byte| *byte == b';') {
            // Names are case-sensitive; `__host-sid` has none of the prefix's protection.
            let Some(value) = pair
                .trim_ascii()
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            else {
                continue;
            };
            match found {
                Some(known) if known != text(value) => return Err(Ambiguous),
                _ => found = Some(text(value)),
            }
        }
    }
    Ok(found)
}

/// Whether a text is a `b64token` (RFC 6750 §2.1): what a bearer token may be, whoever issued it.
#[must_use]
pub fn is_b64token(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !token.is_empty() && token.bytes().all(allowed)
}

/// The id or the secret of an OAuth client as HTTP Basic has it: form-encoded, before both are
/// joined by a colon (RFC 6749 §2.3.1).
#[must_use]
pub fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A credential has printable characters only; what has others is read as empty.
#[must_use]
pub fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session<'a>(
        cookies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<&'a str>, Ambiguous> {
        cookie(cookies, SESSION_COOKIE)
    }

    #[test]
    fn only_a_space_ends_the_scheme() {
        for (value, found) in [
            (&b"Bearer a.b.c"[..], Some("a.b.c")),
            (b"bEaReR   a ", Some("a")),
            (b"Bearer", Some("")),
            (b"Bearer \xff", Some("")),
            (b"Bearer\ta", None),
            (b"Bearera", None),
            (b"Basic YTpi", None),
            (b" Bearer a", None),
            (b"", None),
        ] {
            assert_eq!(bearer([value]), Ok(found), "{value:?}");
        }
        assert_eq!(bearer([]), Ok(None));
        assert_eq!(bearer([&b"Bearer a"[..], b"Basic b"]), Err(Ambiguous));
    }

    /// RFC 6750 §2.1.
    #[test]
    fn a_token_of_any_issuer_is_a_b64token_and_nothing_else_is() {
        for token in ["a", "a.b.c", "a-b_c~d+e/f==", "mF_9.B5f-4.1JqM"] {
            assert!(is_b64token(token), "{token}");
        }
        for other in ["", "=", "==", "a=b", "a b", "a,b", "a\"", "a%20", "é"] {
            assert!(!is_b64token(other), "{other}");
        }
    }

    /// RFC 6749 §2.3.1 and appendix B.
    #[test]
    fn a_secret_is_form_encoded_for_basic() {
        assert_eq!(form_encoded("a-b_c.1"), "a-b_c.1");
        assert_eq!(form_encoded("a+b/c= :%é"), "a%2Bb%2Fc%3D+%3A%25%C3%A9");
    }

    #[test]
    fn only_the_cookie_of_exactly_this_name_counts() {
        for (value, found) in [
            (&b"__Host-sid=a"[..], Some("a")),
            (b"x=\xe9; __Host-sid= a ;y", Some("a")),
            (b"__Host-sid=a=b", Some("a=b")),
            (b"__Host-sid=", Some("")),
            (b"__host-sid=a", None),
            (b"__Host-sid =a", None),
            (b"__Host-sid", None),
            (b"a__Host-sid=a", None),
            (b";;", None),
        ] {
            assert_eq!(session([value]), Ok(found), "{value:?}");
        }
    }

    #[test]
    fn cookies_that_differ_are_ambiguous_in_one_header_and_in_two() {
        let twice = b"__Host-sid=a; __Host-sid=b";
        assert_eq!(session([&twice[..]]), Err(Ambiguous));
        let apart = [&b"__Host-sid=a"[..], b"__Host-sid=b"];
        assert_eq!(session(apart), Err(Ambiguous));
        let same = [&b"__Host-sid=a"[..], b"__Host-sid=a"];
        assert_eq!(session(same), Ok(Some("a")));
    }
}
