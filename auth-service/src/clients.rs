//! Who may ask the endpoints of OAuth for what: confidential clients, and public ones ([`public`]).
//!
//! Confidential clients are the project's own services, few and known at the start, so they come
//! from the configuration and not from a table. What is kept of a secret is its digest: it has at
//! least 32 random characters, so a fast digest is enough, and comparing digests in constant time
//! tells nothing about how much of a guess was right.

mod public;
mod redirect;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest, Sha256};

pub use self::{
    public::{PAGE_PATH, PublicClient, PublicClients},
    redirect::{RedirectUri, RedirectsError},
};
use crate::list::entries;

/// The `client_id` of logins by `POST /login`: the service's own, which needs no registration.
pub const CLIENT_ID: &str = "statewise-login";
/// The `client_id` of this service's own page.
const PAGE_ID: &str = "statewise-page";

/// A shorter secret could be guessed.
const SECRET_MINIMUM: usize = 32;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Ask whether a token is active, RFC 7662.
    Introspect,
    /// Exchange a user's credential for a token, RFC 8693.
    Exchange,
    /// Get a token for itself, RFC 6749 §4.4.
    Token,
    /// Log users in by a code, RFC 6749 §4.1.
    Code,
}

/// A confidential client.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    secret_digest: [u8; 32],
    rights: Vec<Right>,
    redirect_uris: Vec<RedirectUri>,
}

/// The clients of the configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    confidential: Arc<[Client]>,
    public: PublicClients,
}

/// Why a list of clients is refused. No text contains any part of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientsError {
    /// An entry has not three parts.
    #[error("entry {0} is not of the form ID:SECRET:RIGHT+RIGHT")]
    Form(usize),
    /// An id cannot be sent as it is.
    #[error("the id of entry {0} must be of letters, digits, '-', '_' and '.'")]
    Id(usize),
    /// An id is in use.
    #[error("the id of entry {0} belongs to another client")]
    Taken(usize),
    /// A secret could be guessed or is no text of RFC 6749 appendix A.2.
    #[error(
        "the secret of entry {0} must be at least {SECRET_MINIMUM} visible characters of ASCII, without ':' and ','"
    )]
    Secret(usize),
    /// A right that is none.
    #[error(
        "the rights of entry {0} must be of introspect, exchange, token and code, joined by '+'"
    )]
    Right(usize),
}

impl Right {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "introspect" => Some(Self::Introspect),
            "exchange" => Some(Self::Exchange),
            "token" => Some(Self::Token),
            "code" => Some(Self::Code),
            _ => None,
        }
    }
}

impl Client {
    /// Whether it was given this right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    fn parse(number: usize, text: &str) -> Result<Self, ClientsError> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let [id, secret, rights] = parts[..] else {
            return Err(ClientsError::Form(number));
        };
        if !is_id(id) {
            return Err(ClientsError::Id(number));
        }
        if secret.len() < SECRET_MINIMUM || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientsError::Secret(number));
        }
        let rights: Option<Vec<Right>> = rights.split('+').map(Right::parse).collect();
        Ok(Self {
            id: id.to_owned(),
            secret_digest: Sha256::digest(secret).into(),
            rights: rights.ok_or(ClientsError::Right(number))?,
            redirect_uris: Vec::new(),
        })
    }
}

/// Shows nothing of the secret, not even its digest.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

impl Clients {
    /// The client of this id, if the secret is its own.
    #[must_use]
    pub fn authenticate(&self, id: &str, secret: &str) -> Option<&Client> {
        let presented = Sha256::digest(secret);
        let client = self.confidential.iter().find(|client| client.id == id)?;
        verify_slices_are_equal(&client.secret_digest, &presented)
            .ok()
            .map(|()| client)
    }

    /// Reads a list such as `api:SECRET:introspect,edge:SECRET:exchange+token`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the list.
    pub fn parse(text: &str) -> Result<Self, Vec<ClientsError>> {
        let mut taken: Vec<String> = Vec::new();
        let clients = read_list(text, |number, entry| {
            let client = Client::parse(number, entry)?;
            if is_own(&client.id) || taken.contains(&client.id) {
                return Err(ClientsError::Taken(number));
            }
            taken.push(client.id.clone());
            Ok(client)
        })?;
        Ok(Self {
            confidential: clients.into(),
            public: PublicClients::default(),
        })
    }

    /// Adds the public clients.
    ///
    /// # Errors
    ///
    /// One of them has the id of a confidential one.
    pub fn with_public(mut self, public: PublicClients) -> Result<Self, RedirectsError> {
        let taken = |client: &Client| public.find(&client.id).is_some();
        if let Some(client) = self.confidential.iter().find(|client| taken(client)) {
            return Err(RedirectsError::Confidential(client.id.clone()));
        }
        self.public = public;
        Ok(self)
    }

    /// Adds where codes for confidential clients may be sent: a list such as
    /// `web=https://web.example.org/back`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the list, and every client that has the right and no URI.
    pub fn with_redirects(mut self, list: &str) -> Result<Self, Vec<RedirectsError>> {
        let mut clients = self.confidential.to_vec();
        let mut faults = Vec::new();
        for (number, (id, uri)) in (1..).zip(redirect::read_all(list)?) {
            let client = clients.iter_mut().find(|client| client.id == id);
            match client.filter(|client| client.may(Right::Code)) {
                Some(client) => client.redirect_uris.push(uri),
                None => faults.push(RedirectsError::NoRight(number)),
            }
        }
        let stranded =
            |client: &&Client| client.may(Right::Code) && client.redirect_uris.is_empty();
        let stranded = clients.iter().filter(stranded);
        faults.extend(stranded.map(|client| RedirectsError::NoUri(client.id.clone())));
        if !faults.is_empty() {
            return Err(faults);
        }
        self.confidential = clients.into();
        Ok(self)
    }

