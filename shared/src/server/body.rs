//! How long a request's body may take to come.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpMessage,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{ConnectionType, StatusCode},
    web::Bytes,
};
use futures_util::Stream;
use tokio::time::Sleep;

/// As long as a head may take. Bodies are small (see [`JSON_LIMIT_BYTES`](super::JSON_LIMIT_BYTES)),
/// so this is the time for a whole one: with a deadline for each part, one that drips would keep its
/// connection for ever.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Makes the body of a request an error when it takes too long.
pub(super) fn limit_time(request: &mut ServiceRequest) {
    let payload = request.take_payload();
    // Nearly always: then nothing is allocated, and no timer set.
    if matches!(payload, Payload::None) {
        return;
    }
    let timed = Timed {
        payload,
        deadline: Box::pin(tokio::time::sleep(BODY_TIME)),
    };
    request.set_payload(Payload::Stream {
        payload: Box::pin(timed),
    });
}

/// Whether a body failed because it took too long: then the answer is 408, after which the connection
/// is closed.
#[must_use]
pub fn is_late(error: &PayloadError) -> bool {
    matches!(error, PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// Closes the connection after an answer to a body that did not come: what is left of it would be
/// waited for.
pub(super) fn close_after<B>(response: &mut ServiceResponse<B>) {
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
}

struct Timed {
    payload: Payload,
    deadline: Pin<Box<Sleep>>,
}

impl Stream for Timed {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.payload).poll_next(cx);
        if polled.is_pending() && self.deadline.as_mut().poll(cx).is_ready() {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(PayloadError::Io(late))));
        }
        polled
    }
}
