//! Asking a process whether it is ready, and the gateway whether it sees the others.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{Stack, StackError};

/// Pause between two questions: short against the tens of milliseconds of a start.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// How long one question may take: a service that is busy for longer is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a process is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    /// `GET /readyz` at this address answers 200.
    Http(SocketAddr),
    /// `PING` at this address answers `PONG`.
    Redis(SocketAddr),
    /// The server at this address asks whoever connects for a password.
    Postgres(SocketAddr),
}

impl Probe {
    /// Asks once; the error says what was wrong.
    pub(super) fn ask(self) -> Result<(), String> {
        match self {
            Self::Http(address) => match get(address, "/readyz")? {
                (200, _) => Ok(()),
                (status, body) => Err(format!("/readyz answered {status}: {body}")),
            },
            Self::Redis(address) => match exchange(address, b"PING\r\n", 7)?.as_slice() {
                b"+PONG\r\n" => Ok(()),
                other => Err(format!(
                    "PING was answered with {}",
                    String::from_utf8_lossy(other).trim()
                )),
            },
            // A server that is still starting answers with an error.
            Self::Postgres(address) => match exchange(address, &startup(), 1)?.first() {
                Some(b'R') => Ok(()),
                _ => Err("it takes no connections yet".to_owned()),
            },
        }
    }
}

/// What begins a connection to PostgreSQL: its own length, the version of the protocol, and for whom,
/// who need not exist ("Message Formats" in its documentation).
fn startup() -> Vec<u8> {
    let mut message = b"\0\0\0\0\0\x03\0\0user\0statewise\0\0".to_vec();
    message[3] = message.len() as u8;
    message
}

/// Waits until every gateway uses every upstream: healthy, and not ejected for requests that failed.
pub(super) fn wait_for_upstreams(stack: &Stack, deadline: Instant) -> Result<(), StackError> {
    for process in stack.processes_info() {
        if process.name.starts_with("gateway") {
            wait_for_upstreams_of(stack, &process.name, deadline)?;
        }
    }
    Ok(())
}

fn wait_for_upstreams_of(
    stack: &Stack,
    gateway: &str,
    deadline: Instant,
) -> Result<(), StackError> {
    let address = stack.with(gateway, |process| Ok(process.admin_address()))?;
    loop {
        if stack.interrupt.is_cancelled() {
            return Err(StackError::Interrupted);
        }
        let reason = match unused(address) {
            Ok(None) => return Ok(()),
            Ok(Some(names)) => format!("it does not use {names}"),
            Err(reason) => reason,
        };
        if Instant::now() >= deadline {
            return stack.with(gateway, |process| {
                Err(process.not_ready(stack.start_deadline, reason))
            });
        }
        std::thread::sleep(POLL);
    }
}

/// The upstreams that the gateway does not use; `None` when there are none.
fn unused(admin: SocketAddr) -> Result<Option<String>, String> {
    let (status, body) = get(admin, "/pools")?;
    let body: serde_json::Value = serde_json::from_str(&body)
        .map_err(|error| format!("/pools answered {status} and no JSON: {error}"))?;
    let pools = body["pools"].as_object().ok_or("/pools lists no pools")?;
    let missing: Vec<String> = pools
        .iter()
        .flat_map(|(pool, state)| {
            let upstreams = state["upstreams"].as_array().cloned().unwrap_or_default();
            upstreams.into_iter().filter_map(move |upstream| {
                (upstream["healthy"] != true || upstream["ejected"] == true)
                    .then(|| format!("{pool} at {}", upstream["address"]))
            })
        })
        .collect();
    Ok((!missing.is_empty()).then(|| missing.join(", ")))
}

/// Status and body of a `GET`. Enough of HTTP/1.1 for our own health endpoints, blocking, so that it
/// can be used within and without an asynchronous runtime.
fn get(address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes(), usize::MAX)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer is not HTTP")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or("the answer has no status")?;
    Ok((status, body.to_owned()))
}

/// Sends `request` and reads until the other side closes or `enough` bytes came.
fn exchange(address: SocketAddr, request: &[u8], enough: usize) -> Result<Vec<u8>, String> {
    let attempt = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while answer.len() < enough {
            match stream.read(&mut part)? {
                0 => break,
                read => answer.extend_from_slice(&part[..read]),
            }
        }
        Ok(answer)
    };
    attempt().map_err(|error| format!("{address}: {error}"))
}
