//! Whether another site had a browser send a request.
//!
//! A browser sends cookies by itself, whichever page made it send the request. `SameSite=Lax` keeps
//! them from other sites, but not from other hosts of the same one; so a cookie changes nothing
//! unless the browser says that a page of this origin asked for it. A client that is no browser says
//! nothing, and sends no cookie against its user's will.

/// Whether a request that changes something comes from a page of another origin, so that a cookie in
/// it says nothing of what its user wants. `values` gives the values of a header field.
pub fn is_forged<'a, Values>(method: &str, values: impl Fn(&'static str) -> Values) -> bool
where
    Values: Iterator<Item = &'a [u8]>,
{
    // RFC 9110 §9.2.1.
    let is_safe = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
    !is_safe && is_foreign(values)
}

/// Whether a request comes from a page of another origin. `Sec-Fetch-Site` says so itself (Fetch
/// Metadata §2.3). Browsers leave it out where there is no TLS, and older ones everywhere: then
/// `Origin` (RFC 6454 §7) must name the host that was asked for.
pub fn is_foreign<'a, Values>(values: impl Fn(&'static str) -> Values) -> bool
where
    Values: Iterator<Item = &'a [u8]>,
{
    let mut sites = values("sec-fetch-site").peekable();
    if sites.peek().is_some() {
        return sites.any(|site| site != b"same-origin" && site != b"none");
    }
    values("origin").any(|origin| !is_own(origin, &values))
}

/// Schemes are not compared: TLS ends in front of us. A proxy may have replaced `Host`; no page can
/// set the field in which it then says what was asked for.
fn is_own<'a, Values>(origin: &[u8], values: impl Fn(&'static str) -> Values) -> bool
where
    Values: Iterator<Item = &'a [u8]>,
{
    let Some(scheme) = origin.windows(3).position(|part| part == b"://") else {
        // `null`: of a page that is not to be known.
        return false;
    };
    let host = &origin[scheme + 3..];
    ["host", "x-forwarded-host"]
        .into_iter()
        .flat_map(values)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|own| !host.is_empty() && own.trim_ascii().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forged(method: &str, headers: &[(&str, &str)]) -> bool {
        is_forged(method, |name| {
            let found = headers.iter().filter(move |(other, _)| *other == name);
            found.map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn what_the_browser_says_of_the_site_decides() {
        for (sites, expected) in [
            (&["same-origin"][..], false),
            (&["none"], false),
            (&["same-site"], true),
            (&["cross-site"], true),
            (&["weird"], true),
            (&[""], true),
            (&["same-origin", "cross-site"], true),
        ] {
            let headers: Vec<_> = sites.iter().map(|site| ("sec-fetch-site", *site)).collect();
            assert_eq!(forged("POST", &headers), expected, "{sites:?}");
            let of_another = [&headers[..], &[("origin", "https://evil.example")]].concat();
            assert_eq!(forged("POST", &of_another), expected, "{sites:?}");
            for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
                assert!(!forged(method, &headers), "{method}");
            }
        }
    }

    #[test]
    fn without_it_the_origin_must_be_the_host_that_was_asked_for() {
        let host = ("host", "shop.example:8080");
        for (origin, expected) in [
            ("http://shop.example:8080", false),
            ("https://SHOP.example:8080", false),
            ("http://shop.example", true),
            ("http://shop.example:8081", true),
            ("http://other.shop.example:8080", true),
            ("https://evil", true),
            ("https://", true),
            ("null", true),
            ("", true),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
                let headers = [host, ("origin", origin)];
                assert_eq!(forged(method, &headers), expected, "{method} {origin}");
            }
        }
        assert!(!forged("POST", &[host]), "no browser");
        let behind = [
            ("host", "10.0.0.7:8081"),
            ("x-forwarded-host", "inner, shop.example"),
            ("origin", "https://shop.example"),
        ];
        assert!(!forged("POST", &behind));
        assert!(forged("POST", &[("origin", "https://")]), "and no host");
    }
}
