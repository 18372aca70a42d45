//! Logout tokens, OpenID Connect Back-Channel Logout 1.0 §2.4: an issuer tells a relying party that
//! a login is over. Nothing here sends one yet; the kind is here so that one that is signed by a key
//! of ours can never pass for an access token, nor the other way round.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    kind::{Kind, Registered, Sealed},
    wire::{numeric_date, one_or_many, present, some_numeric_date},
};

/// The `typ` of a logout token.
pub const LOGOUT_TOKEN_TYPE: &str = "logout+jwt";

/// The member of `events` that makes a token a logout token.
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The claims of a logout token. Times are whole Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutClaims {
    /// Issuer.
    pub iss: String,
    /// The user whose logins end. This or `sid` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The login that ends. This or `sub` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Audience: the client that is told.
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
    /// What has happened (RFC 8417 §2.2): [`LOGOUT_EVENT`], with an object that means nothing.
    pub events: Map<String, Value>,
    /// Whether there is a `nonce`, which there must not be: an ID token has one.
    #[serde(default, deserialize_with = "present", skip_serializing)]
    nonce: bool,
}

impl Sealed for LogoutClaims {}

impl Kind for LogoutClaims {
    const TYPE: &'static str = LOGOUT_TOKEN_TYPE;

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
        let names = [self.sub.as_deref(), self.sid.as_deref()];
        let named = names.iter().any(Option::is_some) && !names.contains(&Some(""));
        let logout = self.events.get(LOGOUT_EVENT).is_some_and(Value::is_object);
        named && logout && !self.jti.is_empty() && !self.nonce
    }
}
