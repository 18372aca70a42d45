//! What callers write may be a credential in the wrong place, and spans are read by more people than
//! are allowed to have it.

use std::borrow::Cow;

/// The longest run of letters that is shown. A UUID has 36; ids of sessions, refresh tokens and
/// codes have 43 and more, and so have signatures.
const LONGEST_SHOWN: usize = 39;

/// A caller's text without what could be a credential: each longer run of the letters of base64url,
/// percent-encoded or not, is `REDACTED`.
#[must_use]
pub fn redacted(text: &str) -> Cow<'_, str> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_%".contains(&byte);
    let mut shown = String::new();
    let mut rest = text;
    // The start of what is not copied yet, within `rest`.
    let mut seen = 0;
    while let Some(start) = rest[seen..].bytes().position(is_letter) {
        let start = seen + start;
        let run = rest[start..].bytes().take_while(|byte| is_letter(*byte));
        let end = start + run.count();
        if end - start > LONGEST_SHOWN {
            shown.push_str(&rest[..start]);
            shown.push_str("REDACTED");
            rest = &rest[end..];
            seen = 0;
        } else {
            seen = end;
        }
    }
    if shown.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_short_is_shown_and_what_is_long_is_not() {
        let uuid = "/users/8d4a9a39-2f66-4a4e-9a54-2d3c9e0f7a11/sessions";
        for shown in ["", "/", "/me", uuid, "curl/8.5.0 (x86_64)", "/caf\u{e9}"] {
            assert_eq!(redacted(shown), shown);
        }
        let id = "A".repeat(43);
        assert_eq!(redacted(&id), "REDACTED");
        assert_eq!(redacted(&format!("/a/{id}")), "/a/REDACTED");
        assert_eq!(
            redacted(&format!("/{id}/\u{e9}/{id}?x")),
            "/REDACTED/\u{e9}/REDACTED?x"
        );
        let encoded = "%41".repeat(43);
        assert_eq!(redacted(&format!("UA {encoded} ")), "UA REDACTED ");
    }

    proptest! {
        #[test]
        fn no_credential_is_left_in_any_text(
            before in ".{0,40}",
            credential in "[A-Za-z0-9_-]{43,90}",
            after in ".{0,40}",
        ) {
            let text = format!("{before}{credential}{after}");
            let shown = redacted(&text);
            prop_assert!(!shown.contains(&credential), "{shown}");
            // What a caller wrote around it in other letters stays.
            prop_assert!(shown.contains("REDACTED"));
        }
    }
}
