//! Finds the end of an HTTP/1.1 answer (RFC 9112 §6), however it is cut into pieces.

/// Longest head that is accepted.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;
const HEADER_LIMIT: usize = 100;

/// A complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// Whether the connection may carry another request.
    pub(super) reusable: bool,
}

/// What came is not an HTTP/1.1 answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads one answer after another from a connection.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    head: Vec<u8>,
    status: u16,
    close: bool,
    /// The answer has no body (RFC 9110 §9.3.2), whatever its head says.
    head_only: bool,
    part: Part,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// So many bytes of the body are still to come.
    Sized(u64),
    Chunked(Chunk),
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastEnd,
}

impl ResponseReader {
    /// A request was sent; `head_only` when it was a HEAD.
    pub(super) fn expect(&mut self, head_only: bool) {
        self.head_only = head_only;
    }

    /// Takes the next bytes of the connection; gives the answer when they complete it.
    ///
    /// # Errors
    ///
    /// The bytes are not an answer, or go on after its end. The connection is of no more use.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.part {
                Part::Head => self.read_head(rest)?,
                Part::Sized(left) => {
                    let used = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.part = Part::Sized(left - used as u64);
                    used
                }
                Part::Chunked(chunk) => match chunk.read(rest)? {
                    (used, Some(next)) => {
                        self.part = Part::Chunked(next);
                        used
                    }
                    (used, None) => {
                        self.part = Part::Sized(0);
                        used
                    }
                },
                Part::UntilClose => rest.len(),
            };
            rest = &rest[used..];
            if self.part == Part::Sized(0) {
                return if rest.is_empty() {
                    Ok(Some(self.complete()))
                } else {
                    Err(Malformed)
                };
            }
        }
        Ok(None)
    }

    /// The peer closed the connection: the end of an answer without a length, else too early.
    pub(super) fn closed(&mut self) -> Option<Answer> {
        (self.part == Part::UntilClose).then(|| self.complete())
    }

    fn complete(&mut self) -> Answer {
        let answer = Answer {
            status: self.status,
            reusable: !self.close && self.part != Part::UntilClose,
        };
        self.part = Part::Head;
        self.head.clear();
        answer
    }

    /// Gives how many of `bytes` belong to the head. A head mostly comes in one piece, and is then
    /// parsed where it lies.
    fn read_head(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let earlier = self.head.len();
        let parsed = if earlier == 0 {
            Head::parse(bytes)?
        } else {
            self.head.extend_from_slice(bytes);
            Head::parse(&self.head)?
        };
        let Some(head) = parsed else {
            if earlier == 0 {
                self.head.extend_from_slice(bytes);
            }
            return if self.head.len() > HEAD_LIMIT_BYTES {
                Err(Malformed)
            } else {
                Ok(bytes.len())
            };
        };
        self.head.clear();
        // An interim answer (RFC 9110 §15.2) is followed by the final one.
        if head.status >= 200 {
            self.status = head.status;
            self.close = head.close;
            self.part = if self.head_only {
                Part::Sized(0)
            } else {
                head.body
            };
        } else if head.status == 101 {
            return Err(Malformed);
        }
        Ok(head.length - earlier)
    }
}

struct Head {
    length: usize,
    status: u16,
    close: bool,
    body: Part,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed),
        };
        let status = response.code.ok_or(Malformed)?;
        let mut close = response.version == Some(0);
        let mut content_length = None;
        let mut chunked = false;
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let value = parse_length(header.value)?;
                if content_length
                    .replace(value)
                    .is_some_and(|earlier| earlier != value)
                {
                    return Err(Malformed);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed);
                }
                chunked = true;
            } else if header.name.eq_ignore_ascii_case("connection") {
                for option in header.value.split(|byte| *byte == b',') {
                    close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    if option.trim_ascii().eq_ignore_ascii_case(b"keep-alive") {
                        close = false;
                    }
                }
            }
        }
        let body = match (status, chunked, content_length) {
            (204 | 304, ..) => Part::Sized(0),
            (_, true, Some(_)) => return Err(Malformed),
            (_, true, None) => Part::Chunked(Chunk::START),
            (_, false, Some(length)) => Part::Sized(length),
            (_, false, None) => Part::UntilClose,
        };
        Ok(Some(Self {
            length,
            status,
            close,
            body,
        }))
    }
}

/// Digits only (RFC 9110 §8.6): `str::parse` would also take a plus sign.
fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed)
}

