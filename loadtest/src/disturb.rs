//! What is done to a running system: which [`fault`]s there are, and the [`links`] between its parts
//! that can be made slow, silent or refusing by a [`proxy`].

pub mod fault;
pub mod links;
pub mod proxy;
