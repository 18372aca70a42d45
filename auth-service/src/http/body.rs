//! JSON bodies, read so that every fault is reported at once and no value is ever repeated: a
//! password may be in the wrong place.

use serde_json::{Map, Value};
use shared::config::Secret;
use utoipa::IntoResponses;

use super::error::Error;

/// What a route that reads JSON may answer besides its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described and never made")]
pub(super) enum JsonRefusals {
    /// The body is not what this path takes: every fault of it
    #[response(status = 400)]
    Faulty,
    /// The body is too large
    #[response(status = 413)]
    TooLarge,
    /// The body is not JSON
    #[response(status = 415)]
    NotJson,
    /// Something needed to answer did not answer
    #[response(status = 503)]
    Unavailable,
}

/// The members of a body, and what is wrong with them so far.
pub(super) struct Body {
    members: Map<String, Value>,
    faults: Vec<String>,
}

impl Body {
    /// Takes a JSON object.
    pub(super) fn new(json: Value) -> Result<Self, Error> {
        match json {
            Value::Object(members) => Ok(Self {
                members,
                faults: Vec::new(),
            }),
            _ => Err(Error::Faulty(vec!["the body must be an object".to_owned()])),
        }
    }

    /// Takes a member that must be text.
    pub(super) fn text(&mut self, name: &str) -> Option<Secret<String>> {
        match self.members.remove(name) {
            Some(Value::String(text)) => return Some(Secret::new(text)),
            Some(_) => self.fault(name, "must be text"),
            None => self.fault(name, "is missing"),
        }
        None
    }

    /// Takes a member that may be there and then must be text.
    pub(super) fn optional_text(&mut self, name: &str) -> Option<Secret<String>> {
        match self.members.contains_key(name) {
            true => self.text(name),
            false => None,
        }
    }

    /// Takes a member that may be there and then must be a list of texts.
    pub(super) fn optional_texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.members.remove(name)?;
        let texts: Option<Vec<String>> = value.as_array().and_then(|values| {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect()
        });
        if texts.is_none() {
            self.fault(name, "must be a list of texts");
        }
        texts
    }

    /// Takes a member that may be there and then must be true or false.
    pub(super) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        let flag = self.members.remove(name)?.as_bool();
        if flag.is_none() {
            self.fault(name, "must be true or false");
        }
        flag
    }

    /// Notes every member that was not taken.
    pub(super) fn nothing_else(&mut self) {
        // A name may be anything, and is cut; its value is not repeated at all.
        for name in std::mem::take(&mut self.members).keys() {
            let name: String = name.chars().take(32).collect();
            self.fault(&name, "does not belong here");
        }
    }

    /// Notes what is wrong with a member.
    pub(super) fn fault(&mut self, name: &str, reason: &str) {
        self.faults.push(format!("{name}: {reason}"));
    }

    /// Keeps what passed a check; notes every reason of what did not.
    pub(super) fn check<T>(
        &mut self,
        name: &str,
        outcome: Result<T, Vec<&'static str>>,
    ) -> Option<T> {
        outcome
            .map_err(|reasons| reasons.iter().for_each(|reason| self.fault(name, reason)))
            .ok()
    }

    /// What was read, unless something was wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Error> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(Error::Faulty(self.faults)),
        }
    }
}
