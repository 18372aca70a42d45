//! What kinds of token are accepted, by the `typ` of their header.

use std::{borrow::Cow, str::FromStr};

use serde::Deserialize;

use super::{ACCESS_TOKEN_TYPE, object, wire::present};

/// Kinds of token. `JWT` is that of a token that says nothing, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTypes(Cow<'static, [Cow<'static, str>]>);

/// A list that is empty, or has an entry that is no `typ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be values of typ, separated by commas, such as at+jwt,JWT")]
pub struct TokenTypesError;

impl Default for TokenTypes {
    /// RFC 9068 §2.1.
    fn default() -> Self {
        Self(Cow::Borrowed(&[Cow::Borrowed(ACCESS_TOKEN_TYPE)]))
    }
}

impl FromStr for TokenTypes {
    type Err = TokenTypesError;

    fn from_str(list: &str) -> Result<Self, TokenTypesError> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        let types: Vec<_> = list.split(',').map(str::trim).collect();
        let wrong = |name: &&str| name.is_empty() || !name.bytes().all(named);
        if types.iter().any(wrong) {
            return Err(TokenTypesError);
        }
        let types = types.into_iter().map(|name| Cow::Owned(name.to_owned()));
        Ok(Self(types.collect()))
    }
}

impl TokenTypes {
    pub(super) fn contain(&self, kind: &str) -> bool {
        self.0.iter().any(|one| one.eq_ignore_ascii_case(kind))
    }
}

/// Whether a token without a kind of its own has what access tokens have not, and ID tokens (OpenID
/// Connect Core §2), logout tokens and other events (RFC 8417 §2.2) have: RFC 8725 §3.12.
pub(super) fn is_of_another_kind(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Signs {
        #[serde(default, deserialize_with = "present")]
        nonce: bool,
        #[serde(default, deserialize_with = "present")]
        at_hash: bool,
        #[serde(default, deserialize_with = "present")]
        c_hash: bool,
        #[serde(default, deserialize_with = "present")]
        events: bool,
    }
    object::read(payload)
        .is_none_or(|signs: Signs| signs.nonce || signs.at_hash || signs.c_hash || signs.events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_compared_without_regard_to_case_and_one_is_the_default() {
        let several: TokenTypes = "at+jwt, JWT".parse().unwrap();
        assert!(several.contain("jwt") && several.contain("AT+JWT"));
        assert!(!TokenTypes::default().contain("JWT") && !several.contain("logout+jwt"));
        for wrong in ["", ",", "at+jwt,", "a b", "application/at+jwt"] {
            assert_eq!(wrong.parse::<TokenTypes>(), Err(TokenTypesError), "{wrong}");
        }
    }
}
