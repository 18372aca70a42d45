//! What a number means: distributions, ratios with intervals, randomness that can be repeated. Pure.

pub mod effect;
pub mod histogram;
pub mod random;
