//! Feature `token`: signed tokens, their kinds and the one place where a token is verified.
//!
//! [`TokenProfile::verify`] follows RFC 7515, RFC 7519 and the advice of RFC 8725. The cryptography
//! is `jsonwebtoken`'s; its validation is not used, because it lets through what is refused here (an
//! unknown `crit`, another `typ`, an absent `aud`).
//!
//! | step | module |
//! | --- | --- |
//! | three parts, strict base64url, the header | [`parts`] |
//! | the key that `kid` names, with its one algorithm | [`keys`] |
//! | JSON without a member that is there twice | [`object`] |
//! | the kind of token: its `typ`, its claims | [`kind`] |
//!
//! Every kind goes through the same steps and differs in its claims only, which name its `typ`:
//! [`AccessClaims`] (RFC 9068), [`LogoutClaims`] (OpenID Connect Back-Channel Logout) and
//! [`InternalClaims`] (between services). No token of one kind is ever one of another.

mod access;
mod internal;
mod keys;
mod kind;
mod logout;
mod object;
mod parts;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

pub use self::{
    access::{ACCESS_TOKEN_TYPE, AccessClaims},
    internal::{INTERNAL_TOKEN_TYPE, InternalClaims},
    keys::{KeySet, KeySetError},
    kind::{Kind, Registered},
    logout::{LOGOUT_EVENT, LOGOUT_TOKEN_TYPE, LogoutClaims},
    parts::{KEY_ID_LIMIT, TOKEN_LIMIT_BYTES, unverified_kid},
};

/// What a resource server demands of an access token; its other demands are those of
/// [`AccessClaims`].
pub type AccessTokenProfile = TokenProfile;

/// What a verifier demands of every token, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenProfile {
    /// The only `iss` accepted, compared byte for byte (RFC 9068 §4).
    pub issuer: String,
    /// Ours; `aud` must contain it.
    pub audience: String,
    /// How far the issuer's clock may be from ours, applied to `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest `exp - iat` accepted, so that one bad issuer setting cannot make a token that
    /// never ends.
    pub max_lifetime: Duration,
}

/// Why a token was refused. No text contains any part of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_LIMIT_BYTES`].
    #[error("the token is longer than {TOKEN_LIMIT_BYTES} bytes")]
    TooLong,
    /// Not three parts of strict base64url, or a part that is not the expected JSON.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The header asks for something this profile does not allow.
    #[error("the token's header is refused: {0}")]
    Header(&'static str),
    /// No key of this id in the set. The set may be behind the issuer's.
    #[error("no key has the id that the token names")]
    UnknownKey {
        /// The id, as the caller wrote it: hostile input, at most [`KEY_ID_LIMIT`] bytes.
        kid: String,
    },
    /// `alg` is not the one algorithm of the key (RFC 8725 §3.1).
    #[error("the token names another algorithm than its key has")]
    Algorithm,
    /// The signature was not made by the key.
    #[error("the signature is wrong")]
    Signature,
    /// A required claim is absent or a claim is of the wrong type.
    #[error("the claims are not those of this kind of token")]
    Claims,
    /// `iss` is another issuer.
    #[error("the token is from another issuer")]
    Issuer,
    /// `aud` does not contain us.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` lies ahead.
    #[error("the token was issued in the future")]
    IssuedAhead,
    /// `exp - iat` is longer than allowed, or negative.
    #[error("the token lives longer than is accepted")]
    Lifetime,
}

impl TokenError {
    /// A short, stable name for `error.type` of a span.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Malformed(_) => "token_malformed",
            Self::Header(_) => "token_header",
            Self::UnknownKey { .. } => "token_unknown_key",
            Self::Algorithm => "token_algorithm",
            Self::Signature => "token_signature",
            Self::Claims => "token_claims",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::IssuedAhead => "token_issued_ahead",
            Self::Lifetime => "token_lifetime",
        }
    }
}

impl TokenProfile {
    /// The claims of a token of the kind `K` that passes every check at `now` (Unix seconds).
    ///
    /// # Errors
    ///
    /// The first check that failed. All mean the same to a caller, except
    /// [`TokenError::UnknownKey`], which may be answered by a newer key set.
    pub fn verify<K: Kind>(&self, token: &str, keys: &KeySet, now: u64) -> Result<K, TokenError> {
        let parts = parts::Parts::split(token)?;
        let header = parts.header()?;
        header.check_type(K::TYPE)?;
        let payload = keys.open(&header.kid, &header.alg, &parts)?;
        let claims: K = object::read(&payload).ok_or(TokenError::Claims)?;
        if !claims.is_complete() {
            return Err(TokenError::Claims);
        }
        self.check(&claims.registered(), now)?;
        Ok(claims)
    }

    /// What [`TokenProfile::verify`] demands of the claims that every kind has: of themselves, and
    /// at `now`. By itself it is no verification; it is for claims whose signature was checked
    /// before.
    ///
    /// # Errors
    ///
    /// The first check that failed.
    pub fn check(&self, claims: &Registered<'_>, now: u64) -> Result<(), TokenError> {
        let leeway = self.leeway.as_secs();
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.contains(&self.audience) {
            return Err(TokenError::Audience);
        }
        if now >= claims.exp.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        let latest = now.saturating_add(leeway);
        if claims.nbf.is_some_and(|not_before| not_before > latest) {
            return Err(TokenError::NotYetValid);
        }
        if claims.iat > latest {
            return Err(TokenError::IssuedAhead);
        }
        match claims.exp.checked_sub(claims.iat) {
            Some(lifetime) if lifetime <= self.max_lifetime.as_secs() => Ok(()),
            _ => Err(TokenError::Lifetime),
        }
    }
}
