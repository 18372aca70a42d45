//! What a username and a password may be. Parsed once at the edge; a value of these types is right.

mod commonest;
mod form;

use std::fmt;

use shared::config::Secret;

pub(crate) use self::form::normalized;

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

/// A password that may be set: 8 to 256 characters of any kind, none of the commonest, and not the
/// user's name. Length is what makes a password strong, so there are no other rules (NIST SP 800-63B
/// §5.1.1.2). In the form in which passwords are hashed.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

impl Password {
    /// Reads a password for a user of this name, as far as the name is known.
    ///
    /// # Errors
    ///
    /// Every rule that the text breaks.
    pub fn choose(
        text: &Secret<String>,
        username: Option<&Username>,
    ) -> Result<Self, Vec<&'static str>> {
        let password = normalized(text);
        let mut faults = Vec::new();
        let length = password.expose().chars().count();
        if !(PASSWORD_MINIMUM..=PASSWORD_LIMIT).contains(&length) {
            faults.push("must have 8 to 256 characters");
        }
        // A later version of Unicode may give them another form, and the password would be lost.
        if form::has_unassigned(password.expose()) {
            faults.push("has characters that Unicode has not assigned");
        }
        let folded = password.expose().to_lowercase();
        if commonest::contains(&folded) {
            faults.push("is one of the commonest passwords, which are guessed first");
        }
        if username.is_some_and(|username| is_made_of(&folded, username)) {
            faults.push("must be more than the username");
        }
        if faults.is_empty() {
            Ok(Self(password))
        } else {
            Err(faults)
        }
    }

    /// The text, to be hashed.
    #[must_use]
    pub fn into_secret(self) -> Secret<String> {
        self.0
    }
}

/// Whether a password in lower case has no letter beside the name, or beside the first part of an
/// address: `ada1234!` of ada, `adaada12` too.
fn is_made_of(password: &str, username: &Username) -> bool {
    /// A shorter one is in many a good password by chance.
    const SHORTEST: usize = 3;
    let name = username.key();
    let person = name.split('@').next().unwrap_or_default();
    [name.as_str(), person].into_iter().any(|name| {
        name.len() >= SHORTEST
            && password.contains(name)
            && !password.replace(name, "").contains(char::is_alphabetic)
    })
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

    fn faults(password: &str, username: &str) -> Vec<&'static str> {
        let username = Username::parse(username).unwrap();
        let password = Secret::new(password.to_owned());
        Password::choose(&password, Some(&username))
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn a_password_counts_in_characters_and_not_in_bytes() {
        assert_eq!(faults(&"é".repeat(7), "ada").len(), 1);
        for password in ["é".repeat(8), "🗝".repeat(256)] {
            assert!(faults(&password, "ada").is_empty());
        }
        assert_eq!(faults(&"xy".repeat(129), "ada").len(), 1);
        // Composed it has seven characters.
        assert_eq!(faults("e\u{301}éééééé", "ada").len(), 1);
    }

    #[test]
    fn the_commonest_passwords_are_refused_however_they_are_written() {
        for password in [
            "password",
            "PASSWORD",
            "12345678",
            "iloveyou",
            "1qaz2wsx",
            "ｐａｓｓｗｏｒｄ",
        ] {
            assert_eq!(faults(password, "ada").len(), 1, "{password}");
        }
        for password in [
            "correct horse battery",
            "password of a long journey",
            "a12345678 walks in",
            "Sesamöffnedich",
        ] {
            assert!(faults(password, "ada").is_empty(), "{password}");
        }
    }

    #[test]
    fn the_username_is_no_password_and_may_be_part_of_one() {
        for (password, username) in [
            ("ada.lovelace", "ada.lovelace"),
            ("ADA.Lovelace", "ada.lovelace"),
            ("ada12345!", "Ada"),
            ("adaadaada", "ada"),
            ("ada.lovelace1", "ada.lovelace@example.org"),
            ("ada@example.org", "ada@example.org"),
        ] {
            assert_eq!(faults(password, username).len(), 1, "{password}");
        }
        for (password, username) in [
            ("ada walks the dog", "ada"),
            ("9f2a7c1e0b", "a"),
            ("lovelace of london", "ada"),
        ] {
            assert!(faults(password, username).is_empty(), "{password}");
        }
    }

    #[test]
    fn characters_without_a_meaning_yet_are_refused() {
        assert_eq!(faults("correct horse \u{378}", "ada").len(), 1);
    }
}
