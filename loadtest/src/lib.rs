//! Starts or finds a system, drives it, breaks it, compares, reports.
//!
//! Imports run one way, from the bottom of this list to its top:
//! [`results`] (what is written) · [`metrics`] (what a number means) · [`stats`] (what may be said of
//! it) · [`load`] (what is sent, when) · [`instrument`] (may it be believed) · [`subject`] (what is
//! measured) · [`disturb`] (what is done to it) · [`report`] (for a reader) · [`experiment`] (a plan
//! becomes windows) · [`cli`].

pub mod cli;
pub mod disturb;
pub mod experiment;
pub mod instrument;
pub mod interrupt;
pub mod load;
pub mod metrics;
pub mod progress;
pub mod report;
pub mod results;
pub mod stats;
pub mod subject;
