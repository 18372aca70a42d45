//! The gateway in process, over real sockets, with real little upstreams behind it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod addresses;
mod balance;
mod drain;
mod exchange;
mod front_page;
mod heads;
mod memory;
mod operate;
mod retry;
mod smuggling;
mod start;
mod stream;
mod support;
mod timeouts;
mod trace;
mod tree;
