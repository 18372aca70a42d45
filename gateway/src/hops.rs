//! The way of a request from one HTTP program to the next: `Max-Forwards` and `Via`, RFC 9110 §7.6.

use http::{HeaderMap, HeaderValue, Version, header};

/// Whether a request may go one hop further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    /// It may; the count is one less now.
    Allowed,
    /// It was to come as far as here.
    Exhausted,
    /// Its count is no number, or there are several.
    Malformed,
}

/// Counts this hop in `Max-Forwards`, which limits `OPTIONS` and `TRACE` only (RFC 9110 §7.6.2).
pub(crate) fn count_down(headers: &mut HeaderMap) -> Onward {
    let mut counts = headers.get_all(header::MAX_FORWARDS).iter();
    let left = match (counts.next(), counts.next()) {
        (None, _) => return Onward::Allowed,
        (Some(only), None) => number(only),
        (Some(_), Some(_)) => None,
    };
    match left {
        None => Onward::Malformed,
        Some(0) => Onward::Exhausted,
        Some(left) => {
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
            Onward::Allowed
        }
    }
}

/// Adds this gateway to the `Via` of a request that came in this version (RFC 9110 §7.6.3).
pub(crate) fn sign(headers: &mut HeaderMap, version: Version) {
    let received = if version == Version::HTTP_10 {
        "1.0 statewise"
    } else {
        "1.1 statewise"
    };
    headers.append(header::VIA, HeaderValue::from_static(received));
}

/// Digits only. More than we can count are as many as we can.
fn number(value: &HeaderValue) -> Option<u32> {
    let digits = value.to_str().ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: &[&'static str]) -> (Onward, Option<String>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::MAX_FORWARDS, HeaderValue::from_static(value));
        }
        let onward = count_down(&mut headers);
        let left = headers.get(header::MAX_FORWARDS);
        let left = left.map(|left| left.to_str().unwrap().to_owned());
        (onward, left.filter(|_| onward == Onward::Allowed))
    }

    #[test]
    fn the_count_goes_down_to_nothing_and_no_further() {
        assert_eq!(counted(&[]), (Onward::Allowed, None));
        assert_eq!(counted(&["0"]), (Onward::Exhausted, None));
        assert_eq!(counted(&["000"]), (Onward::Exhausted, None));
        for (came, left) in [("1", "0"), ("5", "4"), ("99999999999", "4294967294")] {
            assert_eq!(counted(&[came]), (Onward::Allowed, Some(left.to_owned())));
        }
        for odd in [&[""][..], &["-1"], &["1 "], &["+1"], &["x"], &["1", "1"]] {
            assert_eq!(counted(odd).0, Onward::Malformed, "{odd:?}");
        }
    }
}
