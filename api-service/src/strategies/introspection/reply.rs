//! What a server's answer says (RFC 7662 §2.2), and whether this service takes the credential.
//!
//! The server says that a token is good; whether it is good *here* is decided here: it may be for
//! another audience (RFC 9700 §2.3), or one that a bearer alone may not use. Every member but `active`
//! is optional, so one that is absent contradicts nothing. But something must show that it is an access
//! token: servers call refresh tokens active too ([`Required`]).

use std::{rc::Rc, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};
use shared::token::RolesClaim;

use crate::auth::Principal;

/// What an active answer must say, or must not contradict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerProfile {
    /// The only `iss` that is accepted, compared byte for byte.
    pub issuer: String,
    /// Ours; `aud` must contain it.
    pub audience: String,
    /// How far the server's clock may be from ours, applied to `exp` and `nbf`.
    pub leeway: Duration,
    /// The member that has the roles.
    pub roles: RolesClaim,
    /// Members that must be there.
    pub required: Required,
}

/// Members that an active answer must have: of each list one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required(Vec<Vec<String>>);

impl Required {
    /// A list with commas, of alternatives with bars: `exp,aud|token_type`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let names = |all: &str| all.split('|').map(|name| name.trim().to_owned()).collect();
        let entries = text.split(',').filter(|entry| !entry.trim().is_empty());
        Self(entries.map(names).collect())
    }

    fn are_in(&self, members: &Map<String, Value>) -> bool {
        let present = |name: &String| name == "active" || members.contains_key(name);
        self.0.iter().all(|names| names.iter().any(present))
    }
}

/// An answer that was read.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) active: bool,
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// Why a credential is refused, as a short stable name.
pub(super) type Reason = &'static str;

impl Reply {
    /// `None` when the document is none of RFC 7662.
    pub(super) fn read(document: &[u8]) -> Option<Self> {
        let mut reply: Self = serde_json::from_slice(document).ok()?;
        // Whoever writes `null` says nothing.
        reply.members.retain(|_, value| !value.is_null());
        Some(reply)
    }

    /// Whose the credential is at `now`, if it is good here.
    pub(super) fn judge(&self, profile: &AnswerProfile, now: u64) -> Result<Rc<Principal>, Reason> {
        if !self.active {
            return Err("token_inactive");
        }
        if !profile.required.are_in(&self.members) {
            return Err("introspection_incomplete");
        }
        self.check_kind()?;
        self.check_issuer_and_audience(profile)?;
        self.check_times(profile.leeway.as_secs(), now)?;
        self.principal(&profile.roles).map(Rc::new)
    }

    /// A refresh token is no credential here, and a token that is bound to a key (`cnf`, RFC 7800) is
    /// worth nothing without the proof, which nobody asks for here.
    fn check_kind(&self) -> Result<(), Reason> {
        let kind = |name, allowed: &[&str]| match self.members.get(name) {
            None => true,
            Some(Value::String(text)) => allowed.iter().any(|one| text.eq_ignore_ascii_case(one)),
            Some(_) => false,
        };
        // `token_use` is not registered, and the one sign of some servers.
        if !kind("token_type", &["Bearer"]) || !kind("token_use", &["access_token", "access"]) {
            return Err("token_kind");
        }
        if self.members.contains_key("cnf") {
            return Err("token_bound");
        }
        Ok(())
    }

    fn check_issuer_and_audience(&self, profile: &AnswerProfile) -> Result<(), Reason> {
        let is = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        let issuer = self.members.get("iss");
        if issuer.is_some_and(|issuer| !is(issuer, &profile.issuer)) {
            return Err("token_issuer");
        }
        let ours = |audience: &Value| match audience {
            Value::Array(several) => several.iter().any(|one| is(one, &profile.audience)),
            one => is(one, &profile.audience),
        };
        if !self.members.get("aud").is_none_or(ours) {
            return Err("token_audience");
        }
        Ok(())
    }

    fn check_times(&self, leeway: u64, now: u64) -> Result<(), Reason> {
        if let Some(expiry) = self.seconds("exp")?
            && now >= expiry.saturating_add(leeway)
        {
            return Err("token_expired");
        }
        if let Some(not_before) = self.seconds("nbf")?
            && not_before > now.saturating_add(leeway)
        {
            return Err("token_not_yet_valid");
        }
        Ok(())
    }

