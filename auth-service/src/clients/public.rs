//! Public clients: pages in a browser and the like, which can keep no secret. What a code is issued
//! for is proved by PKCE (RFC 7636), and where it is sent is one of the URIs that are listed here.

use std::sync::Arc;

use super::{
    PAGE_ID,
    redirect::{self, RedirectUri, RedirectsError},
};

/// Where this service's own page is, below the issuer: the redirect URI of its client.
pub const PAGE_PATH: &str = "/page";

/// A public client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicClient {
    /// Its `client_id`.
    pub id: String,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
}

/// The public clients of the configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PublicClients(Arc<[PublicClient]>);

impl PublicClient {
    /// This service's own page, which is at this URL.
    #[must_use]
    pub fn page(url: String) -> Self {
        Self {
            id: PAGE_ID.to_owned(),
            redirect_uris: vec![RedirectUri::own(url)],
        }
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
    pub fn parse(text: &str, page: PublicClient) -> Result<Self, Vec<RedirectsError>> {
        let mut clients = vec![page];
        for (id, uri) in redirect::read_all(text)? {
            match clients.iter_mut().find(|client| client.id == id) {
                Some(client) => client.redirect_uris.push(uri),
                None => clients.push(PublicClient {
                    id: id.to_owned(),
                    redirect_uris: vec![uri],
                }),
            }
        }
        Ok(Self(clients.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PublicClients, Vec<RedirectsError>> {
        PublicClients::parse(text, PublicClient::page("http://gate/page".to_owned()))
    }

    #[test]
    fn a_client_may_have_several_uris_and_each_is_compared_byte_for_byte() {
        let clients = parse(
            "a=https://a.example.org/back, a=http://127.0.0.1:3000/, b=http://localhost/b?c=d",
        )
        .unwrap();
        let a = &clients.find("a").unwrap().redirect_uris;
        let admitted = |asked: &str| a.iter().any(|uri| uri.admits(asked));
        assert!(admitted("https://a.example.org/back"));
        assert!(admitted("http://127.0.0.1:3000/"));
        for other in [
            "https://a.example.org/back/",
            "https://a.example.org/back?x=y",
            "https://A.example.org/back",
            "http://a.example.org/back",
            "http://127.0.0.1:3000",
            "http://localhost:3000/",
            "http://localhost/b?c=d",
            "",
        ] {
            assert!(!admitted(other), "{other}");
        }
        assert!(clients.find("b").is_some() && clients.find(PAGE_ID).is_some());
        assert!(clients.find("c").is_none());
    }

    #[test]
    fn an_entry_that_is_wrong_is_named_by_its_number() {
        for (entry, error) in [
            ("b", RedirectsError::Form(2)),
            ("b!=https://b.example.org/", RedirectsError::Id(2)),
            ("=https://b.example.org/", RedirectsError::Id(2)),
            (
                "statewise-page=https://b.example.org/",
                RedirectsError::Taken(2),
            ),
            (
                "statewise-login=https://b.example.org/",
                RedirectsError::Taken(2),
            ),
            ("b=", RedirectsError::RedirectUri(2)),
            ("b=/back", RedirectsError::RedirectUri(2)),
            ("b=http://b.example.org/", RedirectsError::RedirectUri(2)),
            ("b=https://b.example.org/#x", RedirectsError::RedirectUri(2)),
            ("b=https://u@b.example.org/", RedirectsError::RedirectUri(2)),
            ("b=https:b.example.org/", RedirectsError::RedirectUri(2)),
            ("b=https:\\\\b.example.org/", RedirectsError::RedirectUri(2)),
            ("b=https://b.example.org", RedirectsError::RedirectUri(2)),
            ("b=https://B.example.org/", RedirectsError::RedirectUri(2)),
            ("b=https://*.example.org/", RedirectsError::RedirectUri(2)),
            ("b=https://b;script-src/", RedirectsError::RedirectUri(2)),
            (
                "b=https://b.example.org/?a=b&code=c",
                RedirectsError::RedirectUri(2),
            ),
            (
                "b=https://b.example.org/a b",
                RedirectsError::RedirectUri(2),
            ),
            ("b=javascript:alert(1)", RedirectsError::RedirectUri(2)),
            ("b=data:text/html;x", RedirectsError::RedirectUri(2)),
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
                RedirectsError::Form(1),
                RedirectsError::Id(2),
                RedirectsError::RedirectUri(3)
            ]
        );
    }
}
