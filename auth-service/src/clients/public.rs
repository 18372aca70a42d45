//! Public clients: pages in a browser and the like, which can keep no secret. What a code is issued
//! for is proved by PKCE (RFC 7636), and where it is sent is one of the URIs that are listed here.

use std::{str::FromStr, sync::Arc};

use url::{Host, Url};

use super::{is_id, read_list};

/// The `client_id` of logins by `POST /login`: the service's own, which needs no registration.
pub const CLIENT_ID: &str = "statewise-login";
/// Where this service's own page is, below the issuer: the redirect URI of its client.
pub const PAGE_PATH: &str = "/page";
/// The `client_id` of this service's own page.
const PAGE_ID: &str = "statewise-page";

/// What an answer adds to the query (RFC 6749 §4.1.2, RFC 9207 §2): a client must not find it twice.
const ANSWER: [&str; 5] = ["code", "state", "iss", "error", "error_description"];

/// A public client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicClient {
    /// Its `client_id`.
    pub id: String,
    /// Where codes may be sent, compared byte for byte (RFC 9700 §2.1).
    pub redirect_uris: Vec<String>,
}

/// The public clients of the configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PublicClients(Arc<[PublicClient]>);

/// Why a list of public clients is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicClientsError {
    /// An entry has not two parts.
    #[error("entry {0} is not of the form ID=REDIRECT-URI")]
    Form(usize),
    /// An id cannot be sent as it is.
    #[error("the id of entry {0} must be of letters, digits, '-', '_' and '.'")]
    Id(usize),
    /// An id is that of `POST /login` or of this service's own page.
    #[error("the id of entry {0} is this service's own")]
    Taken(usize),
    /// An id is a confidential client's.
    #[error("{0} is a client of AUTH_CLIENTS too")]
    Confidential(String),
    /// A URI is none that a browser could be sent to safely.
    #[error(
        "the redirect URI of entry {0} must be an https URL, or an http URL of this machine \
         (127.0.0.1, [::1] or localhost), as browsers write it (https://app.example.org/ with the \
         last slash), without user, fragment and the parameters of an answer"
    )]
    RedirectUri(usize),
}

impl PublicClient {
    /// This service's own page, which is at this URL.
    #[must_use]
    pub fn page(url: String) -> Self {
        Self {
            id: PAGE_ID.to_owned(),
            redirect_uris: vec![url],
        }
    }

    /// Whether codes for it may be sent there.
    #[must_use]
    pub fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|own| own == uri)
    }
}

impl PublicClients {
    /// The client of this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&PublicClient> {
        self.0.iter().find(|client| client.id == id)
    }

    /// These clients and this service's own page, whose id no entry may have.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the list.
    pub fn parse(text: &str, page: PublicClient) -> Result<Self, Vec<PublicClientsError>> {
        let mut clients = vec![page];
        for (id, uri) in read_list(text, read)? {
            match clients.iter_mut().find(|client| client.id == id) {
                Some(client) => client.redirect_uris.push(uri.to_owned()),
                None => clients.push(PublicClient {
                    id: id.to_owned(),
                    redirect_uris: vec![uri.to_owned()],
                }),
            }
        }
        Ok(Self(clients.into()))
    }
}

fn read(number: usize, entry: &str) -> Result<(&str, &str), PublicClientsError> {
    let (id, uri) = entry
        .split_once('=')
        .ok_or(PublicClientsError::Form(number))?;
    let (id, uri) = (id.trim(), uri.trim());
    if !is_id(id) {
        return Err(PublicClientsError::Id(number));
    }
    if is_own(id) {
        return Err(PublicClientsError::Taken(number));
    }
    if !is_redirect_uri(uri) {
        return Err(PublicClientsError::RedirectUri(number));
    }
    Ok((id, uri))
}

/// Whether a `client_id` is that of `POST /login` or of this service's page.
pub(super) fn is_own(id: &str) -> bool {
    id == CLIENT_ID || id == PAGE_ID
}

