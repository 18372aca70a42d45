//! The answer's way to the client: a frame at a time, each taken when the client has room.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};

use super::spans::Trace;
use crate::{deadline::Progress, upstream::response::UpstreamBody};

/// A body that goes to a client: at hand, or still coming from an upstream.
pub(crate) type ResponseBody = Either<Full<Bytes>, Flow>;

/// An answer that is still coming from an upstream.
pub(crate) struct Flow {
    body: UpstreamBody,
    progress: Rc<Progress>,
    /// Bytes that have passed.
    passed: usize,
    /// The spans end with the body.
    trace: Trace,
    /// The answer broke off; the client's connection learns it one poll later, so that what came
    /// before is written first.
    broken: Option<hyper::Error>,
}

/// A body that is at hand.
pub(crate) fn whole(bytes: Bytes) -> ResponseBody {
    Either::Left(Full::new(bytes))
}

/// The body of an upstream's answer, which moves the deadline of the client's connection.
pub(crate) fn flow(body: UpstreamBody, progress: &Rc<Progress>, trace: Trace) -> ResponseBody {
    if body.is_end_stream() {
        return whole(Bytes::new());
    }
    Either::Right(Flow {
        body,
        progress: Rc::clone(progress),
        passed: 0,
        trace,
        broken: None,
    })
}

impl Body for Flow {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if !self.progress.may_answer(self.passed) {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Err(error))) => {
                self.broken = Some(error);
                self.trace.answer_lost();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(ref frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.passed = self.passed.saturating_add(bytes);
                self.progress.answer_moved();
                if self.body.is_end_stream() {
                    self.trace = Trace::default();
                }
            }
            Poll::Ready(None) => self.trace = Trace::default(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.progress.answer_ended();
    }
}
