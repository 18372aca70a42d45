//! The experiments: each turns a plan into windows.

pub mod across;
mod administrator;
mod call;
pub mod capacity;
pub mod compare;
pub mod coupling;
pub mod distance;
pub mod error;
pub mod freshness;
mod one_by_one;
pub mod race;
pub mod run;
pub mod scale;
pub mod sizes;
pub mod storm;
