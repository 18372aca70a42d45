//! One revocation.

use serde::{Deserialize, Serialize};

/// What was revoked. Times are Unix seconds.
///
/// A user and everything are watermarks: one entry, whatever the number of tokens. They name a second,
/// for tokens that bear a time only, and a generation, which decides exactly: whatever was issued on
/// a reading of the user before the end bears an earlier one, however long the issuing took.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Revoked {
    /// One token.
    Token {
        /// Its `jti`.
        id: String,
    },
    /// Every token of one login.
    Session {
        /// Their `sid`.
        id: String,
    },
    /// Every token of one user up to a second, but for those of one login.
    User {
        /// Their `sub`.
        id: String,
        /// The last `iat` that is refused.
        before: u64,
        /// The first generation that is not refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
        /// The `sid` that is spared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        except: Option<String>,
    },
    /// Every token up to a second.
    All {
        /// The last `iat` that is refused.
        before: u64,
        /// The first generation that is not refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
    },
}

/// What of a token an entry can name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims<'a> {
    /// Its `jti`.
    pub jti: &'a str,
    /// Its `sid`.
    pub sid: Option<&'a str>,
    /// Its `sub`.
    pub sub: &'a str,
    /// Its `iat`.
    pub iat: u64,
    /// Its `gen`.
    pub generation: Option<u64>,
}

/// What was revoked, and how long that must be remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// What.
    #[serde(flatten)]
    pub revoked: Revoked,
    /// From this second on no token that it can name is accepted anyway.
    pub until: u64,
}

impl Revoked {
    /// The name of the kind: `token`, `session`, `user` or `all`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Session { .. } => "session",
            Self::User { .. } => "user",
            Self::All { .. } => "all",
        }
    }

    /// The name that an entry shares with those that it takes in, empty for none, and what orders
    /// them: the latest watermark of a user refuses all that earlier ones refuse.
    pub(super) fn succession(&self) -> (String, u64) {
        match self {
            Self::Token { .. } | Self::Session { .. } => (String::new(), 0),
            Self::User {
                id,
                before,
                generation,
                except,
            } => {
                let spared = except.as_deref().unwrap_or_default();
                (format!("user:{id}:{spared}"), generation.unwrap_or(*before))
            }
            Self::All { before, generation } => ("all".to_owned(), generation.unwrap_or(*before)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_form_that_is_written_down() {
        let id = || "x".to_owned();
        for (revoked, json) in [
            (
                Revoked::Token { id: id() },
                r#"{"kind":"token","id":"x","until":9}"#,
            ),
            (
                Revoked::Session { id: id() },
                r#"{"kind":"session","id":"x","until":9}"#,
            ),
            (
                Revoked::User {
                    id: id(),
                    before: 5,
                    generation: None,
                    except: None,
                },
                r#"{"kind":"user","id":"x","before":5,"until":9}"#,
            ),
            (
                Revoked::User {
                    id: id(),
                    before: 5,
                    generation: Some(7),
                    except: Some("s".to_owned()),
                },
                r#"{"kind":"user","id":"x","before":5,"generation":7,"except":"s","until":9}"#,
            ),
            (
                Revoked::All {
                    before: 5,
                    generation: None,
                },
                r#"{"kind":"all","before":5,"until":9}"#,
            ),
        ] {
            let entry = Entry { revoked, until: 9 };
            assert_eq!(serde_json::to_string(&entry).unwrap(), json);
            assert_eq!(serde_json::from_str::<Entry>(json).unwrap(), entry);
        }
    }
}
