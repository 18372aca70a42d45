//! Who is calling: what of a request a strategy may look at, what it decides, and the one place
//! where it is asked.
//!
//! | module | holds |
//! | --- | --- |
//! | [`request`] | the credentials in a request |
//! | [`principal`] | a caller whose credential is good |
//! | [`refusal`] | why there is no principal |
//! | [`strategy`] | what a strategy is to everybody else |
//! | [`gate`] | asks the strategy of a route: counted, timed, traced |
//!
//! Nothing here knows which strategies there are, or what an answer looks like.

mod gate;
mod principal;
mod refusal;
mod request;
mod strategy;
mod verdicts;

pub(crate) use self::{
    gate::{Gate, Gates},
    principal::Principal,
    refusal::Refusal,
    request::Request,
    strategy::{About, BEARER, Kind, Outcome, Pending, Verifier},
    verdicts::Verdicts,
};
