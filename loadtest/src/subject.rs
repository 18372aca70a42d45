//! The system that is measured: started or found, logged in to, and its own counters.

pub(crate) mod cgroup;
pub mod client;
pub mod found;
pub mod login;
pub mod mix;
mod owner;
pub mod slices;
pub mod stack;
pub mod strategy;
pub mod usage;
