//! Requests as they go over the wire, built once and sent many times.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::Arc,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::percent_decode_str;
use url::Url;

use super::spans::{SpanTarget, TraceIds};
use crate::stats::random::Random;

/// One kind of request of an arm, such as that of one user: method, path, header fields, body. A
/// clone costs next to nothing, also in an arm, so that a mixture can name the same many times.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variant(Arc<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    method: String,
    path: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A GET of the arm's URL.
impl Default for Parts {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl Variant {
    /// A request with a bearer credential (RFC 6750 §2.1).
    #[must_use]
    pub fn bearer(credential: &str) -> Self {
        Self::default().header("Authorization", &format!("Bearer {credential}"))
    }

    /// With another method than GET. Case counts (RFC 9110 §9.1).
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut Arc::make_mut(&mut self.0).method);
        self
    }

    /// With another path, and query if any, than the URL of the arm: `/cart?page=2`.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        Arc::make_mut(&mut self.0).path = Some(path.to_owned());
        self
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let header = (name.to_owned(), value.to_owned());
        Arc::make_mut(&mut self.0).headers.push(header);
        self
    }

    /// With a body of this media type, unless a header names another before. `Content-Length` is
    /// added.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Arc::make_mut(&mut self.0).body = body.into();
        if self.has("Content-Type") {
            return self;
        }
        self.header("Content-Type", media_type)
    }

    /// Names and values of its header fields, which may be credentials.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    fn has(&self, name: &str) -> bool {
        self.0
            .headers
            .iter()
            .any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    /// What would make it an invalid request, or another one than it seems.
    pub(super) fn check(&self) -> Result<(), String> {
        let method = http::Method::from_bytes(self.0.method.as_bytes());
        if method.is_err() || self.0.method == "CONNECT" {
            return Err(format!("the method {:?} is not possible", self.0.method));
        }
        if let Some(path) = &self.0.path
            && (!path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err())
        {
            return Err(format!("{path:?} is not a path"));
        }
        for (index, (name, value)) in self.0.headers.iter().enumerate() {
            let Ok(known) = http::HeaderName::try_from(name) else {
                return Err(format!("the header {name:?} has no valid name"));
            };
            if http::HeaderValue::from_str(value).is_err() {
                // The value may be a credential.
                return Err(format!("the value of the header {name:?} is not valid"));
            }
            if FRAMING.contains(&known) {
                return Err(format!("the header {name:?} follows from the body"));
            }
            let earlier = &self.0.headers[..index];
            if ONCE.contains(&known)
                && earlier
                    .iter()
                    .any(|(given, _)| given.eq_ignore_ascii_case(name))
            {
                return Err(format!("the header {name:?} is given twice"));
            }
        }
        Ok(())
    }
}

/// What the generator says itself.
const FRAMING: [http::HeaderName; 2] = [
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
];
/// Servers that see two of them differ in which one they believe.
const ONCE: [http::HeaderName; 3] = [
    http::header::HOST,
    http::header::AUTHORIZATION,
    http::header::CONTENT_TYPE,
];

/// Names only: values may be credentials.
impl fmt::Debug for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Variant")
            .field("method", &self.0.method)
            .field("path", &self.0.path)
            .field(
                "headers",
                &self
                    .0
                    .headers
                    .iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>(),
            )
            .field("body_bytes", &self.0.body.len())
            .finish()
    }
}

/// Takes the credentials out of a URL, so that nothing prints them, and gives the header that has
/// them (RFC 7617).
#[must_use]
pub fn take_credentials(url: &mut Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    // They fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
    Some(("Authorization".to_owned(), value))
}

/// The requests of an arm: each that differs once, and the order in which they are sent.
pub(super) struct Requests {
    distinct: Vec<Request>,
    order: Vec<u32>,
}

impl Requests {
    /// What the clones of a variant are sent from is built once.
    pub(super) fn new(url: &Url, variants: &[Variant], traced: bool) -> Self {
        let mut known = HashMap::new();
        let mut distinct = Vec::new();
        let mut order = Vec::with_capacity(variants.len());
        for variant in variants {
            let index = *known.entry(Arc::as_ptr(&variant.0)).or_insert_with(|| {
                distinct.push(Request::new(url, variant, traced));
                (distinct.len() - 1) as u32
            });
            order.push(index);
        }
        Self { distinct, order }
    }

    /// The request of this number; after the last one the first follows.
    pub(super) fn numbered(&mut self, number: u64) -> &mut Request {
        let index = self.order[(number % self.order.len() as u64) as usize];
        &mut self.distinct[index as usize]
    }
}

