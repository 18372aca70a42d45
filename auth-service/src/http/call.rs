//! One request, with what its handler works with.

use std::{
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr},
    ops::Deref,
};

use actix_web::{
    Error, FromRequest, HttpRequest, dev::Payload, error::ErrorInternalServerError, web::Data,
};
use shared::{network::Network, server::trace_of, telemetry::trace::TraceHandle};

use super::{client_address::client_address, state::State};
use crate::storage::{At, UnixSeconds};

/// A request and the state of its worker thread, whose members are its own.
pub(crate) struct Call {
    pub(crate) request: HttpRequest,
    state: Data<State>,
    trace: Option<TraceHandle>,
}

impl Call {
    /// The time by which it is answered.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.issuer.now()
    }

    /// Where statements for it run.
    pub(crate) fn at(&self) -> At<'_> {
        At {
            now: self.now(),
            trace: self.trace(),
        }
    }

    /// Who sent it, as limits count. A request over a socket has a peer; those without one are
    /// one client.
    pub(crate) fn client(&self) -> Network {
        client_address(&self.request, &self.trusted_proxies)
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
            .into()
    }

    /// Its trace, for spans below it; `None` when it is not recorded.
    pub(crate) fn trace(&self) -> Option<&TraceHandle> {
        self.trace.as_ref()
    }
}

impl Deref for Call {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl FromRequest for Call {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<Data<State>>().cloned();
        let call = state.map(|state| Self {
            request: request.clone(),
            state,
            trace: trace_of(request),
        });
        ready(call.ok_or_else(|| ErrorInternalServerError("the routes have no state")))
    }
}
