//! Whom the proxies in front name as the client: `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Both are lists, to whose end each proxy adds whom it got the request from. What stands before the
//! elements of our own proxies, anybody can have written. So elements are counted from the end: with
//! one proxy the last names the client, with two the last but one.

use std::net::{IpAddr, SocketAddr};

/// The list that nearly all proxies write.
pub const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// The list of RFC 7239 §4.
pub const FORWARDED: &str = "forwarded";

/// The last elements of a list header, as many as `count`, in their order. Elements are not quoted
/// text here: a quotation mark that a client wrote must not hide the elements of our proxies, which
/// have no comma in theirs.
pub fn last<'a>(lines: impl Iterator<Item = &'a [u8]>, count: usize) -> Vec<&'a [u8]> {
    let elements = lines.flat_map(|line| line.split(|byte| *byte == b','));
    let mut elements: Vec<&[u8]> = elements.map(<[u8]>::trim_ascii).collect();
    elements.split_off(elements.len().saturating_sub(count))
}

/// The client that the farthest of so many proxies names; the farthest of those there are, when the
/// request came through fewer. `None` without proxies, or when what is there is no address. `values`
/// gives the values of a header field.
pub fn client<'a, Values>(values: impl Fn(&'static str) -> Values, proxies: usize) -> Option<IpAddr>
where
    Values: Iterator<Item = &'a [u8]>,
{
    match last(values(X_FORWARDED_FOR), proxies).first() {
        Some(element) => address(element),
        None => last(values(FORWARDED), proxies)
            .first()
            .and_then(|element| node(element)),
    }
}

/// The `for` of an element of `Forwarded`.
fn node(element: &[u8]) -> Option<IpAddr> {
    let mut pairs = element.split(|byte| *byte == b';');
    let value = pairs.find_map(|pair| {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        let is_for = name.trim_ascii().eq_ignore_ascii_case(b"for");
        is_for.then_some(&value[1..])
    });
    value.and_then(address)
}

/// An address, with a port or without, which some proxies quote.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let address: IpAddr = bare.parse().or_else(|_| with_port()).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(headers: &[(&str, &str)], proxies: usize) -> String {
        let values = |name| {
            let found = headers.iter().filter(move |(other, _)| *other == name);
            found.map(|(_, value)| value.as_bytes())
        };
        client(values, proxies).map_or_else(String::new, |address| address.to_string())
    }

    #[test]
    fn elements_are_counted_from_the_end_over_all_lines() {
        let headers = [
            (X_FORWARDED_FOR, "10.0.0.1, 192.0.2.1"),
            (X_FORWARDED_FOR, "198.51.100.1"),
        ];
        assert_eq!(named(&headers, 0), "");
        assert_eq!(named(&headers, 1), "198.51.100.1");
        assert_eq!(named(&headers, 2), "192.0.2.1");
        assert_eq!(named(&headers, 3), "10.0.0.1");
        assert_eq!(
            named(&headers, 4),
            "10.0.0.1",
            "through fewer than there are"
        );
        assert_eq!(named(&[], 1), "");
        assert_eq!(named(&[(X_FORWARDED_FOR, "")], 1), "");
    }

    #[test]
    fn an_address_may_have_a_port_brackets_and_quotation_marks() {
        for (element, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("::ffff:192.0.2.9", "192.0.2.9"),
            ("unknown", ""),
            ("_hidden", ""),
            ("192.0.2.1:port", ""),
            ("192.0.2.1:", ""),
            ("\"192.0.2.1", ""),
        ] {
            assert_eq!(
                named(&[(X_FORWARDED_FOR, element)], 1),
                expected,
                "{element}"
            );
            let forwarded = format!("proto=https; FOR={element};by=203.0.113.43");
            assert_eq!(named(&[(FORWARDED, &forwarded)], 1), expected, "{element}");
        }
    }

    #[test]
    fn forwarded_is_asked_where_there_is_no_x_forwarded_for() {
        let both = [
            (
                FORWARDED,
                "for=192.0.2.1;proto=https, for=\"[2001:db8::1]\"",
            ),
            (X_FORWARDED_FOR, "198.51.100.1"),
        ];
        assert_eq!(named(&both, 1), "198.51.100.1");
        assert_eq!(named(&both[..1], 1), "2001:db8::1");
        assert_eq!(named(&both[..1], 2), "192.0.2.1");
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_changes_what_our_proxies_say(
            lines in prop::collection::vec("[ -~]{0,24}", 0..4),
            joined in any::<bool>(),
        ) {
            let ours = ["192.0.2.7", "10.0.0.1"];
            let mut all: Vec<String> = lines;
            match all.last_mut() {
                Some(last) if joined => *last = format!("{last}, {}, {}", ours[0], ours[1]),
                _ => all.extend(ours.map(str::to_owned)),
            }
            let headers: Vec<_> = all.iter().map(|line| (X_FORWARDED_FOR, line.as_str())).collect();
            prop_assert_eq!(named(&headers, 2), ours[0]);
        }
    }
}
