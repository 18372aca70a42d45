//! `BINARY healthcheck URL`: asks a running service once and ends with 0 when it answers 200.
//!
//! A container image then needs neither a shell nor curl for its health check:
//! `HEALTHCHECK CMD ["gateway", "healthcheck", "http://127.0.0.1:8080/readyz"]`.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use thiserror::Error;
use url::Url;

/// For each step: to connect, to send, to wait for the status.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// `HTTP/1.1 200`: as much of the answer as is looked at.
const STATUS_BYTES: usize = 12;

/// Why a service does not count as healthy.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// The argument is not the plain HTTP address of something.
    #[error("usage: healthcheck http://HOST:PORT/PATH")]
    Usage,
    /// There was no connection, or no answer on it in time.
    #[error("{url} does not answer: {reason}")]
    Silent {
        /// What was asked.
        url: Url,
        /// What the operating system said.
        reason: io::Error,
    },
    /// There was an answer other than 200.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked.
        url: Url,
        /// The three digits, or what stood in their place.
        status: String,
    },
}

/// Carries out the health check if the process was started for one: call it first in `main` and end
/// with the code it returns. `None`: the process was started to serve.
#[must_use]
pub fn requested() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != "healthcheck" {
        return None;
    }
    match check(arguments.next()) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(unhealthy) => {
            // Docker keeps what a failed check wrote and shows it in `docker inspect`.
            let _ = writeln!(io::stderr(), "{unhealthy}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Asks once.
///
/// # Errors
///
/// Anything but the answer 200.
fn check(address: Option<OsString>) -> Result<(), Unhealthy> {
    let url = address
        .and_then(|text| text.into_string().ok())
        .and_then(|text| Url::parse(&text).ok())
        .filter(|url| url.scheme() == "http")
        .ok_or(Unhealthy::Usage)?;
    match status(&url) {
        Ok(status) if status == "200" => Ok(()),
        Ok(status) => Err(Unhealthy::Status { url, status }),
        Err(reason) => Err(Unhealthy::Silent { url, reason }),
    }
}

fn status(url: &Url) -> io::Result<String> {
    let mut stream = connect(&url.socket_addrs(|| None)?)?;
    let address = stream.peer_addr()?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    let path = url.path();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: healthcheck\r\nConnection: close\r\n\r\n"
    )?;
    let mut start = [0; STATUS_BYTES];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start)
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// At the first address that can be connected to: a name may have some where nobody listens.
fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut reason = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match TcpStream::connect_timeout(address, STEP_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one request with `answer` and returns the request.
    fn service(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (format!("http://{address}/readyz"), served)
    }

    fn outcome(address: &str) -> Result<(), String> {
        check(Some(address.into())).map_err(|unhealthy| unhealthy.to_string())
    }

    #[test]
    fn a_service_that_answers_200_is_healthy() {
        let (address, served) = service("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(outcome(&address), Ok(()));
        let request = served.join().unwrap();
        assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
    }

    #[test]
    fn a_service_that_answers_503_is_not_and_the_status_is_named() {
        let (address, served) = service("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(outcome(&address), Err(format!("{address} answers 503")));
        served.join().unwrap();
    }

    #[test]
    fn a_port_where_nobody_listens_is_not_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/readyz", listener.local_addr().unwrap());
        drop(listener);
        let reason = outcome(&address).unwrap_err();
        assert!(
            reason.starts_with(&format!("{address} does not answer: ")),
            "{reason}"
        );
    }

    #[test]
    fn an_address_where_nobody_listens_is_passed_over() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listening.local_addr().unwrap();
        let closed = silent.local_addr().unwrap();
        drop(silent);
        let stream = connect(&[closed, address]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(connect(&[closed]).is_err() && connect(&[]).is_err());
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_healthy() {
        let (address, served) = service("HTTP/1.1");
        assert!(outcome(&address).unwrap_err().contains("does not answer"));
        served.join().unwrap();
    }

    #[test]
    fn anything_but_a_plain_http_address_is_a_wrong_use() {
        for text in ["", "readyz", "https://127.0.0.1/readyz", "127.0.0.1:8080"] {
            assert_eq!(
                outcome(text),
                Err("usage: healthcheck http://HOST:PORT/PATH".to_owned()),
                "{text}"
            );
        }
        assert!(check(None).is_err());
    }
}
