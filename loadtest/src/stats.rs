//! What may be said of measured values: distributions, ratios and means with intervals, families of
//! them, trends, and when there is enough. Pure.

pub mod effect;
pub mod family;
pub mod histogram;
pub mod random;
mod student;
