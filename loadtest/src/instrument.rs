//! Whether the figures may be believed: the generator checked against a known target, the machine,
//! and the conditions that must hold.

pub mod environment;
pub mod gates;
pub mod machine;
pub mod selfcheck;
pub mod target;
