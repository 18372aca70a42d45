//! Token exchange, RFC 8693: a user's credential for a short token that any replica can verify.
//!
//! The client acts as the user and the token names both (`sub`, `client_id`). Delegation with an
//! `act` claim is not offered, so an actor token is refused and not silently left out.

use super::TokenAnswer;
use crate::{
    clients::Right,
    http::{
        call::Call,
        error::{Error, OAuthError},
        oauth::{client::Caller, form::Form, presented_token},
    },
    issuer::Subject,
    scope::Scope,
    storage::UnixSeconds,
};

/// The only type that is accepted and issued, RFC 8693 §3: a session id is an opaque access token.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) async fn answer(
    call: &Call,
    caller: Caller,
    form: &Form,
    scope: Option<Scope>,
) -> Result<TokenAnswer, Error> {
    let client = caller.with(Right::Exchange)?;
    let asked = read(form, call.issuer.audience(), |audience| {
        call.issuer.exchanges_for(audience)
    })?;
    let mut subject = presented_token::credential(call, asked.subject_token)
        .await?
        .and_then(presented_token::Active::subject)
        .filter(|subject| !is_over(subject, call.now()))
        // RFC 8693 §2.2.2.
        .ok_or(OAuthError::InvalidRequest("subject_token is not valid"))?;
    subject.scope = Scope::narrowed(subject.scope, scope);
    let scope = subject.scope;
    let token = call
        .issuer
        .exchanged_token(subject, &client.id, asked.audience)?;
    Ok(TokenAnswer {
        issued_token_type: Some(ACCESS_TOKEN),
        ..TokenAnswer::new(&token).granting(scope)
    })
}

fn is_over(subject: &Subject, now: UnixSeconds) -> bool {
    subject.ends_at.is_some_and(|end| end <= now)
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Asked<'a> {
    subject_token: &'a str,
    audience: &'a str,
}

/// Reads a request, when everything that it asks for can be given. One token is for one audience,
/// so that no resource server can use it at another (RFC 8693 §2.1).
fn read<'a>(
    form: &'a Form,
    default_audience: &'a str,
    is_given: impl Fn(&str) -> bool,
) -> Result<Asked<'a>, OAuthError> {
    let token = form.require("subject_token", "subject_token is missing")?;
    let kind = form.require("subject_token_type", "subject_token_type is missing")?;
    if kind != ACCESS_TOKEN {
        return Err(OAuthError::InvalidRequest(
            "subject_token_type must be that of access tokens",
        ));
    }
    if form.get("requested_token_type").unwrap_or(ACCESS_TOKEN) != ACCESS_TOKEN {
        return Err(OAuthError::InvalidRequest("only access tokens are issued"));
    }
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return Err(OAuthError::InvalidRequest("delegation is not offered"));
    }
    let mut targets = form.all("audience").chain(form.all("resource"));
    let audience = targets.next().unwrap_or(default_audience);
    if !is_given(audience) || targets.any(|target| target != audience) {
        return Err(OAuthError::InvalidTarget);
    }
    Ok(Asked {
        subject_token: token,
        audience,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::oauth::form::tests::form;

    const SUBJECT: [(&str, &str); 2] =
        [("subject_token", "a"), ("subject_token_type", ACCESS_TOKEN)];

    fn is_given(audience: &str) -> bool {
        ["api", "inner"].contains(&audience)
    }

    /// The audience.
    fn with(more: &[(&str, &str)]) -> Result<String, OAuthError> {
        let pairs: Vec<_> = SUBJECT.iter().chain(more).copied().collect();
        let form = form(&pairs)?;
        read(&form, "api", is_given).map(|asked| asked.audience.to_owned())
    }

    /// RFC 8693 §2.1.
    #[test]
    fn what_cannot_be_given_is_refused_and_not_left_out() {
        assert_eq!(with(&[]), Ok("api".to_owned()));
        assert!(with(&[("requested_token_type", ACCESS_TOKEN)]).is_ok());
        for more in [
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:saml2",
            ),
            ("actor_token", "b"),
            ("actor_token_type", ACCESS_TOKEN),
        ] {
            let refused = with(&[more]);
            assert!(
                matches!(refused, Err(OAuthError::InvalidRequest(_))),
                "{more:?}"
            );
        }
        for absent in 0..SUBJECT.len() {
            let form = form(&SUBJECT[absent..=absent]).ok();
            assert!(read(&form.expect("a form"), "api", is_given).is_err());
        }
    }

    /// RFC 8693 §2.2.2.
    #[test]
    fn another_audience_or_resource_is_an_invalid_target() {
        for audience in ["api", "inner"] {
            assert_eq!(with(&[("audience", audience)]), Ok(audience.to_owned()));
        }
        for more in [
            vec![("audience", "other")],
            vec![("audience", "api"), ("audience", "other")],
            vec![("audience", "api"), ("audience", "inner")],
            vec![("resource", "https://other.example.org/")],
        ] {
            assert_eq!(with(&more), Err(OAuthError::InvalidTarget), "{more:?}");
        }
    }
}
