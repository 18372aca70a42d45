//! Connections to upstreams, each driven by the request that uses it.
//!
//! A connection is usually a task of its own that talks to the request's task through channels.
//! Here the request polls the connection itself: no task switch on the way out or back, a client
//! that goes away takes its upstream connection with it, and an idle connection costs nothing.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{pool::Endpoint, request::RequestBody};

/// How much of a message is buffered in each direction before the other side must take it.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// How often connection and consumer take turns before other requests get one.
const TURNS: usize = 32;

/// A connection to an upstream.
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    /// `None` once it has ended.
    driver: Option<http1::Connection<UpstreamIo, RequestBody>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// Tick of the thread's clock when it was made.
    pub(crate) born: u64,
    /// Tick when it was last put aside.
    pub(crate) idle_since: u64,
    /// It has carried a request before.
    pub(crate) reused: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("open", &self.driver.is_some())
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// No connection came about within `timeout`.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        timeout: Duration,
        now: u64,
    ) -> io::Result<Box<Self>> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(endpoint.address)).await??;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(UpstreamIo {
                stream: TokioIo::new(stream),
                broken: false,
            })
            .await
            .map_err(io::Error::other)?;
        let wakes = Arc::new(Wakes::default());
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
            born: now,
            idle_since: now,
            reused: false,
        }))
    }

    /// Sends a request and waits for the head of the answer. The error holds the request when
    /// nothing of it was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        // Queueing wakes the connection, which is polled below anyway.
        self.wakes.begin();
        let mut answer = pin!(self.sender.try_send_request(request));
        self.wakes.end();
        poll_fn(|cx| self.drive(cx, |cx| answer.as_mut().poll(cx))).await
    }

    /// Polls `consumer` and the connection in turns until the consumer is ready or neither can go
    /// on. What either does to wake the other stays within this call.
    pub(crate) fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut consumer: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.wakes.aim(cx.waker());
        self.wakes.begin();
        let mut inner = Context::from_waker(&self.waker);
        let mut outcome = Poll::Pending;
        for turn in 0.. {
            outcome = consumer(&mut inner);
            if outcome.is_ready() {
                break;
            }
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(&mut inner).is_ready()
            {
                // Dropping it hands back what it had not sent.
                self.driver = None;
                self.wakes.again.store(true, Ordering::Relaxed);
            }
            if !self.wakes.again.swap(false, Ordering::Relaxed) {
                break;
            }
            if turn == TURNS {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.wakes.end();
        outcome
    }

    /// Lets the connection finish what it has begun; true when it can carry another request.
    pub(crate) fn settle(&mut self) -> bool {
        self.wakes.aim(Waker::noop());
        let mut inner = Context::from_waker(&self.waker);
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(&mut inner).is_ready()
        {
            self.driver = None;
        }
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Like [`Connection::settle`] for a connection whose last answer was just read to its end: it is
    /// polled only if it is not ready yet.
    pub(crate) fn rest(&mut self, now: u64) -> bool {
        self.idle_since = now;
        self.reused = true;
        if self.driver.is_some() && self.sender.is_ready() {
            self.wakes.aim(Waker::noop());
            return true;
        }
        self.settle()
    }
}

/// The upstream's socket.
///
/// An upstream may answer before it has read the whole request and then close: our next write fails
/// while its answer is waiting to be read. So a broken write is not reported; the read finds the
/// answer, or reports the end.
struct UpstreamIo {
    stream: TokioIo<TcpStream>,
    /// Nothing can be written any more.
    broken: bool,
}

impl Read for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

/// Not vectored, as on the client's side.
impl Write for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Err(error)) = &polled
            && matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            )
        {
            self.broken = true;
            // Read again: what there is to read came before the write failed.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Passes wakes on to the task that uses the connection now, except while that task is polling it.
#[derive(Debug)]
struct Wakes {
    polling: AtomicBool,
    /// A wake came while polling.
    again: AtomicBool,
    task: Mutex<Waker>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self {
            polling: AtomicBool::new(false),
            again: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
        }
    }
}

impl Wakes {
    fn aim(&self, task: &Waker) {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(task);
    }

    fn begin(&self) {
        self.again.store(false, Ordering::Relaxed);
        self.polling.store(true, Ordering::Relaxed);
    }

    /// Everything that wakes a connection runs on its thread, so nothing comes in between.
    fn end(&self) {
        self.polling.store(false, Ordering::Relaxed);
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.polling.load(Ordering::Relaxed) {
            self.again.store(true, Ordering::Relaxed);
        } else {
            self.task
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .wake_by_ref();
        }
    }
}
