//! What a strategy is to everybody else: what it says of itself, and its verdict about a request.

use std::{pin::Pin, rc::Rc};

use shared::{server::Missing, session::SessionStore, telemetry::trace::TraceHandle};

use super::{principal::Principal, refusal::Refusal, request::Request};

/// What a strategy says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// As `API_STRATEGY` spells it, and in metrics, spans and answers.
    pub(crate) name: &'static str,
    /// One sentence for an operator who chooses.
    pub(crate) summary: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// How a caller is asked for it: scheme and parameters of `WWW-Authenticate`.
    pub(crate) challenge: &'static str,
    /// The variables that it needs and that have no default, as a list for an operator.
    pub(crate) needs: Option<&'static str>,
}

/// The challenge of strategies that take a bearer, RFC 6750 §3.
pub(crate) const BEARER: &str = "Bearer realm=\"statewise\"";

/// What kind of credential a strategy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A signed document that says itself whose it is.
    Token,
    /// An opaque id; whose it is has to be looked up.
    Id,
}

/// Who is calling, or why that cannot be said.
pub(crate) type Outcome = Result<Rc<Principal>, Refusal>;

/// A future of one worker thread.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A strategy as one worker thread has it.
pub(crate) trait Verifier {
    /// Decides about a request at the time `now` (Unix seconds).
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome>;

    /// The sessions, of a strategy that asks their store itself: data of a login can be kept there.
    fn sessions(&self) -> Option<&SessionStore> {
        None
    }

    /// Everything that is missing to decide now.
    fn missing(&self) -> Pending<'_, Vec<Missing>>;
}
