//! A little HTTP server that behaves as a test wants: real sockets, one thread a connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use url::Url;

/// What is done with one request.
pub(crate) enum Reaction {
    /// Writes these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Writes these bytes and closes the connection.
    Last(Vec<u8>),
    /// Says nothing and keeps the connection.
    Silence,
}

/// An answer with a status and a body of known size.
pub(crate) fn answer(status: u16) -> Reaction {
    Reaction::Answer(
        format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\nok").into_bytes(),
    )
}

pub(crate) fn answer_after(delay: Duration) -> Reaction {
    std::thread::sleep(delay);
    answer(200)
}

/// Lives until the test process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Requests that arrived.
    pub(crate) arrived: Arc<AtomicU64>,
    /// Requests with their bodies.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// The number of the connection of each request, as connections were accepted.
    pub(crate) served_on: Arc<Mutex<Vec<u64>>>,
    /// Connections that were accepted.
    pub(crate) accepted: Arc<AtomicU64>,
    /// Of these, still open.
    pub(crate) open: Arc<AtomicU64>,
}

impl Server {
    /// `react` gets the number of the request, from 0.
    pub(crate) fn start(react: impl Fn(u64) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            heads: Arc::default(),
            served_on: Arc::default(),
            accepted: Arc::default(),
            open: Arc::default(),
        };
        let shared = Arc::new(server.handle());
        let react = Arc::new(react);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (react, shared) = (Arc::clone(&react), Arc::clone(&shared));
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                shared.open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    shared.serve(stream, number, &*react);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}/path", self.address)).unwrap()
    }

    fn handle(&self) -> Self {
        Self {
            address: self.address,
            arrived: Arc::clone(&self.arrived),
            heads: Arc::clone(&self.heads),
            served_on: Arc::clone(&self.served_on),
            accepted: Arc::clone(&self.accepted),
            open: Arc::clone(&self.open),
        }
    }

    fn serve(&self, mut stream: TcpStream, number: u64, react: &dyn Fn(u64) -> Reaction) {
        stream.set_nodelay(true).unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            request.extend_from_slice(&buffer[..count]);
            if !is_complete(&request) {
                continue;
            }
            let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
            self.heads.lock().unwrap().push(text);
            self.served_on.lock().unwrap().push(number);
            let written = match react(self.arrived.fetch_add(1, Ordering::SeqCst)) {
                Reaction::Answer(bytes) => stream.write_all(&bytes),
                Reaction::Last(bytes) => {
                    let _ = stream.write_all(&bytes);
                    return;
                }
                Reaction::Silence => Ok(()),
            };
            if written.is_err() {
                return;
            }
        }
    }
}

fn is_complete(request: &[u8]) -> bool {
    let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let length = std::str::from_utf8(&request[..head])
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    request.len() - head - 4 >= length.map_or(0, |length| length.parse().unwrap())
}
