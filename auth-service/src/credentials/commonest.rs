//! The commonest passwords, which whoever guesses tries first.

/// One a line, in lower case; lines that begin with `#` say where they are from.
const LIST: &str = include_str!("commonest.txt");

/// Whether a password, in lower case, is one of them. It looks through all of them, in much less time
/// than the hash takes.
pub(super) fn contains(password: &str) -> bool {
    !password.starts_with('#') && LIST.lines().any(|common| common == password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_what_can_be_chosen_at_all_and_in_the_form_that_is_compared() {
        let passwords = || LIST.lines().filter(|line| !line.starts_with('#'));
        assert!(passwords().count() > 10_000);
        for password in passwords() {
            assert!(
                password.chars().count() >= super::super::PASSWORD_MINIMUM,
                "{password}"
            );
            assert_eq!(password.to_lowercase(), password);
        }
        assert!(!contains("# the mit license (mit)"));
    }
}
