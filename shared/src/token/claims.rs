//! The claims of an access token, RFC 9068 §2.2, and their types on the wire.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::TokenError;

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
    /// The client that the token was issued to.
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
    /// The token's own id.
    pub jti: String,
    /// Roles of the subject at the time of issue (RFC 9068 §2.2.3.1).
    #[serde(default)]
    pub roles: Vec<String>,
    /// The login this token belongs to; all tokens of one login share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The name the user logged in with (OpenID Connect Core §5.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
}

/// Reads claims and demands what types alone cannot: a subject and ids that are not empty.
pub(super) fn parse(json: &str) -> Result<AccessClaims, TokenError> {
    // The parser's message may quote the payload, so it is dropped here.
    let claims: AccessClaims = serde_json::from_str(json).map_err(|_| TokenError::Claims)?;
    let named = [&claims.sub, &claims.client_id, &claims.jti];
    if named.iter().any(|text| text.is_empty()) {
        return Err(TokenError::Claims);
    }
    Ok(claims)
}

/// 2^53: above it a double cannot tell one second from the next.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// A `NumericDate` (RFC 7519 §2): seconds, perhaps with a fraction, which is cut off.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Seconds;
    impl de::Visitor<'_> for Seconds {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("seconds since 1970")
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<u64, E> {
            Ok(seconds)
        }

        fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<u64, E> {
            if !(0.0..EXACT_LIMIT).contains(&seconds) {
                return Err(E::custom("out of range"));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range was checked, and cutting the fraction off is meant"
            )]
            Ok(seconds as u64)
        }
    }
    deserializer.deserialize_any(Seconds)
}

fn some_numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    numeric_date(deserializer).map(Some)
}

mod one_or_many {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    pub(super) fn serialize<S: Serializer>(
        texts: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match texts {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        })
    }
}
