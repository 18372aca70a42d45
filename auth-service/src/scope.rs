//! What a client asks to be given of its user, RFC 6749 §3.3.
//!
//! | scope | gives the token |
//! | --- | --- |
//! | `api` | the use of the APIs as the subject; every token has it |
//! | `profile` | the name of the user |
//! | `roles` | the roles of the user |
//!
//! A client that asks for none gets all. Names that are none of these are ignored, as §3.3 allows,
//! because clients send what they send elsewhere (`openid email`); the answer says what was granted.

/// The scope of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    profile: bool,
    roles: bool,
}

/// A text that is no list of RFC 6749 appendix A.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope must be of visible characters without quote and backslash, with spaces between")]
pub struct ScopeError;

impl Scope {
    /// The names that mean something here.
    pub const NAMES: [&str; 3] = ["api", "profile", "roles"];

    /// What is granted where nothing is asked for.
    pub const ALL: Self = Self {
        profile: true,
        roles: true,
    };

    /// What a client has that speaks for itself: it has neither a name nor roles.
    pub const LEAST: Self = Self {
        profile: false,
        roles: false,
    };

    /// What is granted of a scope that is asked for.
    ///
    /// # Errors
    ///
    /// The text is no scope.
    pub fn granted(text: &str) -> Result<Self, ScopeError> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let mut granted = Self::LEAST;
        for name in text.split(' ').filter(|name| !name.is_empty()) {
            match name {
                "profile" => granted.profile = true,
                "roles" => granted.roles = true,
                other if other.bytes().all(allowed) => {}
                _ => return Err(ScopeError),
            }
        }
        Ok(granted)
    }

    /// Whether everything of `other` is in this one.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        (self.profile || !other.profile) && (self.roles || !other.roles)
    }

    /// As the database has it; what cannot be read gives least.
    #[must_use]
    pub fn stored(text: Option<&str>) -> Option<Self> {
        text.map(|text| Self::granted(text).unwrap_or(Self::LEAST))
    }

    /// What is granted when `asked` is asked for of a grant with this scope; without either, nothing
    /// was ever asked for.
    #[must_use]
    pub fn narrowed(own: Option<Self>, asked: Option<Self>) -> Option<Self> {
        match (own, asked) {
            (Some(own), Some(asked)) => Some(Self {
                profile: own.profile && asked.profile,
                roles: own.roles && asked.roles,
            }),
            (own, asked) => own.or(asked),
        }
    }

    /// Whether tokens name the user.
    #[must_use]
    pub fn has_profile(self) -> bool {
        self.profile
    }

    /// Whether tokens have the user's roles.
    #[must_use]
    pub fn has_roles(self) -> bool {
        self.roles
    }

    /// As answers, tokens and the database have it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match (self.profile, self.roles) {
            (true, true) => "api profile roles",
            (true, false) => "api profile",
            (false, true) => "api roles",
            (false, false) => "api",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_means_something_is_granted() {
        for (asked, granted) in [
            ("api", "api"),
            ("roles profile roles", "api profile roles"),
            ("openid profile email offline_access", "api profile"),
            ("https://example.org/all", "api"),
            (" roles  ", "api roles"),
            ("Roles", "api"),
        ] {
            let scope = Scope::granted(asked).unwrap();
            assert_eq!(scope.text(), granted, "{asked}");
            assert_eq!(Scope::granted(scope.text()), Ok(scope));
        }
        for wrong in ["a\"b", "a\\b", "é", "a\tb", "roles\n"] {
            assert_eq!(Scope::granted(wrong), Err(ScopeError), "{wrong:?}");
        }
    }

    #[test]
    fn a_scope_covers_what_is_in_it() {
        fn scope(text: &str) -> Scope {
            Scope::granted(text).unwrap()
        }
        assert!(Scope::ALL.covers(scope("roles")) && scope("roles").covers(scope("openid")));
        assert!(!scope("profile").covers(scope("roles")) && !scope("api").covers(Scope::ALL));
        let narrowed = |own: Option<&str>, asked: Option<&str>| {
            let scope = Scope::narrowed(own.map(scope), asked.map(scope));
            scope.map(Scope::text)
        };
        assert_eq!(narrowed(None, None), None);
        assert_eq!(narrowed(None, Some("roles")), Some("api roles"));
        assert_eq!(narrowed(Some("profile"), None), Some("api profile"));
        assert_eq!(
            narrowed(Some("profile"), Some("profile roles")),
            Some("api profile")
        );
        assert_eq!(Scope::stored(Some("\"")), Some(Scope::LEAST));
    }
}
