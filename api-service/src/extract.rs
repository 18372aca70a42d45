//! From a request to its principal: the only way a handler learns who is calling.

use std::{
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use serde::Serialize;
use shared::{clock::Clock, problem::Problem, server::trace_of, telemetry::trace::SpanKind};
use utoipa::{
    IntoResponses,
    openapi::{RefOr, Response},
};

use crate::{
    error::Refusal,
    keep::Keeper,
    verify::{Opened, Outcome, Strategy, Verdicts},
};

/// What a worker thread needs to let the requests of a route through. Each route has the gate of
/// its strategy in its own data, which no spelling of a path can get around.
pub(crate) struct Gate {
    pub(crate) strategy: Rc<dyn Strategy>,
    pub(crate) clock: Clock,
    pub(crate) verdicts: Verdicts,
    pub(crate) replica: String,
    /// Where carts are.
    pub(crate) keeper: Rc<Keeper>,
    /// How long a browser keeps what it carries.
    pub(crate) state_ttl: Duration,
}

/// Makes the gates of a worker thread.
pub(crate) struct Gates {
    pub(crate) opened: Rc<Opened>,
    pub(crate) clock: Clock,
    pub(crate) verdicts: Verdicts,
    pub(crate) replica: String,
    pub(crate) keeper: Rc<Keeper>,
    pub(crate) state_ttl: Duration,
}

impl Gates {
    /// The gate of a route.
    pub(crate) fn of(&self, route: &str) -> web::Data<Gate> {
        web::Data::new(Gate {
            strategy: self.opened.of(route),
            clock: self.clock.clone(),
            verdicts: self.verdicts.clone(),
            replica: self.replica.clone(),
            keeper: Rc::clone(&self.keeper),
            state_ttl: self.state_ttl,
        })
    }
}

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Principal {
    /// The user's stable id.
    pub(crate) subject: String,
    /// The name the user logged in with.
    pub(crate) username: String,
    /// Roles at login.
    pub(crate) roles: Vec<String>,
    /// The public id of the login, which no credential is.
    #[serde(skip)]
    pub(crate) sid: Option<String>,
    /// Unix seconds of when the credential was issued.
    #[serde(skip)]
    pub(crate) issued_at: u64,
    /// Unix seconds from which on the credential is over.
    #[serde(skip)]
    pub(crate) expires_at: u64,
    /// The token's own id, where the credential is one.
    #[serde(skip)]
    pub(crate) token_id: Option<String>,
}

impl Principal {
    /// Asks for a role.
    pub(crate) fn require(&self, role: &'static str) -> Result<(), Problem> {
        if self.roles.iter().any(|known| known == role) {
            Ok(())
        } else {
            Err(Refusal::NotAllowed(role).into())
        }
    }
}

/// A handler parameter of this type makes a route need a credential.
pub(crate) struct Authenticated(pub(crate) Rc<Principal>);

impl FromRequest for Authenticated {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let gate = request
                .app_data::<web::Data<Gate>>()
                .ok_or_else(Problem::internal)?;
            Ok(Self(gate.judge(&request).await?))
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

impl Gate {
    async fn judge(&self, request: &HttpRequest) -> Outcome {
        let started = Instant::now();
        let trace = trace_of(request);
        let mut span = trace.as_ref().map(|trace| {
            let attributes = vec![opentelemetry::KeyValue::new(
                "statewise.auth.strategy",
                self.strategy.name(),
            )];
            trace.child("verify credential", SpanKind::Internal, attributes)
        });
        let below = span.as_ref().and_then(|span| span.handle());
        let outcome = self
            .strategy
            .verify(request, self.clock.unix_seconds(), below.as_ref())
            .await;
        let name = match &outcome {
            Ok(_) => "valid",
            Err(refusal) => refusal.outcome(),
        };
        if let Some(span) = &mut span {
            span.set("statewise.auth.outcome", name);
            match &outcome {
                Err(Refusal::Undecidable(_)) => span.fail(name),
                Err(Refusal::Invalid(reason)) => span.set("statewise.auth.reason", *reason),
                _ => {}
            }
        }
        self.verdicts
            .count(self.strategy.name(), name, started.elapsed());
        if let Err(Refusal::Undecidable(reason)) = &outcome {
            // At debug: an outage would write a line for each request; the link and the key set
            // log that it begins and ends, and the metrics count.
            tracing::debug!(%reason, "a credential cannot be checked");
        }
        outcome
    }
}
