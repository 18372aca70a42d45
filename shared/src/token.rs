//! Feature `token`: access tokens (RFC 9068), and the one place where a token is verified.
//!
//! [`AccessTokenProfile::verify`] follows RFC 7515, RFC 7519 and the advice of RFC 8725. The
//! cryptography is `jsonwebtoken`'s; its validation is not used, because it lets through what is
//! refused here (an unknown `crit`, another `typ`, an absent `aud`).
//!
//! | step | module |
//! | --- | --- |
//! | three parts, strict base64url, the header with the `typ` of an access token | [`parts`], [`kind`] |
//! | an algorithm that the issuer may use | [`algorithms`] |
//! | the key that `kid` names, with its one algorithm | [`keys`] |
//! | JSON without a member that is there twice | [`object`] |
//! | the claims | [`access`], [`roles`] |

mod access;
mod algorithms;
mod keys;
mod kind;
mod object;
mod parts;
mod roles;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

pub use self::{
    access::{ACCESS_TOKEN_TYPE, AccessClaims},
    algorithms::{TokenAlgorithms, TokenAlgorithmsError},
    keys::{KeySet, KeySetError},
    kind::{TokenTypes, TokenTypesError},
    parts::{KEY_ID_LIMIT, TOKEN_LIMIT_BYTES, unverified_issuer, unverified_kid},
    roles::{RolesClaim, RolesClaimError},
};

/// A `NumericDate` (RFC 7519 §2) among claims that were read as JSON: seconds, without their fraction.
#[must_use]
pub fn numeric_date(value: &serde_json::Value) -> Option<u64> {
    wire::numeric_date(value).ok()
}

/// What a verifier demands of an access token; its other demands are those of [`AccessClaims`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenProfile {
    /// The only `iss` accepted, compared byte for byte (RFC 9068 §4).
    pub issuer: String,
    /// Ours; `aud` must contain it.
    pub audience: String,
    /// How far the issuer's clock may be from ours, applied to `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest `exp - iat` accepted, so that one bad issuer setting cannot make a token that
    /// never ends.
    pub max_lifetime: Duration,
    /// The `typ` that are accepted: RFC 9068 §4 and RFC 8725 §3.11 have one, [`ACCESS_TOKEN_TYPE`].
    /// Tokens of another may be without `client_id` and `jti`.
    pub types: TokenTypes,
    /// The algorithms that are accepted, whatever keys the issuer publishes.
    pub algorithms: TokenAlgorithms,
    /// Which claim becomes [`AccessClaims::roles`].
    pub roles: RolesClaim,
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
    /// `alg` is not the one algorithm of the key (RFC 8725 §3.1), or none that the issuer may use.
    #[error("the token names another algorithm than its key has, or its issuer may use")]
    Algorithm,
    /// The signature was not made by the key.
    #[error("the signature is wrong")]
    Signature,
    /// What names no kind has the claims of another one than an access token.
    #[error("the token is none for access")]
    Kind,
    /// A required claim is absent or a claim is of the wrong type.
    #[error("the claims are not those of an access token")]
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
            Self::Kind => "token_kind",
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

impl AccessTokenProfile {
    /// The claims of an access token that passes every check at `now` (Unix seconds).
    ///
    /// # Errors
    ///
    /// The first check that failed. All mean the same to a caller, except
    /// [`TokenError::UnknownKey`], which may be answered by a newer key set.
    pub fn verify(&self, token: &str, keys: &KeySet, now: u64) -> Result<AccessClaims, TokenError> {
        let parts = parts::Parts::split(token)?;
        let header = parts.header()?;
        let kind = header.kind();
        if !self.types.contain(kind) {
            return Err(TokenError::Header("typ is that of another kind"));
        }
        if !self.algorithms.contain(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        let payload = keys.open(&header.kid, &header.alg, &parts)?;
        let mut claims: AccessClaims = object::read(&payload).ok_or(TokenError::Claims)?;
        if !self.roles.is_default() {
            let all = object::read(&payload).ok_or(TokenError::Claims)?;
            claims.roles = self.roles.read(&all);
        }
        if kind.eq_ignore_ascii_case(ACCESS_TOKEN_TYPE) {
            if !claims.is_complete() {
                return Err(TokenError::Claims);
            }
        } else if claims.sub.is_empty() || kind::is_of_another_kind(&payload) {
            return Err(TokenError::Kind);
        }
        self.check(&claims, now)?;
        Ok(claims)
    }

    /// What [`AccessTokenProfile::verify`] demands of the claims at `now` and by its settings. By
    /// itself it is no verification; it is for claims whose signature was checked before.
    ///
    /// # Errors
    ///
    /// The first check that failed.
    pub fn check(&self, claims: &AccessClaims, now: u64) -> Result<(), TokenError> {
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
