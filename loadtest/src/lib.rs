//! Starts or finds a system, drives it, breaks it, compares, reports.

pub mod results;
pub mod stack;
