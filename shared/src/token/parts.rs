//! The compact form (RFC 7515 §7.1) taken apart, strictly, before anything in it is believed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{TokenError, object, wire::present};

/// The longest token that is looked at, in bytes. Tokens of this project have under 1 KiB.
pub const TOKEN_LIMIT_BYTES: usize = 8 * 1024;
/// The longest key id that is looked up, in bytes; an RFC 7638 thumbprint has 43.
pub const KEY_ID_LIMIT: usize = 128;

/// The key id that a token names, unverified, to decide whether a newer key set could help.
///
/// # Errors
///
/// The token or its header is malformed or refused.
pub fn unverified_kid(token: &str) -> Result<String, TokenError> {
    let header = Parts::split(token)?.header()?;
    Ok(header.kid)
}

/// The issuer that a token names, unverified, to decide whose keys may verify it (RFC 8725 §3.8).
///
/// # Errors
///
/// The token or its payload is malformed, or names no issuer.
pub fn unverified_issuer(token: &str) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let payload = Parts::split(token)?.payload()?;
    let claims: Claims = object::read(&payload).ok_or(TokenError::Claims)?;
    Ok(claims.iss)
}

/// The three parts of a token, still encoded.
pub(super) struct Parts<'a> {
    /// What was signed: header, dot, payload.
    pub(super) signed: &'a str,
    /// The signature.
    pub(super) signature: &'a str,
    header: &'a str,
    payload: &'a str,
}

impl<'a> Parts<'a> {
    /// Exactly three parts; only the payload may be empty, which is then no claims.
    pub(super) fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_LIMIT_BYTES {
            return Err(TokenError::TooLong);
        }
        let not_three = TokenError::Malformed("not three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or(not_three.clone())?;
        let (header, payload) = signed.split_once('.').ok_or(not_three.clone())?;
        if payload.contains('.') {
            return Err(not_three);
        }
        if header.is_empty() || signature.is_empty() {
            return Err(TokenError::Malformed("an empty part"));
        }
        Ok(Self {
            signed,
            signature,
            header,
            payload,
        })
    }

    /// The header, with every member checked that this profile knows.
    pub(super) fn header(&self) -> Result<Header, TokenError> {
        let header: Header = object::read(&decode(self.header)?)
            .ok_or(TokenError::Header("not the expected JSON"))?;
        header.check_members()?;
        Ok(header)
    }

    /// The payload. [`KeySet::open`](super::KeySet) asks for it after it has checked the signature,
    /// [`unverified_issuer`] before.
    pub(super) fn payload(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.payload)
    }
}

/// The members of the header (RFC 7515 §4.1) that matter. Whatever else is there, such as `jku`,
/// `jwk`, `x5u` or `x5c`, is ignored: keys come from the key set only (RFC 8725 §3.10).
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
}

impl Header {
    /// The `typ` without the prefix `application/` (RFC 7515 §4.1.9). Nothing is said by none: that is
    /// a JWT of any kind (RFC 7519 §5.1).
    pub(super) fn kind(&self) -> &str {
        const PREFIX: &str = "application/";
        let typ = self.typ.as_deref().unwrap_or("JWT");
        match typ.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
            _ => typ,
        }
    }

    fn check_members(&self) -> Result<(), TokenError> {
        // No extension is understood here, so whatever is critical is refused (RFC 7515 §4.1.11).
        if self.crit {
            return Err(TokenError::Header("crit"));
        }
        // An unencoded payload (RFC 7797) is not supported.
        if self.b64 {
            return Err(TokenError::Header("b64"));
        }
        if self.kid.is_empty() || self.kid.len() > KEY_ID_LIMIT {
            return Err(TokenError::Header("kid is empty or too long"));
        }
        Ok(())
    }
}

/// Strict base64url: no padding, no white space, no other alphabet, no loose bits at the end, so
/// that each token has exactly one spelling.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed("not base64url"))
}