impl Chunk {
    const START: Self = Self::Size {
        value: 0,
        digits: 0,
    };

    /// How many bytes were used and what comes next; `None` after the last byte of the body.
    fn read(self, bytes: &[u8]) -> Result<(usize, Option<Self>), Malformed> {
        if let Self::Data { left } = self {
            let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - used as u64;
            let next = if left == 0 {
                Self::DataReturn
            } else {
                Self::Data { left }
            };
            return Ok((used, Some(next)));
        }
        Ok((1, self.step(bytes[0])?))
    }

    fn step(self, byte: u8) -> Result<Option<Self>, Malformed> {
        let next = match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == 15 {
                    return Err(Malformed);
                }
                let digit = (byte as char).to_digit(16).ok_or(Malformed)?;
                Self::Size {
                    value: value * 16 + u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Malformed),
            (Self::Size { value, .. } | Self::Extension { value }, b'\r') => {
                Self::SizeEnd { value }
            }
            (Self::Size { value, .. }, b';' | b' ' | b'\t') => Self::Extension { value },
            (Self::Extension { value }, _) if byte != b'\n' => Self::Extension { value },
            (Self::SizeEnd { value: 0 }, b'\n') => Self::TrailerStart,
            (Self::SizeEnd { value }, b'\n') => Self::Data { left: value },
            (Self::DataReturn, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::TrailerStart, b'\r') => Self::LastEnd,
            (Self::TrailerStart | Self::Trailer, _) if byte != b'\n' && byte != b'\r' => {
                Self::Trailer
            }
            (Self::Trailer, b'\r') => Self::TrailerEnd,
            (Self::TrailerEnd, b'\n') => Self::TrailerStart,
            (Self::LastEnd, b'\n') => return Ok(None),
            _ => return Err(Malformed),
        };
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 503 Busy\r\ntransfer-encoding: Chunked\r\nConnection: close\r\n\r\n\
        5\r\nhello\r\n1A;name=\"v\"\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-T: 1\r\n\r\n";
    const INTERIM: &[u8] =
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";

    fn read_in_pieces(bytes: &[u8], cuts: &[usize]) -> Result<Option<Answer>, Malformed> {
        let mut reader = ResponseReader::default();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut last = Ok(None);
        for piece in cuts.windows(2) {
            assert!(
                !matches!(last, Ok(Some(_))) || piece[0] == piece[1],
                "ended early"
            );
            if piece[0] < piece[1] {
                last = Ok(reader.feed(&bytes[piece[0]..piece[1]])?);
            }
        }
        last
    }

    proptest! {
        #[test]
        fn the_answer_is_the_same_however_it_is_cut(
            cuts in prop::collection::vec(any::<usize>(), 0..12)
        ) {
            for (bytes, status, reusable) in
                [(SIZED, 200, true), (CHUNKED, 503, false), (INTERIM, 204, true)]
            {
                prop_assert_eq!(
                    read_in_pieces(bytes, &cuts),
                    Ok(Some(Answer { status, reusable }))
                );
            }
        }

        #[test]
        fn arbitrary_bytes_give_an_error_or_an_answer_and_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            chunked in any::<bool>(),
        ) {
            let mut reader = ResponseReader::default();
            if chunked {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                prop_assert_eq!(reader.feed(head), Ok(None));
            }
            let _ = reader.feed(&bytes);
        }
    }

    #[test]
    fn what_is_not_an_answer_to_one_request_is_malformed() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ] {
            let found = ResponseReader::default().feed(bytes);
            assert_eq!(found, Err(Malformed), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\n\r\nsome"), Ok(None));
        assert_eq!(
            reader.closed(),
            Some(Answer {
                status: 200,
                reusable: false
            })
        );
        assert_eq!(reader.feed(SIZED).map(|answer| answer.is_some()), Ok(true));
        assert_eq!(reader.feed(b"HTTP/1.1 200"), Ok(None));
        assert_eq!(reader.closed(), None);
    }

    #[test]
    fn an_http_1_0_answer_ends_the_connection_unless_it_says_otherwise() {
        let read = |text: &str| ResponseReader::default().feed(text.as_bytes());
        let answer = |reusable| {
            Ok(Some(Answer {
                status: 200,
                reusable,
            }))
        };
        assert_eq!(
            read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
            answer(false)
        );
        assert_eq!(
            read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"),
            answer(true)
        );
    }
}
