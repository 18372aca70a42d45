//! The body of an upstream's answer. Reading it drives the connection that it comes over.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{connection::Connection, idle::IdleConnections, pool::InFlight};

/// A body that comes from an upstream; the request is in flight until it is dropped.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    /// Idle again once the answer was read to its end; closed when dropped before.
    connection: Option<Box<Connection>>,
    in_flight: InFlight,
    idle: Rc<IdleConnections>,
}

impl UpstreamBody {
    /// The body that comes over `connection`, which goes to `idle` in the end.
    pub(crate) fn new(
        incoming: Incoming,
        connection: Box<Connection>,
        in_flight: InFlight,
        idle: Rc<IdleConnections>,
    ) -> Self {
        let mut body = Self {
            incoming,
            connection: Some(connection),
            in_flight,
            idle,
        };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The answer is complete: the connection may carry the next one.
    fn finish(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.put(self.in_flight.endpoint(), connection);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        let Some(connection) = &mut body.connection else {
            return Poll::Ready(None);
        };
        let incoming = &mut body.incoming;
        let polled = connection.drive(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx));
        match &polled {
            Poll::Ready(Some(Err(_))) => body.connection = None,
            Poll::Ready(None) => body.finish(),
            Poll::Ready(Some(Ok(_))) if body.incoming.is_end_stream() => body.finish(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
