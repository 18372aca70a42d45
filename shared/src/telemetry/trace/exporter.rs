//! What spans are sent with: OTLP over HTTP, by a client of our own making.
//!
//! The library's client loads certificates of authorities even for an address of http, and fails
//! where there are none.

use std::{panic, thread, time::Duration};

use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use reqwest::blocking::Client;
use url::Url;

use super::headers;
use crate::{config::Secret, telemetry::outage::with_causes};

/// The exporter could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The other side of https can be checked by nobody's certificate.
    #[error(
        "spans cannot be sent to {address}: https needs certificates of authorities ({cause}); \
         install the system's (ca-certificates), or name a file with some in SSL_CERT_FILE"
    )]
    Authorities {
        /// Scheme, host and port of the receiver.
        address: String,
        /// What the library said.
        cause: String,
    },
    /// Anything else about the client.
    #[error("no HTTP client can be made to send spans with: {0}")]
    Client(String),
    /// The `OTEL_*` variables do not go together.
    #[error("spans cannot be exported: {0}")]
    Build(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// The whole URL.
    pub endpoint: Url,
    /// Headers of each export, as `name=value` pairs.
    pub headers: Option<Secret<String>>,
    /// Exports are compressed.
    pub gzip: bool,
    /// How long one export may take.
    pub timeout: Duration,
}

impl Otlp {
    pub(super) fn exporter(&self) -> Result<SpanExporter, ExporterError> {
        let headers = self.headers.as_ref();
        let headers = headers.and_then(|text| headers::pairs(text.expose()).ok());
        let mut builder = SpanExporter::builder()
            .with_http()
            .with_http_client(self.client()?)
            .with_endpoint(self.endpoint.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(self.timeout)
            .with_headers(headers.unwrap_or_default());
        if self.gzip {
            builder = builder.with_compression(Compression::Gzip);
        }
        Ok(builder.build()?)
    }

    fn client(&self) -> Result<Client, ExporterError> {
        let https = self.endpoint.scheme() == "https";
        let build = || {
            let client = Client::builder().timeout(self.timeout);
            if https {
                client.build()
            } else {
                client.tls_certs_only([]).build()
            }
        };
        // It has a runtime of its own, which must not be made on a thread of ours.
        let built = thread::scope(|scope| scope.spawn(build).join());
        let built = built.unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        built.map_err(|error| match with_causes(&error.without_url()) {
            cause if https => ExporterError::Authorities {
                // Not all of it, which may hold a password.
                address: self.endpoint.origin().ascii_serialization(),
                cause,
            },
            cause => ExporterError::Client(cause),
        })
    }
}
