//! A gateway on port 0, upstreams that do as they are told, and a client that speaks raw bytes.

use std::{
    convert::Infallible,
    future::Future,
    net::{SocketAddr, TcpListener as StdListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use gateway::{Config, Listeners, Resolver, config::Raw, system_resolver};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use shared::{clock::Clock, config::Faults, problem::Problem, shutdown::CancellationToken};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// The longest that anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually<F, C>(what: &'static str, mut condition: C) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
    C: FnMut() -> F,
{
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(
                Instant::now() < deadline,
                "{caller}: never came true: {what}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Fails the test when `future` takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it took too long")
}

pub(crate) fn config(options: &[&str]) -> Config {
    let defaults = [
        "gateway",
        "--threads=2",
        "--health-interval=20ms",
        "--drain-grace=0s",
        "--drain-timeout=5s",
        "--dns-refresh=10ms",
    ];
    // The last of two equal options wins, so that a test can override a default.
    let arguments = defaults.iter().chain(options);
    let command = <Raw as clap::CommandFactory>::command().args_override_self(true);
    let matches = command.get_matches_from(arguments);
    let raw = <Raw as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
    let mut faults = Faults::default();
    let config = gateway::config::check(raw, &mut faults);
    assert!(faults.is_empty(), "{faults}");
    config.unwrap()
}

/// A gateway that runs in this process.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), gateway::Error>>,
}

impl Gateway {
    /// One route, `/p`, to one pool, `p`, of these upstreams; waits until all are healthy.
    pub(crate) async fn before(upstreams: &[&Upstream], options: &[&str]) -> Self {
        let addresses: Vec<String> = upstreams
            .iter()
            .map(|upstream| upstream.address.to_string())
            .collect();
        let gateway = Self::before_addresses(&addresses.join(","), options).await;
        eventually("all upstreams are healthy", || async {
            gateway.healthy().await == upstreams.len()
        })
        .await;
        gateway
    }

    /// One route, `/p`, to one pool, `p`, with these members.
    pub(crate) async fn before_addresses(members: &str, options: &[&str]) -> Self {
        let pools = format!("--pools=p={members}");
        let mut all = vec!["--routes=/p=p", pools.as_str()];
        all.extend(options);
        Self::start(config(&all), Clock::system(), system_resolver()).await
    }

    pub(crate) async fn start(config: Config, clock: Clock, resolver: Resolver) -> Self {
        Self::start_with(config, clock, resolver, None).await
    }

    /// Like [`Gateway::start`], with a listener for operators.
    pub(crate) async fn start_with(
        config: Config,
        clock: Clock,
        resolver: Resolver,
        admin: Option<StdListener>,
    ) -> Self {
        let public = StdListener::bind("127.0.0.1:0").unwrap();
        let address = public.local_addr().unwrap();
        let listeners = Listeners { public, admin };
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(gateway::run_with(
            config,
            listeners,
            clock,
            shutdown.clone(),
            resolver,
        ));
        Self {
            address,
            shutdown,
            ended,
        }
    }

    /// Shuts down and waits for the end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon(self.ended).await.unwrap().unwrap();
    }

    pub(crate) async fn pools(&self) -> serde_json::Value {
        let reply = get(self.address, "/pools").await;
        assert_eq!(reply.status, 200);
        serde_json::from_slice(&reply.body).unwrap()
    }

    pub(crate) async fn upstreams(&self) -> Vec<serde_json::Value> {
        self.pools().await["pools"]["p"]["upstreams"]
            .as_array()
            .unwrap()
            .clone()
    }

    pub(crate) async fn healthy(&self) -> usize {
        let upstreams = self.upstreams().await;
        upstreams
            .iter()
            .filter(|upstream| upstream["healthy"] == true && upstream["ejected"] == false)
            .count()
    }

    /// The value of one line of the metrics, 0 when it is not there.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let text = get(self.address, "/metrics").await.text();
        text.lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
            .unwrap_or(0.0)
    }
}

pub(crate) type Body = BoxBody<Bytes, Infallible>;
type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// A whole body.
pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

/// An HTTP server with a behaviour.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// Whether it says at `/readyz` that it is ready.
    pub(crate) ready: Arc<AtomicBool>,
    /// Whether it says there that it is ending.
    pub(crate) ending: Arc<AtomicBool>,
    /// Requests other than `/readyz` that have come in.
    pub(crate) count: Arc<AtomicUsize>,
    killed: CancellationToken,
    serving: JoinHandle<()>,
}

