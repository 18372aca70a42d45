//! The endpoints of OAuth 2.0.

pub(crate) mod authorize;
mod client;
pub(crate) mod form;
pub(crate) mod introspect;
pub(crate) mod metadata;
mod presented_token;
pub(crate) mod revoke;
pub(crate) mod token;