    /// The subject; for a client that speaks for itself, whose token may have none, the client
    /// (RFC 9068 §2.2 has it so in tokens).
    fn principal(&self, roles: &RolesClaim) -> Result<Principal, Reason> {
        let subject = match self.text("sub")? {
            Some(subject) => subject,
            None => self.text("client_id")?.ok_or("introspection_nameless")?,
        };
        Ok(Principal {
            username: self.text("username")?.unwrap_or(subject).to_owned(),
            subject: subject.to_owned(),
            issuer: None,
            roles: roles.read(&self.members),
            sid: self.text("sid")?.map(str::to_owned),
            issued_at: self.seconds("iat")?.unwrap_or_default(),
            generation: None,
            expires_at: self.seconds("exp")?,
            token_id: self.text("jti")?.map(str::to_owned),
        })
    }

    /// A member that is a text; an empty one says nothing.
    fn text(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err("introspection_malformed"),
        }
    }

    /// A member that is a time. What cannot be read might be over.
    fn seconds(&self, name: &str) -> Result<Option<u64>, Reason> {
        let Some(value) = self.members.get(name) else {
            return Ok(None);
        };
        shared::token::numeric_date(value)
            .map(Some)
            .ok_or("introspection_malformed")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn profile() -> AnswerProfile {
        AnswerProfile {
            issuer: "https://issuer.example".to_owned(),
            audience: "api".to_owned(),
            leeway: Duration::from_secs(30),
            roles: RolesClaim::default(),
            required: Required::parse("aud|token_type"),
        }
    }

    /// An active answer of these members.
    fn judged(members: Value) -> Result<Rc<Principal>, Reason> {
        judged_by(&profile(), members)
    }

    fn judged_by(profile: &AnswerProfile, mut members: Value) -> Result<Rc<Principal>, Reason> {
        members["active"] = true.into();
        if members.get("token_type").is_none() {
            members["token_type"] = "Bearer".into();
        }
        let reply = Reply::read(members.to_string().as_bytes()).unwrap();
        reply.judge(profile, NOW)
    }

    #[test]
    fn only_an_answer_that_says_whether_it_is_active_is_one() {
        let active = |text: &str| Reply::read(text.as_bytes()).map(|reply| reply.active);
        assert_eq!(
            active(r#"{"active":true,"sub":"u","unknown":[1]}"#),
            Some(true)
        );
        assert_eq!(active(r#"{"active":false}"#), Some(false));
        for unusable in [
            "",
            "[]",
            "[true]",
            "null",
            "{}",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":false,"active":true,"sub":"u"}"#,
        ] {
            assert_eq!(active(unusable), None, "{unusable}");
        }
    }

    /// RFC 7662 §2.2: all members but `active` are optional.
    #[test]
    fn what_is_absent_contradicts_nothing() {
        let machine = judged(json!({"client_id": "m"})).unwrap();
        assert_eq!((&*machine.subject, &*machine.username), ("m", "m"));
        assert_eq!((machine.issued_at, machine.expires_at), (0, None));
        let user =
            json!({"sub": "u", "client_id": "m", "username": null, "exp": null, "aud": null});
        assert_eq!(judged(user).unwrap().subject, "u");
        let full = judged(json!({
            "sub": "u", "username": "ada", "client_id": "m", "token_type": "bearer",
            "iss": "https://issuer.example", "aud": ["other", "api"], "roles": ["a"],
            "nbf": NOW + 29, "iat": NOW, "exp": NOW - 29, "sid": "s", "jti": "j", "scope": "b c",
        }));
        assert_eq!(
            *full.unwrap(),
            Principal {
                subject: "u".to_owned(),
                username: "ada".to_owned(),
                issuer: None,
                roles: vec!["a".to_owned()],
                sid: Some("s".to_owned()),
                issued_at: NOW,
                generation: None,
                expires_at: Some(NOW - 29),
                token_id: Some("j".to_owned()),
            }
        );
    }

    /// RFC 7662 §4, RFC 9700 §2.3.
    #[test]
    fn an_active_token_that_is_not_good_here_is_refused() {
        for (members, reason) in [
            (json!({"aud": "other"}), "token_audience"),
            (json!({"aud": ["other", 7]}), "token_audience"),
            (json!({"aud": []}), "token_audience"),
            (json!({"aud": {"api": true}}), "token_audience"),
            (json!({"iss": "https://issuer.example/"}), "token_issuer"),
            (json!({"iss": ["https://issuer.example"]}), "token_issuer"),
            (json!({"exp": NOW - 30}), "token_expired"),
            (json!({"exp": 0}), "token_expired"),
            (json!({"exp": "soon"}), "introspection_malformed"),
            (json!({"exp": -1}), "introspection_malformed"),
            (json!({"nbf": NOW + 31}), "token_not_yet_valid"),
            (json!({"nbf": "now"}), "introspection_malformed"),
            (json!({"token_type": "DPoP"}), "token_kind"),
            (json!({"token_type": "refresh_token"}), "token_kind"),
            (json!({"token_type": ["Bearer"]}), "token_kind"),
            (json!({"token_use": "refresh_token"}), "token_kind"),
            (json!({"cnf": {"jkt": "x"}}), "token_bound"),
            (json!({"cnf": {"x5t#S256": "x"}}), "token_bound"),
            (json!({"sub": 7}), "introspection_malformed"),
            (json!({"sub": ""}), "introspection_nameless"),
            (
                json!({"sub": null, "username": "ada"}),
                "introspection_nameless",
            ),
        ] {
            let mut whole = json!({"sub": "u"});
            whole
                .as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            assert_eq!(judged(whole).unwrap_err(), reason, "{members}");
        }
        let inactive = Reply::read(br#"{"active":false,"sub":"u"}"#).unwrap();
        assert_eq!(inactive.judge(&profile(), NOW), Err("token_inactive"));
    }

    #[test]
    fn what_is_required_must_be_there() {
        let strict = AnswerProfile {
            required: Required::parse("aud, exp"),
            ..profile()
        };
        let all = json!({"sub": "u", "aud": "api", "exp": NOW + 1});
        assert!(judged_by(&strict, all).is_ok());
        for members in [
            json!({"sub": "u", "aud": "api"}),
            json!({"sub": "u", "aud": null, "exp": NOW + 1}),
        ] {
            assert_eq!(judged_by(&strict, members), Err("introspection_incomplete"));
        }
    }

    /// As some servers answer about a refresh token.
    #[test]
    fn nothing_that_might_be_a_refresh_token_is_taken() {
        let named = json!({"active": true, "sub": "u", "client_id": "c", "exp": NOW + 1});
        let judge = |required: &str, members: &Value| {
            let profile = AnswerProfile {
                required: Required::parse(required),
                ..profile()
            };
            let reply = Reply::read(members.to_string().as_bytes()).unwrap();
            reply.judge(&profile, NOW).map(drop)
        };
        assert_eq!(
            judge("aud|token_type", &named),
            Err("introspection_incomplete")
        );
        assert_eq!(judge("active", &named), Ok(()));
        for (name, value) in [("token_type", "Bearer"), ("aud", "api")] {
            let mut members = named.clone();
            members[name] = value.into();
            assert_eq!(judge("aud|token_type", &members), Ok(()), "{name}");
        }
    }

    #[test]
    fn roles_that_are_none_give_no_rights_and_refuse_nobody() {
        let roles = |claim: Value| {
            judged(json!({"sub": "u", "roles": claim}))
                .unwrap()
                .roles
                .clone()
        };
        assert_eq!(roles(json!("admin")), ["admin"]);
        for none in [json!({"admin": true}), json!(7), json!([["admin"]])] {
            assert!(roles(none.clone()).is_empty(), "{none}");
        }
        let scopes = AnswerProfile {
            roles: "scope".parse().unwrap(),
            ..profile()
        };
        let members = json!({"sub": "u", "scope": "a b", "roles": ["admin"]});
        assert_eq!(judged_by(&scopes, members).unwrap().roles, ["a", "b"]);
    }
}