/// The bytes of one request.
pub(super) struct Request {
    bytes: Vec<u8>,
    is_head: bool,
    /// Where the trace id begins, when the request has one.
    trace_at: Option<usize>,
    target: Arc<SpanTarget>,
}

const TRACEPARENT: &str = "traceparent: 00-";
const TRACE_ID_DIGITS: usize = 32;
const SPAN_ID_DIGITS: usize = 16;

impl Request {
    /// A request to the server of `url`; with a place for a W3C `traceparent` when `traced`.
    pub(super) fn new(url: &Url, variant: &Variant, traced: bool) -> Self {
        let path = match &variant.0.path {
            Some(path) => path,
            None => &url[url::Position::BeforePath..url::Position::AfterQuery],
        };
        let mut text = format!("{} {path} HTTP/1.1\r\n", variant.0.method);
        if !variant.has("Host") {
            let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
            let _ = write!(text, "Host: {host}\r\n");
        }
        if !variant.has("User-Agent") {
            text.push_str("User-Agent: statewise-loadtest\r\n");
        }
        for (name, value) in &variant.0.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        // RFC 9110 §8.6: methods that mean something with a body say that there is none.
        let means_body = matches!(variant.0.method.as_str(), "POST" | "PUT" | "PATCH");
        if means_body || !variant.0.body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", variant.0.body.len());
        }
        let trace_at = traced.then(|| {
            text.push_str(TRACEPARENT);
            let at = text.len();
            let _ = write!(text, "{:0>32}-{:0>16}-00\r\n", 0, 0);
            at
        });
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&variant.0.body);
        Self {
            bytes,
            is_head: variant.0.method == "HEAD",
            trace_at,
            target: Arc::new(SpanTarget::new(url, &variant.0.method, path)),
        }
    }

    /// What spans say of it.
    pub(super) fn target(&self) -> &Arc<SpanTarget> {
        &self.target
    }

    /// Whether the answer has no body, whatever its head says.
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Has this request begin a new trace of a run, which the flags say is to be kept or not. `None`:
    /// it has none.
    pub(super) fn begin_trace(
        &mut self,
        random: &mut Random,
        run: u64,
        sampled: bool,
    ) -> Option<TraceIds> {
        let at = self.trace_at?;
        let span_at = at + TRACE_ID_DIGITS + 1;
        let flags_at = span_at + SPAN_ID_DIGITS + 1;
        let ids = TraceIds {
            // Ids of only zeros are invalid (W3C Trace Context §3.2.2).
            trace: [random.next_u64() ^ run, random.next_u64() | 1],
            span: random.next_u64() | 1,
        };
        write_hex(&mut self.bytes[at..at + 16], ids.trace[0]);
        write_hex(&mut self.bytes[at + 16..at + 32], ids.trace[1]);
        write_hex(&mut self.bytes[span_at..span_at + SPAN_ID_DIGITS], ids.span);
        self.bytes[flags_at + 1] = if sampled { b'1' } else { b'0' };
        Some(ids)
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
            request.begin_trace(&mut random, 0, sampled);
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
    fn a_request_can_have_another_method_path_and_a_body() {
        let url = Url::parse("http://127.0.0.1/a?b").unwrap();
        let variant = Variant::default()
            .method("PUT")
            .path("/c?d=e")
            .header("Host", "other")
            .body("text/plain", "hello");
        assert_eq!(variant.check(), Ok(()));
        assert_eq!(
            text(&Request::new(&url, &variant, false)),
            "PUT /c?d=e HTTP/1.1\r\nUser-Agent: statewise-loadtest\r\nHost: other\r\n\
             Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
        );
        let empty = Variant::default().method("POST");
        assert!(text(&Request::new(&url, &empty, false)).contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn debug_output_shows_no_credential() {
        let shown = format!(
            "{:?}",
            Variant::bearer("secret").body("text/plain", "secret")
        );
        assert!(
            shown.contains("Authorization") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn credentials_of_a_url_become_a_header_and_leave_the_url() {
        let mut url = Url::parse("http://a%40b:p%3Aw@h/path").unwrap();
        let (name, value) = take_credentials(&mut url).unwrap();
        assert_eq!(url.as_str(), "http://h/path");
        let expected = BASE64_STANDARD.encode("a@b:p:w");
        assert_eq!(
            (name.as_str(), value),
            ("Authorization", format!("Basic {expected}"))
        );
        assert_eq!(take_credentials(&mut url), None);
    }
}
