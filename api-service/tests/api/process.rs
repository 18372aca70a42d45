//! The binary with a log that can be read, and requests written by hand: a client library would
//! refuse to send some of them.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Child,
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    PATIENCE,
    binary::binary,
    issuer::Issuer,
    signer::{AUDIENCE, ISSUER},
};

pub(crate) struct Process {
    child: Child,
    address: String,
    folder: TempDir,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            status: status.and_then(|text| text.parse().ok()).unwrap_or(0),
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    /// The values of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

impl Process {
    /// Starts it with everything logged that our code and its libraries would log for debugging,
    /// and waits until it is ready.
    pub(crate) fn start(variables: &[(&str, &str)], issuer: &Issuer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let url = issuer.url().to_string();
        let child = binary(&[
            ("API_LISTEN", &address),
            ("API_ISSUER", ISSUER),
            ("API_AUDIENCE", AUDIENCE),
            ("API_JWKS_URL", &url),
            ("API_DRAIN_GRACE", "0s"),
            ("RUST_LOG", "debug"),
        ])
        .envs(variables.iter().copied())
        .stderr(log)
        .spawn()
        .unwrap();
        let process = Self {
            child,
            address,
            folder,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&process.address).is_err()
            || process.get("/readyz", &[]).status != 200
        {
            assert!(Instant::now() < deadline, "not ready: {}", process.log());
            std::thread::yield_now();
        }
        process
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// `GET /me` with a bearer of any bytes.
    pub(crate) fn me(&self, bearer: &[u8]) -> Reply {
        self.send(
            "/me",
            &[&b"authorization: Bearer "[..], bearer, b"\r\n"].concat(),
        )
    }

    pub(crate) fn get(&self, target: &str, headers: &[(&str, String)]) -> Reply {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        self.send(target, lines.collect::<String>().as_bytes())
    }

    fn send(&self, target: &str, lines: &[u8]) -> Reply {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let start = format!("GET {target} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n");
        let request = [start.as_bytes(), lines, b"\r\n"].concat();
        // A server may answer and close before it has read all of a request that is too long.
        let _ = connection.write_all(&request);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        Reply::read(&answer)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
