//! Asks the strategy of a route about a request, and counts, times and traces the verdict.

use std::{collections::BTreeMap, rc::Rc, time::Instant};

use opentelemetry::KeyValue;
use shared::{
    clock::Clock,
    server::Missing,
    telemetry::trace::{SpanKind, TraceHandle},
};

use super::{
    refusal::Refusal,
    request::Request,
    strategy::{About, Outcome, Verifier},
    verdicts::Verdicts,
};

/// One strategy on one worker thread.
pub(crate) struct Gate {
    /// Which strategy.
    pub(crate) about: &'static About,
    /// Decides.
    pub(crate) verifier: Rc<dyn Verifier>,
    /// The time that decides about credentials.
    pub(crate) clock: Clock,
    /// Counts.
    pub(crate) verdicts: Verdicts,
}

impl Gate {
    /// The verdict about a request.
    pub(crate) async fn judge(&self, request: Request<'_>, trace: Option<&TraceHandle>) -> Outcome {
        let started = Instant::now();
        let mut span = trace.map(|trace| {
            let attributes = vec![KeyValue::new("statewise.auth.strategy", self.about.name)];
            trace.child("verify credential", SpanKind::Internal, attributes)
        });
        let below = span.as_ref().and_then(|span| span.handle());
        let now = self.clock.unix_seconds();
        let outcome = self.verifier.verify(request, now, below.as_ref()).await;
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
            .count(self.about.name, name, started.elapsed());
        // At debug: strangers or an outage would write a line for each request; the link and the key
        // set log that an outage begins and ends, and the metrics count.
        match &outcome {
            Err(Refusal::Undecidable(reason)) => {
                tracing::debug!(%reason, "a credential cannot be checked");
            }
            Err(Refusal::Invalid(reason)) => {
                self.verdicts.refused(self.about.name, reason);
                tracing::debug!(
                    reason,
                    strategy = self.about.name,
                    "a credential is refused"
                );
            }
            _ => {}
        }
        outcome
    }
}

/// The gates of one worker thread: each strategy once, whichever routes have it.
pub(crate) struct Gates {
    /// The first is that of routes without a strategy of their own.
    all: Vec<Rc<Gate>>,
    /// Indices of the strategies that routes have of their own.
    routes: BTreeMap<&'static str, usize>,
}

impl Gates {
    /// Gates of which the first is for all routes that `routes` does not name.
    pub(crate) fn new(all: Vec<Gate>, routes: BTreeMap<&'static str, usize>) -> Self {
        let all = all.into_iter().map(Rc::new).collect();
        Self { all, routes }
    }

    /// The gate of a route.
    pub(crate) fn of(&self, route: &str) -> Rc<Gate> {
        let index = self.routes.get(route).copied().unwrap_or_default();
        Rc::clone(&self.all[index])
    }

    /// Everything that is missing to decide about any request; what several strategies miss is
    /// named once.
    pub(crate) async fn missing(&self) -> Vec<Missing> {
        let mut missing: Vec<Missing> = Vec::new();
        for gate in &self.all {
            for one in gate.verifier.missing().await {
                match missing.iter_mut().find(|other| other.name == one.name) {
                    None => missing.push(one),
                    // The worse of both.
                    Some(other) if other.ready => *other = one,
                    Some(_) => {}
                }
            }
        }
        missing
    }
}
