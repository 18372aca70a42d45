//! Starts or finds a system, drives it, breaks it, compares, reports.
//!
//! Imports run one way, from the bottom of this list to its top:
//! [`results`] (what is written) · [`stats`] (what a number means) · [`load`] (what is sent, when) ·
//! [`subject`] (what is measured) · [`metrics`] (how a number follows from a window) · [`instrument`]
//! (may it be believed) · [`disturb`] (what is done to the system) · [`model`] (what a rate takes) · [`report`] (for a reader) ·
//! [`experiment`] (a plan becomes windows) · [`cli`]. [`console`], [`progress`] and [`interrupt`] are
//! used anywhere.

pub mod cli;
pub mod console;
pub mod disturb;
pub mod experiment;
pub mod instrument;
pub mod interrupt;
pub mod load;
pub mod metrics;
pub mod model;
pub mod progress;
pub mod report;
pub mod results;
pub mod stats;
pub mod subject;
pub mod thresholds;
