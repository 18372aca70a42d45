//! What may be said of measured values: distributions, ratios and means with intervals, families of
//! them, trends, and when there is enough. Pure.

pub mod drift;
pub mod effect;
pub mod family;
pub mod fit;
pub mod histogram;
pub mod interval;
pub mod line;
pub mod random;
pub mod scalability;
pub mod stopping;
mod student;
