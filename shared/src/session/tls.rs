//! TLS to Redis, `rediss://`: whom its certificate must be from, and a stream over it.
//!
//! What is trusted is read once, at the start. The Redis library would read the system's
//! certificates anew, some 150 files, for each attempt to connect, in the midst of requests.

use std::{fmt, io, path::PathBuf, sync::Arc};

use futures_util::future::select_ok;
use redis::ConnectionAddr;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, ServerName,
        pem::{self, PemObject},
    },
};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What is needed to speak TLS to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    /// `None`: the authorities that the system trusts.
    authorities: Option<PathBuf>,
    config: Arc<ClientConfig>,
}

/// TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities is not there or is not PEM.
    #[error("{} cannot be read: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// It holds something else than certificates.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Nobody is trusted.
    #[error(
        "this system trusts no authority: name a file with the one that Redis' certificate is from"
    )]
    NoAuthorities,
    /// A certificate that cannot be used, or a library that was built without what is needed.
    #[error(transparent)]
    Setup(#[from] rustls::Error),
}

impl Tls {
    /// Trusts who is in a file of certificates (PEM), or where there is none whom the system trusts.
    ///
    /// # Errors
    ///
    /// Nobody would be trusted, or the file cannot be used.
    pub fn trusting(authorities: Option<PathBuf>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &authorities {
            let unreadable = |source| TlsError::File {
                file: file.clone(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?)?;
            }
            if roots.is_empty() {
                return Err(TlsError::Empty(file.clone()));
            }
        } else {
            // One that cannot be read is no reason to trust none of the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoAuthorities);
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            authorities,
            config: Arc::new(config),
        })
    }

    /// Connects, and goes on when the certificate is of the name that was connected to.
    pub(super) async fn connect(
        &self,
        address: &ConnectionAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let ConnectionAddr::Tcp(host, port) = address else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let found = lookup_host((host.as_str(), *port)).await?;
        // Of several addresses one may lead nowhere.
        let attempts: Vec<_> = found
            .map(|address| Box::pin(TcpStream::connect(address)))
            .collect();
        if attempts.is_empty() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let (stream, _) = select_ok(attempts).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await
    }
}

/// What is made of the same file is the same.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.authorities).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_no_authority_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authorities.pem");
        let refused = |file: &std::path::Path| {
            let error = Tls::trusting(Some(file.to_owned())).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("authorities.pem"), "{text}");
            error
        };
        assert!(matches!(refused(&file), TlsError::File { .. }));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(matches!(refused(&file), TlsError::Empty(_)));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        std::fs::write(&file, cut).unwrap();
        assert!(matches!(refused(&file), TlsError::File { .. }));
    }
}
