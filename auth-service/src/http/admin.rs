//! What an administrator sees and changes.

pub(crate) mod keys;
pub(crate) mod revocations;
pub(crate) mod users;
