//! The gateway in process, over real sockets, with real little upstreams behind it.

mod balance;
mod drain;
mod heads;
mod operate;
mod retry;
mod smuggling;
mod stream;
mod support;
mod timeouts;
mod tree;
