//! The body of a request on its way to an upstream.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::deadline::{Progress, Upload};

/// A body that goes to an upstream: at hand, so that it can be sent again (empty ones are these
/// too), or as it comes from the client.
pub(crate) type RequestBody = Either<Full<Bytes>, Streamed>;

/// What a client sends, which moves the deadline of its connection.
pub(crate) struct Streamed {
    pub(crate) incoming: Incoming,
    pub(crate) progress: Rc<Progress>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.progress.uploaded(bytes);
        }
        self.progress.upload_is(match &polled {
            Poll::Pending => Upload::Awaited,
            Poll::Ready(Some(Ok(_))) if !self.incoming.is_end_stream() => Upload::Moving,
            Poll::Ready(Some(Err(_))) => Upload::Lost,
            Poll::Ready(_) => Upload::Done,
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
