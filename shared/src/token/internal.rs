//! Tokens between services of one system: who calls, never on whose behalf. No service needs one
//! yet (they know each other by client secrets); the kind is here so that the day one does, its
//! tokens are not access tokens.

use serde::{Deserialize, Serialize};

use super::{
    kind::{Kind, Registered, Sealed},
    wire::{numeric_date, one_or_many, some_numeric_date},
};

/// The `typ` of an internal token: our own, so that no other system makes one by accident.
pub const INTERNAL_TOKEN_TYPE: &str = "statewise-internal+jwt";

/// The claims of an internal token. Times are whole Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalClaims {
    /// Issuer.
    pub iss: String,
    /// The service that calls.
    pub sub: String,
    /// Audience: the service that is called.
    #[serde(with = "one_or_many")]
    pub aud: Vec<String>,
    /// Issued at.
    #[serde(deserialize_with = "numeric_date")]
    pub iat: u64,
    /// Expiry.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: u64,
    /// Not valid before.
    #[serde(
        default,
        deserialize_with = "some_numeric_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub nbf: Option<u64>,
    /// The token's own id.
    pub jti: String,
}

impl Sealed for InternalClaims {}

impl Kind for InternalClaims {
    const TYPE: &'static str = INTERNAL_TOKEN_TYPE;

    fn registered(&self) -> Registered<'_> {
        Registered {
            iss: &self.iss,
            aud: &self.aud,
            iat: self.iat,
            exp: self.exp,
            nbf: self.nbf,
        }
    }

    fn is_complete(&self) -> bool {
        !self.sub.is_empty() && !self.jti.is_empty()
    }
}
