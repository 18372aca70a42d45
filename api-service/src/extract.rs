//! From a request to its principal: the only way a handler learns who is calling.

use std::{pin::Pin, rc::Rc, time::Instant};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use serde::Serialize;
use shared::{clock::Clock, problem::Problem, server::trace_of, telemetry::trace::SpanKind};

use crate::{
    error::Refusal,
    verify::{Verdicts, Verifier},
};

/// What a worker thread needs to let requests through.
pub(crate) struct Gate {
    pub(crate) verifier: Rc<Verifier>,
    pub(crate) clock: Clock,
    pub(crate) verdicts: Verdicts,
    pub(crate) replica: String,
}

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Principal {
    /// The user's stable id.
    pub(crate) subject: String,
    /// The name the user logged in with.
    pub(crate) username: String,
    /// Roles at login.
    pub(crate) roles: Vec<String>,
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
pub(crate) struct Authenticated(pub(crate) Principal);

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

impl Gate {
    async fn judge(&self, request: &HttpRequest) -> Result<Principal, Refusal> {
        let started = Instant::now();
        let trace = trace_of(request);
        let mut span = trace.as_ref().map(|trace| {
            let attributes = vec![opentelemetry::KeyValue::new(
                "statewise.auth.strategy",
                self.verifier.name(),
            )];
            trace.child("verify credential", SpanKind::Internal, attributes)
        });
        let below = span.as_ref().and_then(|span| span.handle());
        let outcome = self
            .verifier
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
            .count(self.verifier.name(), name, started.elapsed());
        if let Err(Refusal::Undecidable(reason)) = &outcome {
            // At debug: an outage would write a line for each request; the link and the key set
            // log that it begins and ends, and the metrics count.
            tracing::debug!(%reason, "a credential cannot be checked");
        }
        outcome
    }
}
