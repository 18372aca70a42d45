//! Requests as they go over the wire, built once and sent many times.

use std::fmt::{self, Write as _};

use url::Url;

use crate::stats::random::Random;

/// Header fields of one request of an arm, such as one user's credential.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variant {
    /// Names and values, without line breaks.
    pub headers: Vec<(String, String)>,
}

impl Variant {
    /// A request with a bearer credential (RFC 6750 §2.1).
    #[must_use]
    pub fn bearer(credential: &str) -> Self {
        Self {
            headers: vec![("Authorization".to_owned(), format!("Bearer {credential}"))],
        }
    }
}

/// Names only: values may be credentials.
impl fmt::Debug for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.headers.iter().map(|(name, _)| name))
            .finish()
    }
}

/// The bytes of one request.
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where the trace id begins, when the request has one.
    trace_at: Option<usize>,
}

const TRACEPARENT: &str = "traceparent: 00-";
const TRACE_ID_DIGITS: usize = 32;
const SPAN_ID_DIGITS: usize = 16;

impl Request {
    /// A GET of `url`; with a place for a W3C `traceparent` when `traced`.
    pub(super) fn new(url: &Url, variant: &Variant, traced: bool) -> Self {
        let mut text = format!("GET {}", url.path());
        if let Some(query) = url.query() {
            let _ = write!(text, "?{query}");
        }
        let _ = write!(
            text,
            " HTTP/1.1\r\nHost: {}",
            url.host_str().unwrap_or_default()
        );
        if let Some(port) = url.port() {
            let _ = write!(text, ":{port}");
        }
        text.push_str("\r\nUser-Agent: statewise-loadtest\r\n");
        for (name, value) in &variant.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let trace_at = traced.then(|| {
            text.push_str(TRACEPARENT);
            let at = text.len();
            let _ = write!(text, "{:0>32}-{:0>16}-00\r\n", 0, 0);
            at
        });
        text.push_str("\r\n");
        Self {
            bytes: text.into_bytes(),
            trace_at,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes this request the root of a new trace, which the flags say is to be kept or not.
    pub(super) fn begin_trace(&mut self, random: &mut Random, sampled: bool) {
        let Some(at) = self.trace_at else { return };
        let span_at = at + TRACE_ID_DIGITS + 1;
        let flags_at = span_at + SPAN_ID_DIGITS + 1;
        write_hex(&mut self.bytes[at..at + 16], random.next_u64());
        // Ids of only zeros are invalid (W3C Trace Context §3.2.2).
        write_hex(&mut self.bytes[at + 16..at + 32], random.next_u64() | 1);
        write_hex(
            &mut self.bytes[span_at..span_at + SPAN_ID_DIGITS],
            random.next_u64() | 1,
        );
        self.bytes[flags_at + 1] = if sampled { b'1' } else { b'0' };
    }
}

fn write_hex(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request) -> String {
        String::from_utf8(request.bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_request_has_host_path_query_and_the_headers_of_its_variant() {
        let url = Url::parse("http://127.0.0.1:8080/jwt/me?a=b").unwrap();
        let request = Request::new(&url, &Variant::bearer("abc"), false);
        assert_eq!(
            text(&request),
            "GET /jwt/me?a=b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
             User-Agent: statewise-loadtest\r\nAuthorization: Bearer abc\r\n\r\n"
        );
    }

    #[test]
    fn every_trace_has_its_own_ids_and_its_own_decision() {
        let url = Url::parse("http://localhost/").unwrap();
        let mut request = Request::new(&url, &Variant::default(), true);
        let mut random = Random::new(1);
        let mut header = |sampled| {
            request.begin_trace(&mut random, sampled);
            let text = text(&request);
            let line = text
                .lines()
                .find(|line| line.starts_with("traceparent"))
                .unwrap();
            let fields: Vec<String> = line["traceparent: ".len()..]
                .split('-')
                .map(str::to_owned)
                .collect();
            assert_eq!(
                fields.iter().map(String::len).collect::<Vec<_>>(),
                [2, 32, 16, 2]
            );
            assert!(fields.concat().bytes().all(|byte| byte.is_ascii_hexdigit()));
            fields
        };
        let (kept, dropped) = (header(true), header(false));
        assert_eq!((kept[3].as_str(), dropped[3].as_str()), ("01", "00"));
        assert_ne!(kept[1], dropped[1]);
        assert_ne!(kept[2], dropped[2]);
    }

    #[test]
    fn debug_output_shows_no_credential() {
        assert_eq!(
            format!("{:?}", Variant::bearer("secret")),
            r#"["Authorization"]"#
        );
    }
}
