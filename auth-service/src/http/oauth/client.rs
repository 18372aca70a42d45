//! Who calls an endpoint of OAuth: client authentication of RFC 6749 §2.3.

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderValue},
};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use shared::config::Secret;

use super::form::Form;
use crate::{
    clients::{CLIENT_ID, Client, Clients, Right},
    http::error::OAuthError,
};

/// RFC 7617 §2 says base64; whether it ends with padding changes nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whose request it is.
#[derive(Debug)]
pub(super) enum Caller {
    /// A public client, of this id: it has no secret, and its tokens are its own by possession.
    Public(String),
    /// A client that proved who it is.
    Confidential(Client),
}

impl Caller {
    /// Authenticates the client of a request, in exactly one way.
    pub(super) fn of(
        request: &HttpRequest,
        form: &Form,
        clients: &Clients,
    ) -> Result<Self, OAuthError> {
        let mut headers = request.headers().get_all(header::AUTHORIZATION);
        let authorization = headers.next();
        if headers.next().is_some() {
            return Err(OAuthError::InvalidRequest("authenticate in one way only"));
        }
        authenticate(authorization, form, clients)
    }

    /// The confidential client, when it may do this.
    pub(super) fn with(self, right: Right) -> Result<Client, OAuthError> {
        match self {
            Self::Public(_) => Err(OAuthError::InvalidClient),
            Self::Confidential(client) if client.may(right) => Ok(client),
            Self::Confidential(_) => Err(OAuthError::UnauthorizedClient),
        }
    }

    /// The `client_id` of tokens that are this caller's.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Public(id) => id,
            Self::Confidential(client) => &client.id,
        }
    }
}

fn authenticate(
    authorization: Option<&HeaderValue>,
    form: &Form,
    clients: &Clients,
) -> Result<Caller, OAuthError> {
    let secret = form.get("client_secret");
    let named = form.get("client_id");
    if form.get("client_assertion").is_some() {
        return Err(OAuthError::InvalidClient);
    }
    let (id, secret) = match (authorization, secret) {
        (Some(_), Some(_)) => {
            return Err(OAuthError::InvalidRequest("authenticate in one way only"));
        }
        (Some(value), None) => {
            let (id, secret) = basic(value).ok_or(OAuthError::InvalidClient)?;
            if named.is_some_and(|named| named != id) {
                return Err(OAuthError::InvalidRequest("client_id is another client's"));
            }
            (id, secret)
        }
        (None, Some(secret)) => {
            let id = form.require("client_id", "client_id is missing")?;
            (id.to_owned(), Secret::new(secret.to_owned()))
        }
        (None, None) => {
            let id = named.unwrap_or(CLIENT_ID);
            // A confidential client that only names itself proves nothing.
            return if id == CLIENT_ID || clients.public(id).is_some() {
                Ok(Caller::Public(id.to_owned()))
            } else {
                Err(OAuthError::InvalidClient)
            };
        }
    };
    clients
        .authenticate(&id, secret.expose())
        .map(|client| Caller::Confidential(client.clone()))
        .ok_or(OAuthError::InvalidClient)
}

/// RFC 6749 §2.3.1: the Basic scheme, with id and secret form-encoded before they are joined.
fn basic(value: &HeaderValue) -> Option<(String, Secret<String>)> {
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id)?, Secret::new(form_decoded(secret)?)))
}

fn form_decoded(text: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    let (name, value) = pairs.next()?;
    (value.is_empty() && pairs.next().is_none()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::oauth::form::tests::form;

    const SECRET: &str = "0123456789-abcdefghijklmnopqrs_tu";

    fn clients() -> Clients {
        Clients::parse(&format!("api:{SECRET}:introspect")).unwrap()
    }

    fn call(authorization: Option<&str>, pairs: &[(&str, &str)]) -> Result<Caller, OAuthError> {
        let value = authorization.map(|text| HeaderValue::from_str(text).unwrap());
        authenticate(value.as_ref(), &form(pairs)?, &clients())
    }

    fn basic_of(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair))
    }

    /// RFC 6749 §2.3.1.
    #[test]
    fn basic_and_body_authenticate_and_the_scheme_is_of_any_case() {
        let good = basic_of(&format!("api:{SECRET}"));
        let encoded = basic_of(&format!("%61pi:{}", SECRET.replace('-', "%2D")));
        for (header, pairs) in [
            (Some(good.clone()), vec![]),
            (Some(good.replace("Basic", "bASIC")), vec![]),
            (Some(good), vec![("client_id", "api")]),
            (Some(encoded), vec![]),
            (None, vec![("client_id", "api"), ("client_secret", SECRET)]),
        ] {
            let caller = call(header.as_deref(), &pairs).unwrap();
            assert_eq!(caller.id(), "api");
            assert_eq!(caller.with(Right::Introspect).unwrap().id, "api");
        }
        let public = call(None, &[]).unwrap();
        assert_eq!(public.id(), CLIENT_ID);
        assert_eq!(
            public.with(Right::Introspect),
            Err(OAuthError::InvalidClient)
        );
    }

    /// RFC 6749 §5.2.
    #[test]
    fn who_does_not_prove_to_be_a_client_is_none() {
        let wrong = SECRET.replace('a', "b");
        for header in [
            basic_of(&format!("api:{wrong}")),
            basic_of(&format!("eve:{SECRET}")),
            basic_of("api"),
            basic_of("api:"),
            basic_of(&format!("{CLIENT_ID}:")),
            "Basic %%%".to_owned(),
            "Basic".to_owned(),
            format!("Bearer {SECRET}"),
        ] {
            let refused = call(Some(&header), &[]).unwrap_err();
            assert_eq!(refused, OAuthError::InvalidClient, "{header}");
        }
        for pairs in [
            [("client_id", "api"), ("a", "b")],
            [("client_id", "eve"), ("a", "b")],
            [("client_id", "api"), ("client_secret", &wrong)],
            [("client_id", "api"), ("client_assertion", "a.b.c")],
        ] {
            let refused = call(None, &pairs).unwrap_err();
            assert_eq!(refused, OAuthError::InvalidClient, "{pairs:?}");
        }
    }

    /// RFC 6749 §2.3.
    #[test]
    fn a_client_uses_one_way_only_and_one_name() {
        let good = basic_of(&format!("api:{SECRET}"));
        for pairs in [[("client_secret", SECRET)], [("client_id", "other")]] {
            let refused = call(Some(&good), &pairs).unwrap_err();
            assert!(
                matches!(refused, OAuthError::InvalidRequest(_)),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn a_right_that_was_not_given_is_refused() {
        let caller = call(Some(&basic_of(&format!("api:{SECRET}"))), &[]).unwrap();
        assert_eq!(
            caller.with(Right::Exchange),
            Err(OAuthError::UnauthorizedClient)
        );
    }
}
