//! Bodies on their way through: a frame at a time, each taken when the other side has room.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use shared::telemetry::trace::Span;

use crate::{
    server::client::Client,
    upstream::{InFlight, link::Link},
};

/// A body that goes to an upstream.
pub(crate) enum RequestBody {
    /// At hand, and so can be sent again; empty bodies are these too.
    Whole(Option<Bytes>),
    /// As it comes from the client.
    Streamed {
        /// What the client sends.
        incoming: Incoming,
        /// Whose deadline it moves.
        client: Rc<Client>,
    },
}

impl RequestBody {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }

    /// Whether it can be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// The same body again, when it is at hand.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Streamed { .. } => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed { incoming, client } => {
                let polled = Pin::new(&mut *incoming).poll_frame(cx);
                match &polled {
                    Poll::Pending => client.body_awaited(),
                    Poll::Ready(Some(Ok(_))) if !incoming.is_end_stream() => client.body_moved(),
                    Poll::Ready(Some(Err(_))) => client.body_lost(),
                    Poll::Ready(_) => client.body_ended(),
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Streamed { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// A body that goes to a client.
pub(crate) struct ResponseBody(Source);

enum Source {
    Whole(Option<Bytes>),
    Upstream(Flow),
}

/// An answer that is still coming from an upstream.
pub(crate) struct Flow {
    pub(crate) incoming: Incoming,
    /// Given back when the answer was read to its end; closed when dropped before.
    pub(crate) link: Option<Box<Link>>,
    pub(crate) in_flight: InFlight,
    pub(crate) client: Rc<Client>,
    /// Spans end with the body.
    pub(crate) spans: Option<Box<Spans>>,
    /// The answer broke off; told to the client's connection one poll later, so that what came
    /// before is written first.
    pub(crate) broken: Option<hyper::Error>,
}

/// The spans of a recorded request.
#[derive(Debug)]
pub(crate) struct Spans {
    /// Of the last attempt; the inner one ends first.
    pub(crate) attempt: Box<Span>,
    /// Of the request.
    pub(crate) server: Box<Span>,
}

impl Spans {
    fn fail(&mut self, error_type: &'static str) {
        self.attempt.fail(error_type);
        self.server.fail(error_type);
    }
}

impl ResponseBody {
    /// A body that is at hand.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Source::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// The body of an upstream's answer.
    pub(crate) fn upstream(mut flow: Flow) -> Self {
        if flow.incoming.is_end_stream() {
            flow.finish();
            return Self(Source::Whole(None));
        }
        Self(Source::Upstream(flow))
    }

    /// Whether the body is still coming.
    pub(crate) fn is_upstream(&self) -> bool {
        matches!(self.0, Source::Upstream(_))
    }
}

impl Flow {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(self.broken.take().map(Err));
        };
        let incoming = &mut self.incoming;
        let polled = link.drive(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx));
        match polled {
            Poll::Ready(Some(Err(error))) => {
                self.link = None;
                self.broken = Some(error);
                if let Some(spans) = &mut self.spans {
                    spans.fail("upstream-lost");
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(_))) => {
                self.client.answer_moved();
                if self.incoming.is_end_stream() {
                    self.finish();
                }
            }
            Poll::Ready(None) => self.finish(),
            Poll::Pending => {}
        }
        polled
    }

    /// The answer is complete: the connection may carry the next one.
    fn finish(&mut self) {
        self.spans = None;
        if let Some(link) = self.link.take() {
            self.client
                .worker
                .links
                .put(self.in_flight.endpoint(), link, &self.client.worker);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().0 {
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream(flow) => flow.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Upstream(flow) => flow.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Source::Upstream(flow) => flow.incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // From here on the connection waits for the client's next request.
        if let Source::Upstream(flow) = &self.0 {
            flow.client.answer_ended();
        }
    }
}
