//! Why TLS cannot be spoken with Redis.

use rustls::{AlertDescription, CertificateError};

use super::Fault;

impl Fault {
    /// What TLS found wrong.
    pub(super) fn of_tls(error: &rustls::Error) -> Self {
        let reason = match error {
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {
                "its certificate is from an authority that is not trusted here: \
                 name that (AUTH_REDIS_CA_FILE, API_REDIS_CA_FILE)"
            }
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "its certificate is of another name than the one in the URL",
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => "its certificate is out of date",
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => "its certificate is not valid yet: compare the clocks",
            rustls::Error::InvalidMessage(_) => {
                "what listens at its address does not speak TLS: without it, write redis://"
            }
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "it asks for a certificate of its clients, and there is none: \
                 set its tls-auth-clients to no"
            }
            // Of what else TLS finds wrong the text names no secret.
            error => {
                return Self {
                    reason: format!("TLS cannot be agreed on: {error}").into(),
                    ..Self::lasting("")
                };
            }
        };
        Self::lasting(reason)
    }
}
