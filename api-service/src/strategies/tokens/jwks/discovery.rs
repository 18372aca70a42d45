//! Where an issuer's keys are: at an address that is configured, or at the one that the issuer's
//! metadata name (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use shared::config;
use url::{Host, Url};

/// The most that is repeated of what a document says.
const SHOWN_CHARACTERS: usize = 200;

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// There.
    At(Url),
    /// Where the issuer's metadata say.
    Discovered(Discovery),
}

/// An issuer whose metadata can be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// As it must stand in the metadata, byte for byte (RFC 8414 §3.3).
    issuer: String,
    /// Where they may be.
    places: [Url; 2],
    /// Whether keys may be there over http.
    over_http: OverHttp,
}

/// From whom keys may come over http, where anybody on the way can put others in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OverHttp {
    Nobody,
    ThisMachine,
    Anybody,
}

/// Why metadata say nothing of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetadataError {
    #[error("the document is no JSON object with issuer and jwks_uri, each once")]
    Document,
    #[error("the document is of another issuer, {0:?}")]
    Issuer(String),
    #[error("its jwks_uri {0:?} is no URL of https")]
    Address(String),
}

impl Discovery {
    /// The places of an issuer's metadata. `over_http`: they and the keys may be fetched over http
    /// from another machine.
    ///
    /// # Errors
    ///
    /// Why there can be none, as the end of a sentence about the issuer.
    pub fn new(issuer: &str, over_http: bool) -> Result<Self, String> {
        let url = config::url(issuer, &["http", "https"])?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "has a query or a fragment, so it has no metadata (RFC 8414 §2)".to_owned(),
            );
        }
        let over_http = match url.scheme() {
            "https" => OverHttp::Nobody,
            _ if over_http => OverHttp::Anybody,
            _ if is_this_machine(&url) => OverHttp::ThisMachine,
            _ => {
                return Err(
                    "is neither https nor on this machine: its keys are discovered only with \
                     API_DISCOVERY_OVER_HTTP=true"
                        .to_owned(),
                );
            }
        };
        let place = |before: &str, after: &str| {
            let mut place = url.clone();
            let path = url.path().trim_end_matches('/');
            place.set_path(&format!("{before}{path}{after}"));
            place
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            places: [
                place("", "/.well-known/openid-configuration"),
                place("/.well-known/oauth-authorization-server", ""),
            ],
            over_http,
        })
    }

    /// Where the metadata may be: that of OpenID Connect, then that of OAuth.
    pub(super) fn places(&self) -> &[Url; 2] {
        &self.places
    }

    /// Where these metadata say that the keys are.
    ///
    /// # Errors
    ///
    /// They are none, another issuer's, or name no place that may be asked.
    pub(super) fn read(&self, document: &[u8]) -> Result<Url, MetadataError> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        // What is derived would take an array for an object.
        let object = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(document);
        let metadata: Metadata = object
            .and_then(|_| serde_json::from_slice(document))
            .map_err(|_| MetadataError::Document)?;
        let shown = |text: &str| text.chars().take(SHOWN_CHARACTERS).collect();
        if metadata.issuer != self.issuer {
            return Err(MetadataError::Issuer(shown(&metadata.issuer)));
        }
        let url = config::url(&metadata.jwks_uri, &["http", "https"]).ok();
        url.filter(|url| self.may_ask(url))
            .ok_or_else(|| MetadataError::Address(shown(&metadata.jwks_uri)))
    }

    fn may_ask(&self, url: &Url) -> bool {
        url.scheme() == "https"
            || match self.over_http {
                OverHttp::Nobody => false,
                OverHttp::ThisMachine => is_this_machine(url),
                OverHttp::Anybody => true,
            }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // RFC 6761 §6.3.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(issuer: &str) -> Vec<String> {
        let discovery = Discovery::new(issuer, false).unwrap();
        discovery.places().iter().map(Url::to_string).collect()
    }

    /// OpenID Connect Discovery 1.0 §4.1 appends, RFC 8414 §3.1 inserts.
    #[test]
    fn metadata_are_looked_for_where_both_standards_have_them() {
        for (issuer, openid, oauth) in [
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example:8443/realms/a%20b/",
                "https://id.example:8443/realms/a%20b/.well-known/openid-configuration",
                "https://id.example:8443/.well-known/oauth-authorization-server/realms/a%20b",
            ),
        ] {
            assert_eq!(places(issuer), [openid, oauth]);
        }
    }

    #[test]
    fn http_is_for_this_machine_or_by_permission() {
        for here in [
            "http://127.0.0.1:8080/auth",
            "http://127.9.9.9",
            "http://[::1]:1/",
            "http://localhost",
            "http://id.localhost",
        ] {
            assert!(Discovery::new(here, false).is_ok(), "{here}");
        }
        for elsewhere in [
            "http://id.example",
            "http://10.0.0.1",
            "http://notlocalhost",
        ] {
            let fault = Discovery::new(elsewhere, false).unwrap_err();
            assert!(fault.contains("API_DISCOVERY_OVER_HTTP"), "{fault}");
            assert!(Discovery::new(elsewhere, true).is_ok(), "{elsewhere}");
        }
        for none in ["https://a/?b", "https://a/#b", "ftp://a", "a", ""] {
            assert!(Discovery::new(none, true).is_err(), "{none}");
        }
    }

    #[test]
    fn only_metadata_of_the_issuer_itself_name_its_keys() {
        const ISSUER: &str = "https://id.example/auth";
        let read = |document: String| {
            let discovery = Discovery::new(ISSUER, false).unwrap();
            discovery
                .read(document.as_bytes())
                .map_err(|error| error.to_string())
        };
        let keys = "https://keys.example/set";
        let good = json!({"issuer": ISSUER, "jwks_uri": keys, "more": [1]}).to_string();
        assert_eq!(read(good).unwrap().as_str(), keys);
        for other in ["https://id.example/auth/", "https://ID.example/auth", ""] {
            let fault = read(json!({"issuer": other, "jwks_uri": keys}).to_string()).unwrap_err();
            assert!(fault.contains("another issuer"), "{fault}");
        }
        let twice = format!(r#"{{"issuer":"x","issuer":"{ISSUER}","jwks_uri":"{keys}"}}"#);
        let none = json!({"issuer": ISSUER}).to_string();
        let list = json!([ISSUER, keys]).to_string();
        for unusable in [twice, none, list, String::new(), "<html>".to_owned()] {
            assert!(read(unusable).unwrap_err().contains("no JSON object"));
        }
    }

    #[test]
    fn keys_are_fetched_no_less_safely_than_the_issuer_is_reached() {
        let asks = |issuer: &str, over_http: bool, keys: &str| {
            let discovery = Discovery::new(issuer, over_http).unwrap();
            let document = json!({"issuer": issuer, "jwks_uri": keys}).to_string();
            discovery.read(document.as_bytes()).is_ok()
        };
        for (issuer, over_http, keys, asked) in [
            ("https://id.example", true, "https://keys.example", true),
            ("https://id.example", true, "http://keys.example", false),
            ("https://id.example", true, "http://127.0.0.1/keys", false),
            ("https://id.example", false, "file:///etc/keys", false),
            ("https://id.example", false, "/keys", false),
            ("http://127.0.0.1", false, "http://127.0.0.1:1/keys", true),
            ("http://127.0.0.1", false, "http://keys.example", false),
            ("http://127.0.0.1", false, "https://keys.example", true),
            ("http://id.example", true, "http://keys.example", true),
        ] {
            assert_eq!(asks(issuer, over_http, keys), asked, "{issuer} {keys}");
        }
    }
}
