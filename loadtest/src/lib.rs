//! Starts or finds a system, drives it, breaks it, compares, reports.

pub mod capacity;
pub mod cli;
pub mod compare;
pub mod coupling;
pub mod engine;
pub mod fault;
pub mod freshness;
pub mod histogram;
pub mod interrupt;
pub mod login;
pub mod progress;
pub mod random;
pub mod report;
pub mod results;
pub mod run;
pub mod selfcheck;
pub mod stack;
pub mod storm;
pub mod strategy;
pub mod usage;
