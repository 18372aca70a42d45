//! Where the requests of an arm go, and everything that would make one of them invalid.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::{Arm, EngineError, Load, Options};

/// The server of an arm.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Every address of its name, at least one.
    pub(super) addresses: Vec<SocketAddr>,
    /// For `https`.
    pub(super) tls: Option<Tls>,
}

/// How a server proves that it is who it is called.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    fn of(host: &str, authorities: Option<&Path>) -> Result<Self, String> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(file) => {
                let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
                for certificate in CertificateDer::pem_file_iter(file).map_err(|e| told(&e))? {
                    let certificate = certificate.map_err(|error| told(&error))?;
                    roots.add(certificate).map_err(|error| told(&error))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        if roots.is_empty() {
            return Err("no certificate of an authority was found to trust".to_owned());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        Ok(Self { config, name })
    }

    /// The client's side of one connection.
    pub(super) fn begin(&self) -> io::Result<ClientConnection> {
        let config = Arc::clone(&self.config);
        let mut tls = ClientConnection::new(config, self.name.clone()).map_err(io::Error::other)?;
        // A request is kept in whole when the socket does not take all of it.
        tls.set_buffer_limit(None);
        Ok(tls)
    }
}

impl Target {
    /// # Errors
    ///
    /// The arm cannot be driven.
    pub(super) fn of(arm: &Arm, options: &Options) -> Result<Self, EngineError> {
        let fault = |fault: String| EngineError::Arm {
            arm: arm.name.clone(),
            fault,
        };
        check(arm, options).map_err(fault)?;
        let host = arm.url.host_str().unwrap_or_default();
        let port = arm.url.port_or_known_default().unwrap_or(80);
        // A literal IPv6 address has brackets in a URL and nowhere else.
        let host = host.trim_matches(['[', ']']);
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|error| fault(format!("{host}:{port} was not found: {error}")))?
            .collect();
        if addresses.is_empty() {
            return Err(fault(format!("{host}:{port} has no address")));
        }
        let tls = match arm.url.scheme() {
            "https" => Some(Tls::of(host, options.ca_file.as_deref()).map_err(fault)?),
            _ => None,
        };
        Ok(Self { addresses, tls })
    }
}

fn check(arm: &Arm, options: &Options) -> Result<(), String> {
    if !arm.url.username().is_empty() || arm.url.password().is_some() {
        return Err(
            "the URL has credentials, which belong into an Authorization header".to_owned(),
        );
    }
    if !matches!(arm.url.scheme(), "http" | "https") {
        return Err(format!(
            "{}: only http:// and https:// URLs can be driven",
            arm.url
        ));
    }
    if arm.variants.is_empty() {
        return Err("there is no request to send".to_owned());
    }
    for variant in &arm.variants {
        variant.check()?;
    }
    match arm.load {
        Load::Open { rate, .. } if !(rate > 0.0 && rate.is_finite()) => Err(format!(
            "a rate of {rate} requests a second is not possible"
        )),
        Load::Open { .. } if options.connections == 0 => {
            Err("requests need at least one connection".to_owned())
        }
        Load::Closed { connections: 0 } => {
            Err("a closed loop needs at least one connection".to_owned())
        }
        _ => match options.max_connections {
            Some(most) if most < options.connections => Err(format!(
                "{most} connections at most are fewer than the {} to begin with",
                options.connections
            )),
            _ => Ok(()),
        },
    }
}
