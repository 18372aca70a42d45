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
    match (authorization, secret) {
        (Some(_), Some(_)) => Err(OAuthError::InvalidRequest("authenticate in one way only")),
        (Some(value), None) => {
            let credentials = Basic::read(value).ok_or(OAuthError::InvalidClient)?;
            if named.is_some_and(|named| named != credentials.id) {
                return Err(OAuthError::InvalidRequest("client_id is another client's"));
            }
            credentials.caller(clients)
        }
        (None, Some(secret)) => {
            let id = form.require("client_id", "client_id is missing")?;
            confidential(clients, id, secret)
        }
        (None, None) => public(clients, named.unwrap_or(CLIENT_ID)),
    }
}

fn confidential(clients: &Clients, id: &str, secret: &str) -> Result<Caller, OAuthError> {
    clients
        .authenticate(id, secret)
        .map(|client| Caller::Confidential(client.clone()))
        .ok_or(OAuthError::InvalidClient)
}

/// A confidential client that only names itself proves nothing.
fn public(clients: &Clients, id: &str) -> Result<Caller, OAuthError> {
    if id == CLIENT_ID || clients.public(id).is_some() {
        Ok(Caller::Public(id.to_owned()))
    } else {
        Err(OAuthError::InvalidClient)
    }
}

/// Id and secret by the Basic scheme, RFC 6749 §2.3.1.
struct Basic {
    id: String,
    secret: Secret<String>,
    /// As it came: many clients do not form-encode it before, though they must.
    raw: Secret<String>,
}

impl Basic {
    fn read(value: &HeaderValue) -> Option<Self> {
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some(Self {
            id: form_decoded(id),
            secret: Secret::new(form_decoded(secret)),
            raw: Secret::new(secret.to_owned()),
        })
    }

    /// A public client has no secret, and some libraries authenticate it so nevertheless: that it
    /// names itself by an empty one says no more than `client_id` does.
    fn caller(&self, clients: &Clients) -> Result<Caller, OAuthError> {
        if self.raw.expose().is_empty() {
            return public(clients, &self.id);
        }
        confidential(clients, &self.id, self.secret.expose())
            .or_else(|_| confidential(clients, &self.id, self.raw.expose()))
    }
}

/// One text of RFC 6749 appendix B. What separates pairs there has no meaning here.
fn form_decoded(text: &str) -> String {
    let pair = format!("={}", text.replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, text)| text.into_owned())
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

    /// RFC 6749 §2.3.1 and appendix B; curl and others send the secret as it is.
    #[test]
    fn a_secret_of_any_characters_authenticates_encoded_and_as_it_is() {
        let secret = "q/vKQ0C7+1ZkLq0o0Ck7l5kYwRk0aZ/+3tq9%uB&8nX0E=";
        let clients = Clients::parse(&format!("api:{secret}:introspect")).unwrap();
        let encoded = "q%2FvKQ0C7%2B1ZkLq0o0Ck7l5kYwRk0aZ%2F%2B3tq9%25uB%268nX0E%3D";
        assert_eq!(shared::credential::form_encoded(secret), encoded);
        for sent in [secret, encoded] {
            let value = HeaderValue::from_str(&basic_of(&format!("api:{sent}"))).unwrap();
            let empty = form(&[]).ok();
            let empty = empty.expect("a form without parameters");
            let caller = authenticate(Some(&value), &empty, &clients).unwrap();
            assert!(matches!(caller, Caller::Confidential(_)), "{sent}");
        }
    }

    #[test]
    fn a_public_client_may_authenticate_by_an_empty_secret() {
        for id in [CLIENT_ID, "statewise%2Dlogin"] {
            let caller = call(Some(&basic_of(&format!("{id}:"))), &[]).unwrap();
            assert!(matches!(caller, Caller::Public(public) if public == CLIENT_ID));
        }
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
