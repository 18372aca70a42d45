//! What a username and a password may be. Parsed once at the edge; a value of these types is right.

use std::fmt;

use shared::config::Secret;

/// Longest username in characters.
pub const USERNAME_LIMIT: usize = 64;
/// Longest name of a role in characters.
pub const ROLE_LIMIT: usize = 32;
/// Shortest password in characters (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_MINIMUM: usize = 8;
/// Longest password in characters.
pub const PASSWORD_LIMIT: usize = 256;

/// A name to log in with: 1 to 64 letters, digits and `._@-` of ASCII.
///
/// Names are compared without regard to case and shown as they were written at registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Reads a name that somebody may have.
    ///
    /// # Errors
    ///
    /// Every rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, Vec<&'static str>> {
        let mut faults = Vec::new();
        if text.is_empty() || text.chars().count() > USERNAME_LIMIT {
            faults.push("must have 1 to 64 characters");
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if !text.chars().all(allowed) {
            faults.push("may have letters, digits and . _ @ - of ASCII only");
        }
        if faults.is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(faults)
        }
    }

    /// Reads a name for a new user, which must be one that a path can hold: `.` and `..` mean
    /// something there (RFC 3986 §3.3).
    ///
    /// # Errors
    ///
    /// Every rule that the text breaks.
    pub fn choose(text: &str) -> Result<Self, Vec<&'static str>> {
        let name = Self::parse(text)?;
        if name.0.contains(|c: char| c.is_ascii_alphanumeric()) {
            Ok(name)
        } else {
            Err(vec!["must have a letter or a digit"])
        }
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every rule that the name of a role breaks. A role is a word: roles are kept with spaces between.
#[must_use]
pub fn role_faults(role: &str) -> Vec<&'static str> {
    let mut faults = Vec::new();
    if role.is_empty() || role.len() > ROLE_LIMIT {
        faults.push("each must have 1 to 32 characters");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if !role.chars().all(allowed) {
        faults.push("each may have small letters, digits, _ and - of ASCII only");
    }
    faults
}

/// A password that may be set: 8 to 256 characters of any kind, so at most 1024 bytes of UTF-8.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

impl Password {
    /// Reads a password.
    ///
    /// # Errors
    ///
    /// Every rule that the text breaks.
    pub fn parse(text: Secret<String>) -> Result<Self, Vec<&'static str>> {
        let length = text.expose().chars().count();
        if (PASSWORD_MINIMUM..=PASSWORD_LIMIT).contains(&length) {
            Ok(Self(text))
        } else {
            Err(vec!["must have 8 to 256 characters"])
        }
    }

    /// The text, to be hashed.
    #[must_use]
    pub fn into_secret(self) -> Secret<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_the_rules_are_taken_as_they_are() {
        for name in [
            "a",
            "Ada.Lovelace",
            "ada_l@example.org",
            "x-1",
            &"n".repeat(64),
        ] {
            assert_eq!(Username::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_new_name_has_a_letter_or_a_digit_so_that_every_path_can_hold_it() {
        for name in [".", "..", "...", "-", "@_"] {
            assert!(Username::parse(name).is_ok(), "{name} may exist");
            assert!(Username::choose(name).is_err(), "{name}");
        }
        for name in [".a", "..1", "a.", "x"] {
            assert!(Username::choose(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let key = |name| Username::parse(name).unwrap().key();
        assert_eq!(key("Ada"), key("aDA"));
    }

    #[test]
    fn every_rule_that_a_name_breaks_is_reported() {
        assert_eq!(Username::parse("").unwrap_err().len(), 1);
        for name in ["ada lovelace", "ada\0", "адa", "a/b"] {
            assert_eq!(Username::parse(name).unwrap_err().len(), 1, "{name:?}");
        }
        assert_eq!(Username::parse(&" ".repeat(65)).unwrap_err().len(), 2);
    }

    #[test]
    fn a_password_counts_in_characters_and_not_in_bytes() {
        let parse = |text: &str| Password::parse(Secret::new(text.to_owned()));
        assert!(parse(&"é".repeat(7)).is_err());
        assert!(parse(&"é".repeat(8)).is_ok());
        assert!(parse(&"🗝".repeat(256)).is_ok());
        assert!(parse(&"x".repeat(257)).is_err());
    }
}
