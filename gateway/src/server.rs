//! From the listener to the end of a connection: `accept` hands connections to threads, as many as
//! `addresses` lets one address have; `worker` is one thread, `connection` is one client's connection
//! on it.

pub(crate) mod accept;
pub(crate) mod addresses;
mod connection;
pub(crate) mod worker;
