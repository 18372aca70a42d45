//! One HTTP call whose answer's arrival is known to the microsecond.
//!
//! A client library hands the answer through its own threads, and a lag of a millisecond would be
//! lost in that. Here the thread that waits on the socket takes the time.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use url::Url;

/// A revocation that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Enough for the status line and the beginning of the header.
const HEAD: usize = 4_096;

/// A call that is made of a connection opened beforehand.
pub(super) struct Call {
    stream: TcpStream,
    request: Vec<u8>,
}

/// What came of it.
pub(super) struct Answered {
    /// When the first bytes of the answer were read.
    pub(super) at: Instant,
    /// Its HTTP status.
    pub(super) status: u16,
}

impl Call {
    /// Connects; nothing is sent yet.
    pub(super) fn new(
        server: &Url,
        method: &str,
        path: &str,
        credential: &str,
        body: &str,
    ) -> io::Result<Self> {
        let request = |address| {
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        Self::of(server, request)
    }

    /// The same for the request that `text` makes of the server's address, whole and as it is sent.
    pub(super) fn of(server: &Url, text: impl FnOnce(SocketAddr) -> String) -> io::Result<Self> {
        let stream = connect(server)?;
        let request = text(stream.peer_addr()?).into_bytes();
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, request })
    }

    /// Sends the request and waits for the answer.
    pub(super) fn make(mut self) -> io::Result<Answered> {
        self.stream.write_all(&self.request)?;
        let mut head = [0; HEAD];
        let mut length = 0;
        let mut at = None;
        loop {
            let read = self.stream.read(&mut head[length..])?;
            let at = *at.get_or_insert_with(Instant::now);
            length += read;
            if let Some(status) = status(&head[..length]) {
                return Ok(Answered { at, status });
            }
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    }
}

/// The status in the first line; `None` while the line is not whole.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.1 ")?;
    text.get(..3)?.parse().ok()
}

/// At the first address of the server that can be connected to.
///
/// # Errors
///
/// The last of them cannot be connected to, or there is none.
pub(super) fn connect(server: &Url) -> io::Result<TcpStream> {
    let mut fault = io::Error::other(format!("{server} has no address"));
    for address in server.socket_addrs(|| None)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_status_is_read_as_soon_as_it_is_there() {
        assert_eq!(status(b"HTTP/1.1 2"), None);
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status(b"SSH-2.0-x\r\n"), None);
    }

    #[test]
    fn a_call_carries_its_credential_and_tells_when_it_was_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 1_024];
            let length = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let before = Instant::now();
        let server_url = Url::parse(&url).unwrap();
        let call = Call::new(&server_url, "POST", "/auth/logout", "abc", "").unwrap();
        let answered = call.make().unwrap();
        assert_eq!(answered.status, 200);
        assert!(answered.at >= before);
        let request = server.join().unwrap();
        assert!(request.starts_with("POST /auth/logout HTTP/1.1\r\n"));
        assert!(request.contains("Authorization: Bearer abc\r\n"));
    }

    #[test]
    fn a_server_that_hangs_up_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || drop(listener.accept()));
        let server_url = Url::parse(&url).unwrap();
        let call = Call::new(&server_url, "POST", "/", "abc", "").unwrap();
        assert!(call.make().is_err());
        server.join().unwrap();
    }
}
