//! Feature `token`: access tokens, the one place where they are verified.
//!
//! The profile is RFC 9068 with the advice of RFC 8725: what the library lets through by default
//! (unknown `crit`, any `typ`, a missing `aud` or `iss`, `nbf` in the future, an endless life) is
//! refused here. The header is hostile input until the signature is checked: nothing in it chooses
//! an algorithm, and no key in it is used.

mod keys;
mod profile;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::{
    keys::{KeySet, KeySetError},
    profile::{AccessTokenProfile, TokenError, unverified_kid},
};

/// The `typ` of an access token, RFC 9068 §2.1.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// The largest token that is looked at, in bytes.
pub const TOKEN_LIMIT_BYTES: usize = 8 * 1024;

/// The claims of an access token, RFC 9068 §2.2. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer: byte for byte the `issuer` of the authorization server's metadata.
    pub iss: String,
    /// Subject: the user's stable id.
    pub sub: String,
    /// Audience: the resource servers this token is for. One or many on the wire.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// The client that the token was issued to.
    pub client_id: String,
    /// When it was issued.
    #[serde(deserialize_with = "numeric_date")]
    pub iat: u64,
    /// From this second on it is refused.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: u64,
    /// Before this second it is refused.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_numeric_date"
    )]
    pub nbf: Option<u64>,
    /// The token's own id.
    pub jti: String,
    /// Roles at the time of issue.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The login that the token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The name the user logged in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
}

/// RFC 7519 §4.1.3: a string or an array of strings.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// RFC 7519 §2: seconds since the epoch, possibly with a fraction, which is cut off.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    whole_seconds(&number).ok_or_else(|| serde::de::Error::custom("not a NumericDate"))
}

fn optional_numeric_date<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    numeric_date(deserializer).map(Some)
}

fn whole_seconds(number: &serde_json::Number) -> Option<u64> {
    /// The year 9999; beyond it a number of seconds is a mistake (often milliseconds).
    const LATEST: f64 = 253_402_300_800.0;
    if let Some(seconds) = number.as_u64() {
        return Some(seconds);
    }
    let seconds = number.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be between zero and the year 9999"
    )]
    (0.0..LATEST).contains(&seconds).then_some(seconds as u64)
}
