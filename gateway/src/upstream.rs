//! Pools of upstreams: who is in them, how they are, and connections to them.
//!
//! From the bottom up: `health` and `counters` of one upstream, `pool`, `select` (who gets the next
//! request) and `metrics` over a pool; `check` and `discovery` keep it up to date; `request`,
//! `connection`, `idle` and `response` carry one request.

pub(crate) mod check;
pub(crate) mod connection;
pub(crate) mod counters;
pub(crate) mod discovery;
pub(crate) mod health;
pub(crate) mod idle;
pub(crate) mod metrics;
pub(crate) mod pool;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod select;
