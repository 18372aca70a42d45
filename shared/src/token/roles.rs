//! Where the roles of a caller stand among the claims, and what counts as one.

use std::{borrow::Cow, str::FromStr};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The claim that holds roles: a member's name, or a path of names with dots between, such as
/// `realm_access.roles`. A name that has dots itself is found first, as in
/// `https://example.org/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesClaim(Cow<'static, str>);

/// A claim without a name, or a path with an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a claim, or names with dots between, such as realm_access.roles")]
pub struct RolesClaimError;

impl Default for RolesClaim {
    /// RFC 9068 §2.2.3.1.
    fn default() -> Self {
        Self(Cow::Borrowed("roles"))
    }
}

impl FromStr for RolesClaim {
    type Err = RolesClaimError;

    fn from_str(text: &str) -> Result<Self, RolesClaimError> {
        if text.split('.').any(str::is_empty) || text.contains(char::is_whitespace) {
            return Err(RolesClaimError);
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl RolesClaim {
    /// The roles among these claims. Whatever is no role gives none, and makes nothing else of the
    /// claims wrong: fewer rights are the safe reading.
    #[must_use]
    pub fn read(&self, claims: &Map<String, Value>) -> Vec<String> {
        let Some(found) = self.find(claims) else {
            return Vec::new();
        };
        match found {
            // RFC 6749 §3.3. A role of another claim may have spaces in it: `site admin` is not
            // `admin`.
            Value::String(list) if self.is_scope() => {
                list.split_ascii_whitespace().map(str::to_owned).collect()
            }
            other => roles(other.clone()),
        }
    }

    /// Whether it is the claim that [`AccessClaims`](super::AccessClaims) reads by itself.
    pub(super) fn is_default(&self) -> bool {
        self.0 == "roles"
    }

    fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        claims.get(&*self.0).or_else(|| {
            let mut names = self.0.split('.');
            let first = claims.get(names.next()?)?;
            names.try_fold(first, |value, name| value.get(name))
        })
    }

    fn is_scope(&self) -> bool {
        matches!(self.0.rsplit('.').next(), Some("scope" | "scp"))
    }
}

/// A role as a text, a list of roles, or roles as SCIM writes them, which RFC 9068 §2.2.3.1 refers
/// to: objects with a `value` (RFC 7643 §2.4).
fn roles(claim: Value) -> Vec<String> {
    match claim {
        Value::Array(list) => list.into_iter().filter_map(role).collect(),
        one => role(one).into_iter().collect(),
    }
}

fn role(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(mut members) => match members.remove("value") {
            Some(Value::String(text)) => text,
            _ => return None,
        },
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The claim `roles`, whatever it is.
pub(super) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Value::deserialize(deserializer).map(roles)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claim: &str, claims: Value) -> Vec<String> {
        let claim: RolesClaim = claim.parse().unwrap();
        claim.read(claims.as_object().unwrap())
    }

    #[test]
    fn roles_are_found_by_name_and_by_path() {
        let claims = json!({
            "roles": ["a"], "groups": ["b", "c"], "scope": "d  e", "scp": ["f"],
            "realm_access": {"roles": ["g"]}, "https://example.org/roles": ["h"],
            "a": {"b": {"scope": "i j"}},
        });
        for (claim, found) in [
            ("roles", &["a"][..]),
            ("groups", &["b", "c"]),
            ("scope", &["d", "e"]),
            ("scp", &["f"]),
            ("realm_access.roles", &["g"]),
            ("https://example.org/roles", &["h"]),
            ("a.b.scope", &["i", "j"]),
            ("absent", &[]),
            ("roles.roles", &[]),
            ("realm_access.absent", &[]),
        ] {
            assert_eq!(read(claim, claims.clone()), found, "{claim}");
        }
    }

    #[test]
    fn only_what_is_a_role_is_one() {
        for (claim, found) in [
            (json!("admin"), &["admin"][..]),
            // One role with a space in its name.
            (json!("site admin"), &["site admin"]),
            (
                json!([{"value": "admin", "primary": true}, "user"]),
                &["admin", "user"],
            ),
            (json!(null), &[]),
            (json!(7), &[]),
            (json!(""), &[]),
            (json!({"admin": true}), &[]),
            (json!([["admin"], {"admin": true}, null, "", 7]), &[]),
        ] {
            assert_eq!(read("roles", json!({"roles": claim})), found, "{claim}");
        }
    }

    #[test]
    fn a_path_has_no_empty_names() {
        for wrong in ["", ".", "a.", ".a", "a..b", "a b"] {
            assert_eq!(wrong.parse::<RolesClaim>(), Err(RolesClaimError), "{wrong}");
        }
        assert_eq!("roles".parse(), Ok(RolesClaim::default()));
    }
}
