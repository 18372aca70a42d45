//! The real service over real sockets: tokens against an issuer that can fail, sessions against a
//! redis-server that can be killed and stopped.

#![expect(
    clippy::unwrap_used,
    reason = "a test's own machinery that fails is a failed test"
)]

mod attacks;
mod authority;
mod binary;
mod cached;
mod cart;
mod discovery;
mod dpop;
mod https;
mod introspection;
mod issuer;
mod issuers;
mod keys;
mod openapi;
mod process;
mod redis;
mod revocable;
mod routes;
mod service;
mod servlet;
mod store;
mod verdicts;

use std::time::Duration;

use testkit::{eventually, signer};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much later than its deadline an answer may be seen when the processors are taken.
const ON_A_BUSY_MACHINE: Duration = Duration::from_secs(2);
