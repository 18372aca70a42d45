//! Headers that end here, and headers that say who came: RFC 9110 §7.6.1, RFC 7239.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use shared::forwarded;

/// Set by browsers and older proxies like `Connection`; never standard.
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Headers that a `Connection` header cannot remove: without them the request would be another one
/// for the upstream than for us (who calls, which site, where it ends, what was asked).
const PINNED: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    TRACEPARENT,
    TRACESTATE,
    header::WWW_AUTHENTICATE,
    header::SET_COOKIE,
];

/// What a scan of a head found, so that only what is there is removed.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    connection: bool,
    te: bool,
    /// Any other header that ends at this hop.
    hop_by_hop: bool,
    transfer_encoding: bool,
    forwarding: bool,
    trace: bool,
}

/// What is sent on of the caller.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    /// The client's address, for `X-Forwarded-For`.
    pub(crate) address: &'a HeaderValue,
    /// One element of `Forwarded`.
    pub(crate) forwarded: &'a HeaderValue,
    /// The host that was asked for.
    pub(crate) host: Option<HeaderValue>,
    /// Proxies in front whose forwarding headers are added to instead of replaced.
    pub(crate) trusted_hops: usize,
    /// Trace headers that the client sent are kept.
    pub(crate) trace_trusted: bool,
}

/// Makes a client's headers into an upstream's.
pub(crate) fn to_upstream(headers: &mut HeaderMap, caller: Caller<'_>) {
    let found = scan(headers);
    strip_hop_by_hop(headers, found);
    if found.forwarding && caller.trusted_hops > 0 {
        keep_ours(headers, caller.trusted_hops);
    } else if found.forwarding {
        for name in [
            header::FORWARDED,
            X_FORWARDED_FOR,
            X_FORWARDED_HOST,
            X_FORWARDED_PROTO,
            X_FORWARDED_PORT,
            X_FORWARDED_PREFIX,
            X_REAL_IP,
        ] {
            headers.remove(name);
        }
    }
    if found.trace {
        // Whatever a stranger put there would be carried through every service.
        headers.remove(BAGGAGE);
        if !caller.trace_trusted {
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
        }
    }
    if let Some(host) = caller.host {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    let proto = HeaderValue::from_static("http");
    headers.entry(X_FORWARDED_PROTO).or_insert(proto);
    // Lists, of which the last element is ours.
    headers.append(X_FORWARDED_FOR, caller.address.clone());
    headers.append(header::FORWARDED, caller.forwarded.clone());
}

/// Leaves of the lists of addresses what so many proxies wrote: what stands before it, a client did.
fn keep_ours(headers: &mut HeaderMap, hops: usize) {
    let client = named_client(headers, hops);
    for name in [X_FORWARDED_FOR, header::FORWARDED] {
        let lines = headers.get_all(&name).into_iter();
        let kept = forwarded::last(lines.map(HeaderValue::as_bytes), hops).join(&b", "[..]);
        headers.remove(&name);
        // Parts of a header's value are a header's value.
        if let Ok(kept) = HeaderValue::from_bytes(&kept)
            && !kept.is_empty()
        {
            headers.insert(name, kept);
        }
    }
    // A proxy that writes `Forwarded` only; whoever comes behind us reads the other.
    if let Some(client) = client
        && let Ok(client) = HeaderValue::try_from(client.to_string())
    {
        headers.entry(X_FORWARDED_FOR).or_insert(client);
    }
}

/// The client that the farthest of so many proxies names.
pub(crate) fn named_client(headers: &HeaderMap, proxies: usize) -> Option<std::net::IpAddr> {
    let values = |name: &'static str| {
        let lines = headers.get_all(name).into_iter();
        lines.map(HeaderValue::as_bytes)
    };
    forwarded::client(values, proxies)
}

