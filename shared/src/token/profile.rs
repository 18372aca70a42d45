//! The RFC 9068 profile: what a token must be before anything in it is believed.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, crypto};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{ACCESS_TOKEN_TYPE, AccessClaims, KeySet, TOKEN_LIMIT_BYTES};

/// The longest key id that is looked up.
pub(super) const KID_LIMIT_BYTES: usize = 128;

/// What tokens must say to be accepted.
#[derive(Clone, Debug)]
pub struct AccessTokenProfile {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// One of `aud`.
    pub audience: String,
    /// How far two clocks may differ: applied to `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest life from `iat` to `exp` that is accepted.
    pub max_lifetime: Duration,
}

/// Why a token is refused. None of the texts repeats any part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url with a JSON header, or larger than the limit.
    #[error("not a signed token in compact form")]
    Malformed,
    /// The header asks for something that is not understood (`crit`, `b64`; RFC 7515 §4.1.11).
    #[error("the header asks for an unknown extension")]
    Extension,
    /// `typ` is not `at+jwt` (RFC 9068 §4).
    #[error("not of the type at+jwt")]
    WrongType,
    /// No key of the set has this id. A newer set may have it.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// `alg` is not the key's algorithm (RFC 8725 §3.1).
    #[error("signed with an algorithm that the key is not for")]
    WrongAlgorithm,
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("a required claim is missing or of the wrong type")]
    Claims,
    /// `iss` is not ours.
    #[error("from another issuer")]
    Issuer,
    /// `aud` does not name us.
    #[error("for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// It lives longer than is accepted.
    #[error("its life is longer than is accepted")]
    TooLongLived,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
}

/// True for any value, `null` too: the member's presence is what counts.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A token taken apart; nothing in it is verified.
struct Unverified<'a> {
    header: Header,
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

/// The key id of a token that nobody has verified: good for fetching keys ahead, for nothing else.
///
/// # Errors
///
/// The token is not in compact form or its header is refused.
pub fn unverified_kid(token: &str) -> Result<String, TokenError> {
    Unverified::parse(token).map(|token| token.header.kid)
}

impl AccessTokenProfile {
    /// Verifies a token at the time `now` (Unix seconds) and gives its claims.
    ///
    /// # Errors
    ///
    /// The first reason found to refuse it. All but [`TokenError::UnknownKey`] are final.
    pub fn verify(&self, token: &str, keys: &KeySet, now: u64) -> Result<AccessClaims, TokenError> {
        let token = Unverified::parse(token)?;
        let key = keys.find(&token.header.kid).ok_or(TokenError::UnknownKey)?;
        if algorithm_name(key.algorithm) != Some(token.header.alg.as_str()) {
            return Err(TokenError::WrongAlgorithm);
        }
        let fits = crypto::verify(
            token.signature,
            token.signed.as_bytes(),
            &key.key,
            key.algorithm,
        );
        if !fits.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        let claims = URL_SAFE_NO_PAD
            .decode(token.claims)
            .map_err(|_| TokenError::Malformed)?;
        let claims: AccessClaims =
            serde_json::from_slice(&claims).map_err(|_| TokenError::Claims)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &AccessClaims, now: u64) -> Result<(), TokenError> {
        let leeway = self.leeway.as_secs();
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.contains(&self.audience) {
            return Err(TokenError::Audience);
        }
        if claims.sub.is_empty() || claims.client_id.is_empty() || claims.jti.is_empty() {
            return Err(TokenError::Claims);
        }
        if now >= claims.exp.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        let latest_start = now.saturating_add(leeway);
        if claims.iat > latest_start || claims.nbf.is_some_and(|nbf| nbf > latest_start) {
            return Err(TokenError::NotYetValid);
        }
        if claims.exp.saturating_sub(claims.iat) > self.max_lifetime.as_secs() {
            return Err(TokenError::TooLongLived);
        }
        Ok(())
    }
}

impl<'a> Unverified<'a> {
    fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_LIMIT_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') || claims.is_empty() || signature.is_empty() {
            return Err(TokenError::Malformed);
        }
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| TokenError::Malformed)?;
        // A member that occurs twice is an error of the parser (RFC 7515 §4 asks for that or for
        // the last one, and readers that differ are a hole).
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        if header.crit || header.b64 {
            return Err(TokenError::Extension);
        }
        let subtype = header
            .typ
            .get(..12)
            .filter(|prefix| prefix.eq_ignore_ascii_case("application/"))
            .map_or(header.typ.as_str(), |_| &header.typ[12..]);
        if !subtype.eq_ignore_ascii_case(ACCESS_TOKEN_TYPE) {
            return Err(TokenError::WrongType);
        }
        if header.kid.is_empty() || header.kid.len() > KID_LIMIT_BYTES {
            return Err(TokenError::UnknownKey);
        }
        Ok(Self {
            header,
            signed,
            claims,
            signature,
        })
    }
}

fn algorithm_name(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::RS256 => Some("RS256"),
        Algorithm::ES256 => Some("ES256"),
        Algorithm::EdDSA => Some("EdDSA"),
        _ => None,
    }
}
