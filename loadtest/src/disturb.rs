//! What is done to a running system.

pub mod fault;