    /// Where codes for the client of this id may be sent; `None` when nobody can log in to it.
    #[must_use]
    pub fn redirect_uris(&self, id: &str) -> Option<&[RedirectUri]> {
        let confidential = || {
            let mut all = self.confidential.iter();
            all.find(|client| client.id == id && client.may(Right::Code))
                .map(|client| &*client.redirect_uris)
        };
        let public = self.public.find(id).map(|client| &*client.redirect_uris);
        public.or_else(confidential)
    }

    /// The public client of this id.
    #[must_use]
    pub fn public(&self, id: &str) -> Option<&PublicClient> {
        self.public.find(id)
    }
}

/// Reads each entry of a list, which are counted from 1, or gives the fault of every wrong one.
fn read_list<'a, T, E>(
    list: &'a str,
    mut read: impl FnMut(usize, &'a str) -> Result<T, E>,
) -> Result<Vec<T>, Vec<E>> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (number, entry) in (1..).zip(entries(list)) {
        match read(number, entry) {
            Ok(one) => found.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(found)
    } else {
        Err(faults)
    }
}

/// Whether a `client_id` is that of `POST /login` or of this service's page.
fn is_own(id: &str) -> bool {
    id == CLIENT_ID || id == PAGE_ID
}

/// Whether a text can be a `client_id` here.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is_plain(byte) || byte == b'.')
}

/// Characters that mean the same in a form, in the Basic scheme and in a list.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789-abcdefghijklmnopqrs_tu";

    #[test]
    fn a_client_is_known_by_its_secret_and_has_the_rights_it_was_given() {
        let list = format!("api:{SECRET}:introspect, edge.1:{SECRET}x:exchange+token");
        let clients = Clients::parse(&list).unwrap();
        let api = clients.authenticate("api", SECRET).unwrap();
        assert!(api.may(Right::Introspect));
        assert!(!api.may(Right::Exchange));
        assert!(clients.authenticate("edge.1", SECRET).is_none());
        let edge = clients.authenticate("edge.1", &format!("{SECRET}x"));
        assert!(edge.is_some_and(|edge| edge.may(Right::Exchange) && edge.may(Right::Token)));
        // As `openssl rand -base64 32` makes them.
        let base64 = "q/vKQ0C7+1ZkLq0o0Ck7l5kYwRk0aZ/+3tq9uB8nX0E=";
        let more = Clients::parse(&format!("c:{base64}:token,d:{SECRET}!~%&=?:token")).unwrap();
        assert!(more.authenticate("c", base64).is_some());
        assert!(clients.authenticate("nobody", SECRET).is_none());
        assert!(Clients::default().authenticate("", "").is_none());
    }

    #[test]
    fn an_entry_that_is_wrong_is_named_by_its_number_and_without_its_secret() {
        let good = format!("api:{SECRET}:token");
        for (entry, error) in [
            ("api".to_owned(), ClientsError::Form(2)),
            (format!("a b:{SECRET}:token"), ClientsError::Id(2)),
            (format!("api:{SECRET}:token"), ClientsError::Taken(2)),
            (
                format!("{CLIENT_ID}:{SECRET}:token"),
                ClientsError::Taken(2),
            ),
            ("x:opensesame:token".to_owned(), ClientsError::Secret(2)),
            (format!("x:{SECRET} y:token"), ClientsError::Secret(2)),
            (format!("x:{SECRET}é:token"), ClientsError::Secret(2)),
            (format!("x:{SECRET}:admin"), ClientsError::Right(2)),
            (format!("x:{SECRET}:"), ClientsError::Right(2)),
        ] {
            let refused = Clients::parse(&format!("{good},{entry}")).unwrap_err();
            assert_eq!(refused, [error], "{entry}");
            assert!(!refused[0].to_string().contains("opensesame"));
        }
    }

    #[test]
    fn a_client_with_the_right_logs_users_in_where_it_is_listed() {
        let clients = Clients::parse(&format!("web:{SECRET}:code,api:{SECRET}:token")).unwrap();
        let listed = clients
            .clone()
            .with_redirects("web=https://web.example.org/a, web=https://web.example.org/b");
        let listed = listed.unwrap();
        assert_eq!(listed.redirect_uris("web").unwrap().len(), 2);
        assert_eq!(listed.redirect_uris("api"), None);
        for (list, faults) in [
            ("", vec![RedirectsError::NoUri("web".to_owned())]),
            (
                "web=https://web.example.org/a, api=https://a.example.org/",
                vec![RedirectsError::NoRight(2)],
            ),
            (
                "eve=https://web.example.org/a",
                vec![
                    RedirectsError::NoRight(1),
                    RedirectsError::NoUri("web".to_owned()),
                ],
            ),
            (
                "web=http://web.example.org/a",
                vec![RedirectsError::RedirectUri(1)],
            ),
        ] {
            let refused = clients.clone().with_redirects(list).unwrap_err();
            assert_eq!(refused, faults, "{list}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let clients = Clients::parse(&format!("api:{SECRET}:token")).unwrap();
        let text = format!("{clients:?}");
        assert!(text.contains("api") && !text.contains(SECRET), "{text}");
    }
}
