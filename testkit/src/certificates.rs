//! An authority of one test, and the certificate that it gave to a server.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// The files, in PEM. They are removed with this value.
pub struct Certificates(TempDir);

#[expect(
    clippy::expect_used,
    reason = "without what a test asked for it has failed"
)]
impl Certificates {
    /// A new authority, and a server's certificate for these names or addresses.
    ///
    /// # Panics
    ///
    /// There is no temporary folder, or a name is none.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        let key = || KeyPair::generate().expect("a key can be made");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, key());
        let authority = authority.expect("an authority can be made");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let server = CertificateParams::new(names).expect("names of a certificate");
        let server_key = key();
        let server = server.signed_by(&server_key, &authority);
        let server = server.expect("an authority can sign");

        let files = Self(tempfile::tempdir().expect("a temporary folder"));
        for (file, text) in [
            (files.authority(), authority.pem()),
            (files.certificate(), server.pem()),
            (files.key(), server_key.serialize_pem()),
        ] {
            std::fs::write(file, text).expect("a temporary file");
        }
        files
    }

    /// Who is to be trusted.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.0.path().join("authority.pem")
    }

    /// The server's.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("server.pem")
    }

    /// The server's private key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.path().join("server-key.pem")
    }
}
