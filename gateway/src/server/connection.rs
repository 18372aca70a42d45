//! One client connection: hyper over a socket that reports what moves.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

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

use crate::{
    deadline::Progress,
    proxy::{self, Proxy, client::Client},
    upstream::connection::BUFFER_BYTES,
};

/// The largest head of a request, in bytes; a larger one is answered with 431.
const HEAD_LIMIT_BYTES: usize = 32 * 1024;
/// How much of what a client still sends after its last answer is read and thrown away.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Serves one connection to its end; `closing` says whether another request may come on it.
pub(super) async fn serve(
    proxy: Rc<Proxy>,
    progress: Rc<Progress>,
    closing: Rc<Cell<bool>>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let client = Client::new(proxy, Rc::clone(&progress), peer.ip());
    let io = ClientIo {
        stream: TokioIo::new(stream),
        progress: Rc::clone(&progress),
        thrown_away: 0,
    };
    let service = service_fn(move |request| proxy::answer(Rc::clone(&client), request));
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEAD_LIMIT_BYTES)
        // The thread's clock sees to it, without a timer for each request.
        .header_read_timeout(None);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut ending = false;
    poll_fn(|cx| {
        progress.watched_by(cx.waker());
        if progress.is_overdue() && !progress.may_have_moved() {
            return Poll::Ready(());
        }
        let ends = closing.get() || progress.is_retired();
        // hyper would close a connection whose request it has not read yet.
        if ends && !ending && !progress.expects_head() {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        let polled = connection.as_mut().poll(cx);
        // A socket that is full has just been asked what its client acknowledged.
        if polled.is_pending() && !progress.is_overdue() {
            return Poll::Pending;
        }
        // How it ended concerns nobody: what could be answered was.
        Poll::Ready(())
    })
    .await;
}

/// The client's socket; reports to the connection's progress.
struct ClientIo {
    stream: TokioIo<TcpStream>,
    progress: Rc<Progress>,
    thrown_away: usize,
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.progress.may_receive() {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.progress.received();
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
        match polled {
            Poll::Ready(Ok(count)) => self.progress.sent(count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.progress.full(|| unacknowledged(self.stream.inner())),
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
        while self.progress.lingers() && self.thrown_away < LINGER_BYTES {
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

/// Bytes that the socket holds and its client has not acknowledged (`tcp(7)`, `SIOCOUTQ`); none when
/// the kernel does not tell, so that such a client is held to what its socket takes.
fn unacknowledged(stream: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    #[expect(
        unsafe_code,
        reason = "ioctl(2) has no safe interface for this request"
    )]
    // SAFETY: the descriptor is open while `stream` is borrowed, and this request writes one int.
    let told = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if told == 0 {
        usize::try_from(bytes).unwrap_or(0)
    } else {
        0
    }
}
