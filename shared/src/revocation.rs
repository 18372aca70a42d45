//! Feature `session`: what was taken back before it would have ended, pushed to every replica.
//!
//! The auth-service publishes; each resource server that verifies tokens by itself follows.
//!
//! | module | holds |
//! | --- | --- |
//! | [`entry`] | what can be taken back: a token, a login, a user, everything |

pub mod entry;

pub use self::entry::{Entry, Revoked};
