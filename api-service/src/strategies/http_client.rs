//! The HTTP client that other servers are asked with: for keys, metadata and introspection.
//!
//! It follows no redirection and uses no proxy: what is believed comes from the configured place
//! (ASVS 9.1.3). Over https that place has a certificate of an authority that the machine trusts, or
//! of one of the operator's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Certificate, Client, ClientBuilder, redirect};
use shared::{
    config::{Faults, Given},
    telemetry::{
        outage::with_causes,
        trace::{Span, redacted},
    },
};

/// The variables.
#[derive(clap::Args)]
pub(super) struct AuthorityArguments {
    /// Tokens, introspection: a PEM file with certificates of your own authorities, which are trusted
    /// besides the machine's where keys, metadata and introspection are fetched over https.
    #[arg(
        long,
        env = "API_CA_FILE",
        default_value = "",
        hide_default_value = true
    )]
    ca_file: Given<Option<PathBuf>>,
}

impl AuthorityArguments {
    /// Reads the file, noting what is wrong with it.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<Authorities> {
        self.ca_file.checked(faults, |file| match file {
            Some(file) => Authorities::read(&file),
            None => Ok(Authorities::default()),
        })
    }
}

/// Certificate authorities of the operator's own, trusted besides the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities {
    /// Certificates in PEM, of which each can be used.
    pem: Vec<u8>,
}

/// No client could be made to ask others with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The other side of https can be checked by nobody's certificate.
    #[error(
        "{address} cannot be asked: https needs certificates of authorities ({cause}); install the \
         system's (ca-certificates), or name a file with some in SSL_CERT_FILE or API_CA_FILE"
    )]
    Authorities {
        /// Scheme, host and port of who would be asked.
        address: String,
        /// What the library said.
        cause: String,
    },
    /// Anything else.
    #[error("no HTTP client can be made: {0}")]
    Other(String),
}

impl Authorities {
    /// Reads a file of certificates in PEM.
    ///
    /// # Errors
    ///
    /// It cannot be read, or holds no certificate, or one that is none of an authority.
    pub fn read(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let pem = fs::read(file).map_err(|error| format!("cannot read {name}: {error}"))?;
        let authorities = Self { pem };
        let certificates = authorities.certificates();
        if certificates.as_ref().is_ok_and(Vec::is_empty) {
            return Err(format!(
                "{name} has no certificate in PEM (-----BEGIN CERTIFICATE-----)"
            ));
        }
        certificates
            .and_then(|them| bare().tls_certs_only(them).build())
            .map_err(|error| format!("{name} has a certificate that is none: {}", causes(error)))?;
        Ok(authorities)
    }

    /// A client for this address, with the deadlines that `adjust` sets.
    ///
    /// # Errors
    ///
    /// The address is of https and there are no authorities.
    pub(super) fn client(
        &self,
        address: &url::Url,
        adjust: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ClientError> {
        let other = |error| ClientError::Other(causes(error));
        let own = self.certificates().map_err(other)?;
        match adjust(bare()).tls_certs_merge(own).build() {
            Ok(client) => Ok(client),
            Err(error) if address.scheme() == "https" => Err(ClientError::Authorities {
                // Not all of it, which may hold a password.
                address: address.origin().ascii_serialization(),
                cause: causes(error),
            }),
            // A machine without authorities, on which nobody is asked over https.
            Err(_) => adjust(bare()).tls_certs_only([]).build().map_err(other),
        }
    }

    fn certificates(&self) -> reqwest::Result<Vec<Certificate>> {
        Certificate::from_pem_bundle(&self.pem)
    }
}

fn bare() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
}

/// An error with its causes, which say what the outermost text does not, and without its URL, which
/// may hold a password.
pub(super) fn causes(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}

/// What the semantic conventions for HTTP say of a call, before there is an answer. Not the query and
/// not the credentials that a URL may hold.
pub(super) fn describe_call(span: &mut Span, method: &'static str, url: &url::Url) {
    if !span.is_recording() {
        return;
    }
    span.set("http.request.method", method);
    let full = format!("{}{}", url.origin().ascii_serialization(), url.path());
    span.set("url.full", redacted(&full).into_owned());
    span.set("server.address", url.host_str().unwrap_or("").to_owned());
    if let Some(port) = url.port_or_known_default() {
        span.set("server.port", i64::from(port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_helps_nobody_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authorities.pem");
        let refused = |says: &str| {
            let fault = Authorities::read(&file).unwrap_err();
            assert!(fault.contains("authorities.pem"), "{fault}");
            assert!(fault.contains(says), "{fault}");
        };
        refused("cannot read");
        for (text, says) in [
            ("", "no certificate"),
            ("nothing", "no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "a certificate that is none",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n",
                "a certificate that is none",
            ),
        ] {
            fs::write(&file, text).unwrap();
            refused(says);
        }
    }
}
