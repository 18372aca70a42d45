//! Which algorithms are accepted of an issuer.

use std::str::FromStr;

/// All that a key of ours may be used with, with the names of one algorithm in one row: RFC 9864 §2.2
/// renames EdDSA.
const ALL: [&[&str]; 9] = [
    &["RS256"],
    &["RS384"],
    &["RS512"],
    &["PS256"],
    &["PS384"],
    &["PS512"],
    &["ES256"],
    &["ES384"],
    &["EdDSA", "Ed25519"],
];

/// Algorithms by which an issuer may sign. All that are known here, unless fewer are named: which of
/// them a token must have is said by its key in any case (RFC 8725 §3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAlgorithms(Option<Vec<&'static str>>);

/// A list that is empty, or has an entry that is none of our algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA, separated \
     by commas"
)]
pub struct TokenAlgorithmsError;

impl FromStr for TokenAlgorithms {
    type Err = TokenAlgorithmsError;

    fn from_str(list: &str) -> Result<Self, TokenAlgorithmsError> {
        let mut names = Vec::new();
        for name in list.split(',').map(str::trim) {
            let same = ALL.iter().find(|same| same.contains(&name));
            names.extend_from_slice(same.ok_or(TokenAlgorithmsError)?);
        }
        Ok(Self(Some(names)))
    }
}

impl TokenAlgorithms {
    pub(super) fn contain(&self, name: &str) -> bool {
        let named = self.0.as_ref();
        named.is_none_or(|names| names.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_of_our_algorithms_and_both_names_of_one_are_one() {
        let two: TokenAlgorithms = "ES256, Ed25519".parse().unwrap();
        assert!(two.contain("ES256") && two.contain("EdDSA") && two.contain("Ed25519"));
        assert!(!two.contain("RS256") && !two.contain("none") && !two.contain("es256"));
        assert!(TokenAlgorithms::default().contain("PS512"));
        for wrong in ["", ",", "RS256,", "none", "HS256", "ES512", "rs256"] {
            let read = wrong.parse::<TokenAlgorithms>();
            assert_eq!(read, Err(TokenAlgorithmsError), "{wrong}");
        }
    }
}
