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
    /// Heads of the requests.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `react` gets the number of the request, from 0.
    pub(crate) fn start(react: impl Fn(u64) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            heads: Arc::default(),
        };
        let (arrived, heads) = (Arc::clone(&server.arrived), Arc::clone(&server.heads));
        let react = Arc::new(react);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (react, arrived, heads) =
                    (Arc::clone(&react), Arc::clone(&arrived), Arc::clone(&heads));
                std::thread::spawn(move || serve(stream, &*react, &arrived, &heads));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}/path", self.address)).unwrap()
    }
}

fn serve(
    mut stream: TcpStream,
    react: &dyn Fn(u64) -> Reaction,
    arrived: &AtomicU64,
    heads: &Mutex<Vec<String>>,
) {
    stream.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        head.extend_from_slice(&buffer[..count]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        heads
            .lock()
            .unwrap()
            .push(String::from_utf8(std::mem::take(&mut head)).unwrap());
        let written = match react(arrived.fetch_add(1, Ordering::SeqCst)) {
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
