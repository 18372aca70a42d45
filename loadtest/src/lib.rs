//! Starts or finds a system, drives it, breaks it, compares, reports.

pub mod engine;
pub mod histogram;
pub mod progress;
pub mod random;
pub mod report;
pub mod results;
pub mod stack;