impl Upstream {
    /// Answers each request with its own name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::with(move |_| async move { Response::new(full(name)) }).await
    }

    /// Answers with the request's head as it came, a line each, then its body.
    pub(crate) async fn echo() -> Self {
        Self::with(|request| async move {
            let (head, body) = request.into_parts();
            let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
            for (name, value) in &head.headers {
                text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
            }
            let body = body.collect().await.unwrap().to_bytes();
            text += "\n";
            text += &String::from_utf8_lossy(&body);
            Response::new(full(text))
        })
        .await
    }

    pub(crate) async fn with<F, A>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::at("127.0.0.1:0".parse().unwrap(), handler).await
    }

    /// On an address that was used before.
    pub(crate) async fn at<F, A>(address: SocketAddr, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1024).unwrap();
        let ready = Arc::new(AtomicBool::new(true));
        let ending = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let killed = CancellationToken::new();
        Self {
            address: listener.local_addr().unwrap(),
            serving: tokio::spawn(serve(
                listener,
                handler,
                (Arc::clone(&ready), Arc::clone(&ending)),
                Arc::clone(&count),
                killed.clone(),
            )),
            ready,
            ending,
            count,
            killed,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Ends like a killed process: the port and every connection are closed when this returns.
    pub(crate) async fn kill(self) {
        self.killed.cancel();
        soon(self.serving).await.unwrap();
    }
}

async fn serve(
    listener: TcpListener,
    handler: Handler,
    (ready, ending): (Arc<AtomicBool>, Arc<AtomicBool>),
    count: Arc<AtomicUsize>,
    killed: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = killed.cancelled() => break,
        };
        let (handler, count) = (Arc::clone(&handler), Arc::clone(&count));
        let (ready, ending) = (Arc::clone(&ready), Arc::clone(&ending));
        let service = service_fn(move |request: Request<Incoming>| {
            let (handler, count) = (Arc::clone(&handler), Arc::clone(&count));
            let ending = ending.load(Ordering::SeqCst);
            let ready = ready.load(Ordering::SeqCst) && !ending;
            async move {
                if request.uri().path() == "/readyz" {
                    let problem = Problem::ending(&["server: draining".to_owned()]).to_json();
                    let body = if ending { problem } else { "{}".to_owned() };
                    let mut response = Response::new(full(body));
                    if !ready {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    return Ok::<_, Infallible>(response);
                }
                count.fetch_add(1, Ordering::SeqCst);
                Ok(handler(request).await)
            }
        });
        connections.spawn(async move {
            // The gateway may close at any time.
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// A server that reads a head (and remembers it) and then does what `respond` says with the socket.
pub(crate) struct RawUpstream {
    pub(crate) address: SocketAddr,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RawUpstream {
    /// `respond` is called with the connection, the number of the request on it (from 0), and may
    /// return the connection for another request.
    pub(crate) async fn start<F, A>(respond: F) -> Self
    where
        F: Fn(TcpStream, usize) -> A + Send + Sync + Clone + 'static,
        A: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (seen, respond) = (Arc::clone(&seen), respond.clone());
                connections.spawn(async move {
                    for turn in 0.. {
                        let Some(head) = read_head(&mut stream).await else {
                            return;
                        };
                        if head.starts_with("GET /readyz ") {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                            if stream.write_all(answer).await.is_err() {
                                return;
                            }
                            continue;
                        }
                        seen.lock().unwrap().push(head);
                        match respond(stream, turn).await {
                            Some(again) => stream = again,
                            None => return,
                        }
                    }
                });
            }
        });
        Self {
            address,
            heads,
            serving,
        }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Reads a byte at a time to the empty line, so that nothing of what follows is taken.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A client's connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The `type` of a problem document.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.all("content-type"), ["application/problem+json"]);
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        body["type"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned()
    }
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) -> Option<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.ok()?;
        self.reply().await
    }

    /// More bytes; false at the end.
    pub(crate) async fn fill(&mut self) -> bool {
        let read = soon(self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(count) if count > 0)
    }

    /// Waits for a text in what has come and takes everything up to its end.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = find(&self.buffer, text.as_bytes()) {
                let taken: Vec<u8> = self.buffer.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            assert!(
                self.fill().await,
                "{text:?} never came, only {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// The next answer; `None` when the connection ended instead.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                let head = String::from_utf8(head).unwrap();
                if head.starts_with("HTTP/1.1 100") {
                    continue;
                }
                return self.body(head).await;
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn body(&mut self, head: String) -> Option<Reply> {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        if reply.all("transfer-encoding") == ["chunked"] {
            loop {
                let line = self.until("\r\n").await;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                while self.buffer.len() < size + 2 {
                    if !self.fill().await {
                        return None;
                    }
                }
                reply.body.extend(self.buffer.drain(..size));
                self.buffer.drain(..2);
                if size == 0 {
                    return Some(reply);
                }
            }
        }
        let length: usize = reply
            .all("content-length")
            .first()
            .map_or(0, |text| text.parse().unwrap());
        while self.buffer.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        reply.body.extend(self.buffer.drain(..length));
        Some(reply)
    }

    /// Takes what has come and returns how much it was.
    pub(crate) fn taken(&mut self) -> usize {
        std::mem::take(&mut self.buffer).len()
    }

    /// Everything until the gateway closes.
    pub(crate) async fn rest(mut self) -> String {
        while self.fill().await {}
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// One request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Reply {
    Wire::open(address)
        .await
        .get(path)
        .await
        .expect("no answer")
}

/// Sends raw bytes and returns everything that comes until the gateway closes.
pub(crate) async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut wire = Wire::open(address).await;
    wire.send(bytes).await;
    wire.rest().await
}
