//! Where a browser may bring a code: the redirect URIs that are registered, and how what a client
//! asks for is compared with them.

use std::str::FromStr;

use url::{Host, Url};

use super::{is_id, is_own, read_list};

/// What an answer adds to the query (RFC 6749 §4.1.2, RFC 9207 §2): a client must not find it twice.
const ANSWER: [&str; 5] = ["code", "state", "iss", "error", "error_description"];

/// A registered redirect URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    /// Of `http` to an address of this machine: the same without its port.
    portless: Option<String>,
}

/// Why a list of redirect URIs is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectsError {
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
    /// An entry is of no confidential client that may log users in.
    #[error("entry {0} is of no client of AUTH_CLIENTS with the right code")]
    NoRight(usize),
    /// A client may log users in and nobody can be sent to it.
    #[error("{0} has the right code in AUTH_CLIENTS, and no redirect URI")]
    NoUri(String),
    /// A URI is none that a browser could be sent to safely.
    #[error(
        "the redirect URI of entry {0} must be an https URL, an http URL of this machine \
         (127.0.0.1, [::1] or localhost) or one of an application's own scheme with a dot in its \
         name (org.example.app:/path), as browsers write it (https://app.example.org/ with the \
         last slash), without user, fragment and the parameters of an answer"
    )]
    RedirectUri(usize),
}

/// A text that is none to which a browser could be sent safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsafe;

impl RedirectUri {
    /// A URI that is not checked, because nobody configured it.
    pub(super) fn own(text: String) -> Self {
        Self {
            text,
            portless: None,
        }
    }

    /// RFC 6749 §3.1.2, RFC 9700 §2.1 and §4.1: absolute, without a fragment; a code must not travel
    /// in the clear, unless it does not leave the machine. A scheme of an application's own must be
    /// the name of a domain in reverse (RFC 8252 §7.1 and §8.4). A text that a browser would write in
    /// another way is a mistake, and is compared with nothing that a client could send.
    pub(super) fn parse(text: &str) -> Result<Self, Unsafe> {
        let url = Url::from_str(text).map_err(|_| Unsafe)?;
        let safe = match url.scheme() {
            "https" => has_plain_host(&url),
            "http" => has_plain_host(&url) && is_this_machine(&url),
            scheme => is_private_use(scheme) && url.path().starts_with('/'),
        };
        let anybody = url.username().is_empty() && url.password().is_none();
        let clear = !url.query_pairs().any(|(name, _)| ANSWER.contains(&&*name));
        if url.as_str() != text || !safe || !anybody || !clear || url.fragment().is_some() {
            return Err(Unsafe);
        }
        Ok(Self {
            portless: without_port(text),
            text: text.to_owned(),
        })
    }

    /// Whether a client that asks for this URI means this one: byte for byte (RFC 9700 §2.1), but for
    /// the port of an address of this machine, which an application cannot choose beforehand
    /// (RFC 8252 §7.3).
    pub(crate) fn admits(&self, asked: &str) -> bool {
        self.text == asked || self.portless.is_some() && self.portless == without_port(asked)
    }
}

/// Reads a list such as `app=https://app.example.org/back`.
pub(super) fn read_all(list: &str) -> Result<Vec<(&str, RedirectUri)>, Vec<RedirectsError>> {
    read_list(list, |number, entry| {
        let (id, uri) = entry.split_once('=').ok_or(RedirectsError::Form(number))?;
        let (id, uri) = (id.trim(), uri.trim());
        if !is_id(id) {
            return Err(RedirectsError::Id(number));
        }
        if is_own(id) {
            return Err(RedirectsError::Taken(number));
        }
        let uri = RedirectUri::parse(uri).map_err(|_| RedirectsError::RedirectUri(number))?;
        Ok((id, uri))
    })
}

/// The URI without its port, when it is of `http` to a loopback address, written as browsers do. Not
/// of `localhost`, a name that may be anybody's (RFC 8252 §8.3).
fn without_port(text: &str) -> Option<String> {
    let mut url = Url::from_str(text).ok()?;
    let address = !matches!(url.host(), Some(Host::Domain(_)));
    if url.as_str() != text || url.scheme() != "http" || !address || !is_this_machine(&url) {
        return None;
    }
    url.set_port(None).ok()?;
    Some(url.into())
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn has_plain_host(url: &Url) -> bool {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    url.host_str().is_some_and(|host| host.bytes().all(named))
}

/// A domain's name in reverse has a dot, and no scheme that a browser or the system serves has one.
fn is_private_use(scheme: &str) -> bool {
    scheme.contains('.') && scheme.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_a_loopback_address_may_differ() {
        for (registered, asked, admitted) in [
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:9/cb", true),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:51004/cb", true),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1/cb", true),
            ("http://127.0.0.1/cb?a=b", "http://127.0.0.1:1/cb?a=b", true),
            ("http://[::1]:9/cb", "http://[::1]:51004/cb", true),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:10/cb/", false),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:10/cb?a=b", false),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:10/cb#a", false),
            ("http://127.0.0.1:9/cb", "http://127.0.0.2:9/cb", false),
            ("http://127.0.0.1:9/cb", "http://[::1]:9/cb", false),
            ("http://127.0.0.1:9/cb", "http://localhost:9/cb", false),
            ("http://127.0.0.1:9/cb", "https://127.0.0.1:10/cb", false),
            (
                "http://127.0.0.1:9/cb",
                "http://127.0.0.1:9@evil.example/cb",
                false,
            ),
            ("http://127.0.0.1:9/cb", "http://u@127.0.0.1:10/cb", false),
            ("http://127.0.0.1:9/cb", "HTTP://127.0.0.1:10/cb", false),
            ("http://127.0.0.1:9/cb", "http://127.1:10/cb", false),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:010/cb", false),
            ("http://localhost:9/cb", "http://localhost:10/cb", false),
            ("https://a.example/cb", "https://a.example:444/cb", false),
            ("https://127.0.0.1:9/cb", "https://127.0.0.1:10/cb", false),
            ("org.example.app:/cb", "org.example.app:/cb", true),
            ("org.example.app:/cb", "org.example.app:/cb/x", false),
            ("org.example.app:/cb", "org.example.app.x:/cb", false),
        ] {
            let uri = RedirectUri::parse(registered).unwrap();
            assert_eq!(uri.admits(asked), admitted, "{registered} {asked}");
        }
    }

    /// RFC 8252 §7.1, §8.4.
    #[test]
    fn a_private_use_scheme_is_the_name_of_a_domain_in_reverse() {
        for good in [
            "org.example.app:/cb",
            "org.example.app:/",
            "org.example.app://cb/x?a=b",
        ] {
            assert!(RedirectUri::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "app:/cb",
            "javascript:alert(1)",
            "data:text/html;x",
            "ms-settings:/x",
            "file:///etc/passwd",
            "org.example.app:cb",
            "org..app:/cb",
            "org.example.:/cb",
            "org.example.app:/cb#x",
            "org.example.app:/cb?code=x",
            "Org.example.app:/cb",
        ] {
            assert_eq!(RedirectUri::parse(wrong), Err(Unsafe), "{wrong}");
        }
    }
}
