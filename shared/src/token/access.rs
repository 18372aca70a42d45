//! Access tokens, RFC 9068: what an API is shown.

use serde::{Deserialize, Serialize};

use super::{
    roles,
    wire::{number_or_nothing, numeric_date, one_or_many, some_numeric_date, some_text},
};

/// The `typ` of an access token, RFC 9068 §2.1.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The claims of an access token. Times are whole Unix seconds.
///
/// The issuer writes it and the resource server reads it, so both agree by construction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer: the URL in the authorization server's metadata.
    pub iss: String,
    /// Subject: the user's stable id.
    pub sub: String,
    /// Audience: who may accept the token. One text or a list on the wire (RFC 7519 §4.1.3).
    #[serde(with = "one_or_many")]
    pub aud: Vec<String>,
    /// The client that the token was issued to; empty where no kind of token demands it.
    #[serde(default)]
    pub client_id: String,
    /// Issued at.
    #[serde(deserialize_with = "numeric_date")]
    pub iat: u64,
    /// Expiry: the first second in which the token is no longer valid.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: u64,
    /// Not valid before.
    #[serde(
        default,
        deserialize_with = "some_numeric_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub nbf: Option<u64>,
    /// The token's own id; empty where no kind of token demands it.
    #[serde(default)]
    pub jti: String,
    /// Roles of the subject at the time of issue (RFC 9068 §2.2.3.1). What is no role is none, and
    /// makes no token invalid.
    #[serde(default, deserialize_with = "roles::lenient")]
    pub roles: Vec<String>,
    /// What was granted of a scope that was asked for (RFC 9068 §2.2.3), names with spaces between.
    /// What is no text is none.
    #[serde(
        default,
        deserialize_with = "some_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub scope: Option<String>,
    /// The login this token belongs to; all tokens of one login share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The name the user logged in with (OpenID Connect Core §5.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// The generation of logins that the issuer had seen: an end of logins begins the next one, and
    /// refuses those before. Private to Statewise; of another issuer it says nothing.
    #[serde(
        rename = "gen",
        default,
        deserialize_with = "number_or_nothing",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation: Option<u64>,
}

impl AccessClaims {
    /// Whether the claims hold what types alone cannot demand: ids that are not empty.
    pub(super) fn is_complete(&self) -> bool {
        let named = [&self.sub, &self.client_id, &self.jti];
        !named.iter().any(|text| text.is_empty())
    }
}
