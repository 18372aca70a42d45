//! The body of a request on its way to an upstream.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::deadline::Progress;

/// A body that goes to an upstream.
pub(crate) enum RequestBody {
    /// At hand, and so can be sent again; empty bodies are these too.
    Whole(Option<Bytes>),
    /// As it comes from the client.
    Streamed {
        /// What the client sends.
        incoming: Incoming,
        /// Whose deadline it moves.
        progress: Rc<Progress>,
    },
}

impl RequestBody {
    /// A body that is at hand.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
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
            Self::Streamed { incoming, progress } => {
                let polled = Pin::new(&mut *incoming).poll_frame(cx);
                match &polled {
                    Poll::Pending => progress.body_awaited(),
                    Poll::Ready(Some(Ok(_))) if !incoming.is_end_stream() => progress.body_moved(),
                    Poll::Ready(Some(Err(_))) => progress.body_lost(),
                    Poll::Ready(_) => progress.body_ended(),
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
