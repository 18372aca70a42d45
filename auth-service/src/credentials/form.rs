//! The form in which passwords are hashed: NFKC, the normalisation of NIST SP 800-63B §5.1.1.2.
//!
//! What looks alike on the keyboards and systems of one person is one password: composed or
//! decomposed, of full or half width. ADR 22 has the reasons.

use shared::config::Secret;
use unicode_normalization::{UnicodeNormalization, char::is_public_assigned};

/// A password in the form that is hashed.
pub(crate) fn normalized(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfkc().collect())
}

/// Whether there are characters whose form is not settled (Unicode Standard Annex #15, §12.1).
pub(super) fn has_unassigned(password: &str) -> bool {
    !password.chars().all(is_public_assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_alike_is_one_password() {
        let form = |text: &str| normalized(&Secret::new(text.to_owned())).expose().clone();
        for (one, other) in [
            ("Müllers Café", "Mu\u{308}llers Cafe\u{301}"),
            ("ｆｕｌｌｗｉｄｔｈ", "fullwidth"),
            ("a\u{a0}b", "a b"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
        ] {
            assert_eq!(form(one), form(other));
        }
        for (one, other) in [
            ("Password", "password"),
            ("straße", "strasse"),
            ("a b", "a  b"),
        ] {
            assert_ne!(form(one), form(other));
        }
    }
}
