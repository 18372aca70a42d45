//! A JSON object in which no member is there twice.
//!
//! RFC 7515 §4 and RFC 7519 §4 let a reader take the last of two members of one name. Another reader
//! takes the first, and then two parties read two different tokens; so such an object is refused,
//! also when nobody here reads the member.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, MapAccess, Visitor},
};

/// More members than any header or claims set has; the names are compared one by one.
const MEMBER_LIMIT: usize = 64;

/// Reads an object; `None` if it is no JSON, no object, has a member twice, or is not a `T`. The
/// parser's message is dropped, because it may quote what it read.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // Apart from `T`, since what is derived ignores unknown members, and takes an array for an
    // object.
    serde_json::from_slice::<Distinct>(json).ok()?;
    serde_json::from_slice(json).ok()
}

struct Distinct;

/// Borrowed from the text unless it is written with escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Distinct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Distinct, A::Error> {
        let mut seen: Vec<Cow<'de, str>> = Vec::with_capacity(16);
        while let Some(Name(name)) = map.next_key()? {
            if seen.len() == MEMBER_LIMIT || seen.contains(&name) {
                return Err(A::Error::custom("too many members, or one of them twice"));
            }
            seen.push(name);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Distinct)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn members(json: &str) -> Option<usize> {
        read::<Map<String, Value>>(json.as_bytes()).map(|object| object.len())
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused_however_it_is_spelled() {
        assert_eq!(members(r#"{"a":1,"b":2}"#), Some(2));
        assert_eq!(members(r#"{"a":1,"b":2,"a":1}"#), None);
        assert_eq!(members(r#"{"a":1,"\u0061":1}"#), None);
        assert_eq!(members(r#"{"a":1,"A":1}"#), Some(2));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [
            "",
            "null",
            "[]",
            r#"["a"]"#,
            "7",
            "{}{}",
            "{} x",
            r#"{"a":1"#,
        ] {
            assert_eq!(members(json), None, "{json}");
        }
        assert_eq!(members(" {} \n"), Some(0));
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let object = |count: usize| {
            let members: Vec<_> = (0..count).map(|one| format!(r#""m{one}":0"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(members(&object(64)), Some(64));
        assert_eq!(members(&object(65)), None);
    }
}
