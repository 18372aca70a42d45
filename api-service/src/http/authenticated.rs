//! From a request to its principal: the only way a handler gets a caller.

use std::{collections::BTreeMap, pin::Pin, rc::Rc};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use shared::{problem::Problem, server::trace_of};
use utoipa::{
    IntoResponses,
    openapi::{RefOr, Response},
};

use super::{error::refused, state::State};
use crate::auth::{Principal, Request};

/// A handler parameter of this type makes a route need a credential.
pub(super) struct Authenticated(pub(super) Rc<Principal>);

impl FromRequest for Authenticated {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = request
                .app_data::<web::Data<State>>()
                .ok_or_else(Problem::internal)?;
            let trace = trace_of(&request);
            let gate = &state.gate;
            let verdict = gate.judge(Request::from(&request), trace.as_ref()).await;
            verdict
                .map(Self)
                .map_err(|refusal| refused(refusal, gate.about.challenge))
        })
    }
}

/// What a route that needs a credential may answer besides its own.
impl IntoResponses for Authenticated {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            (
                "400",
                "The request is not understood, or which of several credentials or states is meant",
            ),
            ("401", "The credential is missing or not valid"),
            (
                "503",
                "Whether the credential is valid cannot be decided now",
            ),
        ]
        .map(|(status, description)| (status.to_owned(), Response::new(description).into()))
        .into()
    }
}
