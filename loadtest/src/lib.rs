//! Starts or finds a system, drives it, breaks it, compares, reports.

pub mod coupling;
pub mod engine;
pub mod fault;
pub mod histogram;
pub mod progress;
pub mod random;
pub mod report;
pub mod results;
pub mod stack;
