//! From the listener to the end of a connection: `accept` hands connections to threads, `worker` is
//! one thread, `connection` is one client's connection on it.

pub(crate) mod accept;
mod connection;
pub(crate) mod worker;
