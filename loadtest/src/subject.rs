//! The system that is measured: started or found, logged in to, and its own counters.

pub mod client;
pub mod found;
pub mod login;
pub mod mix;
pub mod stack;
pub mod strategy;
pub mod usage;