/// Makes an upstream's headers into ours.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    let found = scan(headers);
    strip_hop_by_hop(headers, found);
    if found.transfer_encoding {
        // RFC 9112 §6.3: the coding overrides the length, so the length says nothing true.
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// `for=…;host=…;proto=http`, RFC 7239 §4. `None` when the host is not one that can be quoted.
pub(crate) fn forwarded_element(client: std::net::IpAddr, host: &[u8]) -> Option<HeaderValue> {
    let client = match client.to_canonical() {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    if host.is_empty() {
        return HeaderValue::try_from(format!("for={client};proto=http")).ok();
    }
    if !is_host(host) {
        return None;
    }
    let host = std::str::from_utf8(host).ok()?;
    HeaderValue::try_from(format!("for={client};host=\"{host}\";proto=http")).ok()
}

/// Whether the text can be a `Host`: letters, digits and what RFC 3986 §3.2.2 has in names,
/// addresses and ports. Stricter than the grammar, which allows quotes and semicolons.
fn is_host(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]~%".contains(byte))
}

fn scan(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for name in headers.keys() {
        match *name {
            header::CONNECTION => found.connection = true,
            header::TE => found.te = true,
            header::TRANSFER_ENCODING => {
                found.hop_by_hop = true;
                found.transfer_encoding = true;
            }
            header::UPGRADE | header::PROXY_AUTHENTICATE | header::PROXY_AUTHORIZATION => {
                found.hop_by_hop = true
            }
            header::FORWARDED => found.forwarding = true,
            _ => match name.as_str() {
                "keep-alive"
                | "proxy-connection"
                | "proxy-authentication-info"
                | "http2-settings" => found.hop_by_hop = true,
                "traceparent" | "tracestate" | "baggage" => found.trace = true,
                text if text.starts_with("x-") => {
                    found.forwarding |= text == "x-real-ip" || text.starts_with("x-forwarded-");
                }
                _ => {}
            },
        }
    }
    found
}

fn strip_hop_by_hop(headers: &mut HeaderMap, found: Found) {
    if found.connection {
        strip_named(headers);
    }
    if found.te {
        strip_te(headers);
    }
    if found.hop_by_hop {
        for name in [
            KEEP_ALIVE,
            PROXY_CONNECTION,
            header::PROXY_AUTHENTICATE,
            header::PROXY_AUTHORIZATION,
            HeaderName::from_static("proxy-authentication-info"),
            HeaderName::from_static("http2-settings"),
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ] {
            headers.remove(name);
        }
    }
}

/// Removes `Connection` and what it names, except for [`PINNED`]; `TE` has its own rule.
fn strip_named(headers: &mut HeaderMap) {
    // Nearly always it is one plain word that names nothing but `Keep-Alive`.
    let mut values = headers.get_all(header::CONNECTION).iter();
    if let (Some(only), None) = (values.next(), values.next())
        && let b"keep-alive" | b"close" = only.as_bytes()
    {
        headers.remove(header::CONNECTION);
        headers.remove(KEEP_ALIVE);
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| HeaderName::try_from(token.trim()).ok())
        .filter(|name| *name != header::TE && !PINNED.contains(name))
        .collect();
    headers.remove(header::CONNECTION);
    for name in named {
        headers.remove(name);
    }
}

/// Keeps the one `TE` that we honour ourselves, RFC 9110 §10.1.4.
fn strip_te(headers: &mut HeaderMap) {
    let trailers = headers
        .get_all(header::TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("trailers"));
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::try_from(*value).unwrap(),
                )
            })
            .collect()
    }

    fn forwarded(lines: &[(&str, &str)], trusted: bool) -> HeaderMap {
        let mut headers = map(lines);
        let host = headers.get("host").cloned();
        to_upstream(
            &mut headers,
            Caller {
                host,
                address: &HeaderValue::from_static("192.0.2.7"),
                forwarded: &HeaderValue::from_static("for=192.0.2.7;proto=http"),
                trusted_hops: usize::from(trusted),
                trace_trusted: trusted,
            },
        );
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    #[test]
    fn connection_and_what_it_names_end_here() {
        let headers = forwarded(
            &[
                ("connection", "keep-alive, X-Hop"),
                ("connection", "close,x-other"),
                ("x-hop", "1"),
                ("x-other", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "close"),
                ("proxy-authorization", "Basic x"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("http2-settings", "AA"),
                ("te", "gzip"),
                ("x-stays", "1"),
            ],
            false,
        );
        for name in [
            "connection",
            "x-hop",
            "x-other",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "te",
        ] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert!(headers.contains_key("x-stays"));
    }

    #[test]
    fn connection_cannot_name_a_credential_the_host_or_the_forwarding_headers() {
        let headers = forwarded(
            &[
                (
                    "connection",
                    "authorization, cookie, host, content-length, x-forwarded-for, forwarded",
                ),
                ("authorization", "Bearer x"),
                ("cookie", "a=b"),
                ("host", "example"),
                ("content-length", "1"),
            ],
            false,
        );
        for name in [
            "authorization",
            "cookie",
            "host",
            "content-length",
            "x-forwarded-for",
            "forwarded",
        ] {
            assert!(headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn only_trailers_is_left_of_te() {
        let headers = forwarded(
            &[("te", "gzip;q=0.5, Trailers"), ("connection", "te")],
            false,
        );
        assert_eq!(all(&headers, "te"), ["trailers"]);
        assert_eq!(all(&headers, "connection"), ["te"]);
    }

    #[test]
    fn a_strangers_forwarding_headers_are_replaced() {
        let lines = [
            ("host", "shop.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("baggage", "a=b"),
            ("traceparent", "00-1"),
        ];
        let headers = forwarded(&lines, false);
        assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["shop.example"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&headers, "forwarded"), ["for=192.0.2.7;proto=http"]);
        for name in ["x-real-ip", "baggage", "traceparent"] {
            assert!(!headers.contains_key(name), "{name}");
        }

        let headers = forwarded(&lines, true);
        assert_eq!(all(&headers, "x-forwarded-for"), ["10.0.0.1", "192.0.2.7"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["evil"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&headers, "traceparent"), ["00-1"]);
        assert!(!headers.contains_key("baggage"));
    }

    #[test]
    fn an_answers_length_is_dropped_when_it_was_coded() {
        let mut headers = map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        to_client(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn the_forwarded_element_quotes_what_needs_it_and_refuses_an_odd_host() {
        let element = |ip: &str, host: &str| {
            forwarded_element(ip.parse().unwrap(), host.as_bytes())
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            element("192.0.2.1", "a.example:80").unwrap(),
            "for=192.0.2.1;host=\"a.example:80\";proto=http"
        );
        assert_eq!(
            element("2001:db8::1", "").unwrap(),
            "for=\"[2001:db8::1]\";proto=http"
        );
        assert_eq!(
            element("::ffff:192.0.2.1", "").unwrap(),
            "for=192.0.2.1;proto=http"
        );
        for host in ["a\"b", "a;b", "a/b", "a b", "a@b", "a,b"] {
            assert_eq!(element("192.0.2.1", host), None, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_hop_by_hop_header_survives_and_repeated_ones_keep_their_order(
            values in prop::collection::vec("[a-z]{1,5}", 0..5),
            named in "[a-z]{1,8}",
        ) {
            prop_assume!(named != "te");
            let mut lines: Vec<(String, String)> =
                values.iter().map(|value| ("x-many".to_owned(), value.clone())).collect();
            lines.push(("connection".to_owned(), format!("{named}, x-one")));
            lines.push((format!("x-{named}"), "kept".to_owned()));
            lines.push(("x-one".to_owned(), "gone".to_owned()));
            let borrowed: Vec<(&str, &str)> =
                lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let headers = forwarded(&borrowed, false);
            prop_assert_eq!(all(&headers, "x-many"), values);
            prop_assert!(!headers.contains_key("connection"));
            prop_assert!(!headers.contains_key("x-one"));
        }
    }
}
