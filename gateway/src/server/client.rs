//! One client connection: its phases, its deadline, its end.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use http::HeaderValue;
use hyper::{
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::worker::Worker;
use crate::{headers, proxy, upstream::link::BUFFER_BYTES};

/// The largest head of a request, in bytes; a larger one is answered with 431.
const HEAD_LIMIT_BYTES: usize = 32 * 1024;
/// How long a client that still sends is listened to after it was answered.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it is read and thrown away.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The upstream's head; whoever waits for it looks at the deadline.
    Exchange,
    /// The end of an answer's body.
    Answer,
    /// The end of what the client still sends after its last answer.
    Linger,
}

/// State of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    /// There is none, or it was read to its end.
    Done,
    /// The client has the next move.
    Awaited,
    /// The upstream has the next move.
    Moving,
    /// The client broke it off.
    Lost,
}

/// One client connection, as its requests and its thread's clock see it.
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) ip: IpAddr,
    /// The address as a header's value.
    pub(crate) address: HeaderValue,
    /// The last `Host` and the `Forwarded` element made of it: nearly always the next one's too.
    forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,
    phase: Cell<Phase>,
    upload: Cell<Upload>,
    /// Tick by which the phase must have moved on.
    deadline: Cell<u64>,
    task: RefCell<Waker>,
}

impl Client {
    fn new(worker: Rc<Worker>, peer: SocketAddr) -> Rc<Self> {
        let ip = peer.ip().to_canonical();
        let deadline = worker.after(worker.shared.timeouts.header);
        let client = Rc::new(Self {
            ip,
            // An address has no byte that a header cannot have.
            address: HeaderValue::try_from(ip.to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            forwarded: RefCell::default(),
            // A new connection is expected to say something soon.
            phase: Cell::new(Phase::Head),
            upload: Cell::new(Upload::Done),
            deadline: Cell::new(deadline),
            task: RefCell::new(Waker::noop().clone()),
            worker,
        });
        client.worker.register(&client);
        client
    }

    /// The `Forwarded` element for a request with this `Host`; `None` when the host is malformed.
    pub(crate) fn forwarded(&self, host: Option<&HeaderValue>) -> Option<HeaderValue> {
        static NONE: HeaderValue = HeaderValue::from_static("");
        let host = host.unwrap_or(&NONE);
        let mut cached = self.forwarded.borrow_mut();
        if let Some((known, element)) = &*cached
            && known == host
        {
            return Some(element.clone());
        }
        let element = headers::forwarded_element(self.ip, host.as_bytes())?;
        // A copy: a clone of the host would keep the whole head it is part of in memory.
        let host = HeaderValue::from_bytes(host.as_bytes()).ok()?;
        *cached = Some((host, element.clone()));
        Some(element)
    }

    /// A head was read: the exchange begins.
    pub(crate) fn begin(&self, has_body: bool) {
        self.phase.set(Phase::Exchange);
        if has_body {
            self.upload.set(Upload::Awaited);
            self.until(self.worker.shared.timeouts.body);
        } else {
            self.upload.set(Upload::Done);
            self.until(self.worker.shared.timeouts.response);
        }
    }

    /// Another upstream, or the first, gets its time to answer.
    pub(crate) fn attempt_began(&self) {
        self.until(match self.upload.get() {
            Upload::Done => self.worker.shared.timeouts.response,
            _ => self.worker.shared.timeouts.body,
        });
    }

    /// The next part of the request's body is the client's to send.
    pub(crate) fn body_awaited(&self) {
        self.upload.set(Upload::Awaited);
    }

    /// A part of the request's body came.
    pub(crate) fn body_moved(&self) {
        self.upload.set(Upload::Moving);
        self.until(self.worker.shared.timeouts.body);
    }

    /// The request is complete: from now on the upstream is waited for.
    pub(crate) fn body_ended(&self) {
        self.upload.set(Upload::Done);
        if self.phase.get() == Phase::Exchange {
            self.until(self.worker.shared.timeouts.response);
        }
    }

    /// The client broke its body off.
    pub(crate) fn body_lost(&self) {
        self.upload.set(Upload::Lost);
    }

    pub(crate) fn upload(&self) -> Upload {
        self.upload.get()
    }

    /// The answer's head is on its way.
    pub(crate) fn answer_began(&self) {
        self.phase.set(Phase::Answer);
        self.until(self.worker.shared.timeouts.body);
    }

    /// A part of the answer came.
    pub(crate) fn answer_moved(&self) {
        self.until(self.worker.shared.timeouts.body);
    }

    /// All of the answer was taken.
    pub(crate) fn answer_ended(&self) {
        self.phase.set(Phase::Idle);
        self.until(self.worker.shared.timeouts.keep_alive);
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.worker.now() >= self.deadline.get()
    }

    /// Wakes the connection's task when its deadline has passed.
    pub(crate) fn look_at_deadline(&self, now: u64) {
        if now >= self.deadline.get() {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        self.task.borrow().wake_by_ref();
    }

    fn until(&self, duration: Duration) {
        self.deadline.set(self.worker.after(duration));
    }

    fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.until(self.worker.shared.timeouts.header);
        }
    }

    fn sent(&self) {
        match self.phase.get() {
            Phase::Answer => self.until(self.worker.shared.timeouts.body),
            Phase::Idle => self.until(self.worker.shared.timeouts.keep_alive),
            Phase::Head | Phase::Exchange | Phase::Linger => {}
        }
    }

    /// Everything was said; what the client still sends is thrown away for a while.
    fn lingers(&self) -> bool {
        if self.phase.get() != Phase::Linger {
            self.phase.set(Phase::Linger);
            self.until(LINGER);
        }
        self.upload.get() != Upload::Done
    }

    /// Whether the connection is to be dropped for being late. During an exchange the request
    /// answers that by itself.
    fn is_overdue(&self) -> bool {
        self.phase.get() != Phase::Exchange && self.is_late()
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let client = Client::new(Rc::clone(&worker), peer);
    let io = ClientIo {
        stream: TokioIo::new(stream),
        client: Rc::clone(&client),
        thrown_away: 0,
    };
    let answering = Rc::clone(&client);
    let service = service_fn(move |request| proxy::answer(Rc::clone(&answering), request));
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEAD_LIMIT_BYTES)
        // The thread's clock sees to it, without a timer for each request.
        .header_read_timeout(None);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut told = false;
    poll_fn(|cx| {
        client.task.borrow_mut().clone_from(cx.waker());
        if client.is_overdue() {
            return Poll::Ready(());
        }
        if worker.closing.get() && !told {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        // How it ended concerns nobody: what could be answered was.
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// The client's socket; tells the connection's state what moves.
struct ClientIo {
    stream: TokioIo<TcpStream>,
    client: Rc<Client>,
    thrown_away: usize,
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.client.received();
        }
        polled
    }
}

/// Not vectored, so that hyper copies a body behind its head and both go out as one buffer, by a
/// cheaper system call, which pays for the copy up to some 16 KiB; at 1 MiB a few percent are lost.
impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.client.sent();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        // When the request was answered before it was read to its end, closing at once would make
        // the kernel reset the connection, and the client might never see the answer (RFC 9112
        // §9.6). So what it still sends is read for a while; then it is cut off.
        while self.client.lingers() && self.thrown_away < LINGER_BYTES {
            let mut room = [0; 4096];
            let mut buffer = ReadBuf::new(&mut room);
            ready!(Pin::new(self.stream.inner_mut()).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.thrown_away += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