/// RFC 6749 §3.1.2, RFC 9700 §2.1 and §4.1: absolute, without a fragment; a code must not travel in
/// the clear, unless it does not leave the machine. A text that a browser would write in another way
/// is a mistake, and is compared with nothing that a client could send.
fn is_redirect_uri(text: &str) -> bool {
    let Ok(url) = Url::from_str(text) else {
        return false;
    };
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let safe = url.scheme() == "https" || (url.scheme() == "http" && local);
    let anybody = url.username().is_empty() && url.password().is_none();
    url.as_str() == text
        && safe
        && anybody
        && url.host_str().is_some_and(|host| host.bytes().all(named))
        && url.fragment().is_none()
        && !url.query_pairs().any(|(name, _)| ANSWER.contains(&&*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PublicClients, Vec<PublicClientsError>> {
        PublicClients::parse(text, PublicClient::page("http://gate/page".to_owned()))
    }

    #[test]
    fn a_client_may_have_several_uris_and_each_is_compared_byte_for_byte() {
        let clients = parse(
            "a=https://a.example.org/back, a=http://127.0.0.1:3000/, b=http://localhost/b?c=d",
        )
        .unwrap();
        let a = clients.find("a").unwrap();
        assert!(a.may_redirect_to("https://a.example.org/back"));
        assert!(a.may_redirect_to("http://127.0.0.1:3000/"));
        for other in [
            "https://a.example.org/back/",
            "https://a.example.org/back?x=y",
            "https://A.example.org/back",
            "http://a.example.org/back",
            "http://127.0.0.1:3000",
            "http://localhost/b?c=d",
            "",
        ] {
            assert!(!a.may_redirect_to(other), "{other}");
        }
        assert!(clients.find("b").is_some() && clients.find(PAGE_ID).is_some());
        assert!(clients.find("c").is_none());
    }

    #[test]
    fn an_entry_that_is_wrong_is_named_by_its_number() {
        for (entry, error) in [
            ("b", PublicClientsError::Form(2)),
            ("b!=https://b.example.org/", PublicClientsError::Id(2)),
            ("=https://b.example.org/", PublicClientsError::Id(2)),
            (
                "statewise-page=https://b.example.org/",
                PublicClientsError::Taken(2),
            ),
            (
                "statewise-login=https://b.example.org/",
                PublicClientsError::Taken(2),
            ),
            ("b=", PublicClientsError::RedirectUri(2)),
            ("b=/back", PublicClientsError::RedirectUri(2)),
            (
                "b=http://b.example.org/",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://b.example.org/#x",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://u@b.example.org/",
                PublicClientsError::RedirectUri(2),
            ),
            ("b=https:b.example.org/", PublicClientsError::RedirectUri(2)),
            (
                "b=https:\\\\b.example.org/",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://b.example.org",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://B.example.org/",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://*.example.org/",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://b;script-src/",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://b.example.org/?a=b&code=c",
                PublicClientsError::RedirectUri(2),
            ),
            (
                "b=https://b.example.org/a b",
                PublicClientsError::RedirectUri(2),
            ),
            ("b=javascript:alert(1)", PublicClientsError::RedirectUri(2)),
            ("b=data:text/html;x", PublicClientsError::RedirectUri(2)),
        ] {
            let refused = parse(&format!("a=https://a.example.org/, {entry}"));
            assert_eq!(refused.unwrap_err(), [error], "{entry}");
        }
    }

    #[test]
    fn every_fault_of_a_list_is_reported() {
        let faults = parse("a, b!=https://b.example.org/, c=http://c.example.org/").unwrap_err();
        assert_eq!(
            faults,
            [
                PublicClientsError::Form(1),
                PublicClientsError::Id(2),
                PublicClientsError::RedirectUri(3)
            ]
        );
    }
}
