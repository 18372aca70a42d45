//! Logs, traces and metrics, the same way in every service.
//!
//! - [`logs`]: one subscriber on standard error, for people or as JSON.
//! - [`trace`]: W3C Trace Context in and out, spans over OTLP; off unless somebody is to get them.
//! - [`metrics`]: Prometheus text, with bucket bounds that tell 50 µs from 500 µs.
//! - [`outage`]: what cannot be used, in the log: each reason once, and when it is over.
//!
//! Tokens, cookies, passwords and session ids appear in none of them.

mod arguments;
mod identity;
pub mod logs;
pub mod metrics;
pub mod outage;
pub mod trace;

pub use self::{
    arguments::{TelemetryArgs, TelemetrySettings},
    identity::{Identity, ResourceAttributes},
};
