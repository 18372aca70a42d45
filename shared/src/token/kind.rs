//! What tells one kind of token from another.

use serde::de::DeserializeOwned;

/// A kind of token: its `typ` and its claims.
///
/// Kinds exclude one another (RFC 8725 §3.12): a token names its kind in its header, signed, and is
/// read by the claims of that kind only. This crate has the only implementations, so that the list
/// of kinds can be tested pair by pair.
pub trait Kind: DeserializeOwned + Sealed {
    /// The `typ` of the kind, without its prefix `application/`; no two kinds have the same.
    const TYPE: &'static str;

    /// The claims that every kind has.
    fn registered(&self) -> Registered<'_>;

    /// Whether the claims hold what types alone cannot demand, such as ids that are not empty.
    fn is_complete(&self) -> bool;
}

/// Keeps [`Kind`] ours.
pub trait Sealed {}

/// The registered claims (RFC 7519 §4.1) that are checked for every kind alike.
#[derive(Clone, Copy, Debug)]
pub struct Registered<'a> {
    /// Issuer.
    pub iss: &'a str,
    /// Audience.
    pub aud: &'a [String],
    /// Issued at.
    pub iat: u64,
    /// Expiry.
    pub exp: u64,
    /// Not valid before.
    pub nbf: Option<u64>,
}
