//! One fetch of the key set, and of the metadata that name its place: bounded in time and size, and
//! never sent elsewhere.

use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode, header};
use shared::{
    telemetry::trace::{Span, TRACEPARENT, unsampled},
    token::{KeySet, KeySetError},
};
use url::Url;

use super::{
    JwksSettings,
    discovery::{Discovery, KeySource, MetadataError},
};
use crate::strategies::http_client::{ClientError, causes, describe_call};

/// From the connection to the last byte of one answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Some hundred RSA keys; issuers have a handful, and their metadata some kilobytes.
const LIMIT_BYTES: usize = 256 * 1024;

/// Where the keys come from.
#[derive(Clone)]
pub(super) struct Source {
    client: Client,
    keys: KeySource,
}

/// What the issuer answered.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    /// The issuer's time when it answered; `None` when it said none.
    pub(super) date: Option<SystemTime>,
}

/// Why a fetch gave no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("its metadata: {1}")]
    Metadata(Url, Fault),
    #[error("its key set: {1}")]
    Keys(Url, Fault),
}

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("nobody was reached: {0}")]
    Unreachable(String),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("the document is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl FetchError {
    /// `outcome` in the metrics.
    pub(super) fn outcome(&self) -> &'static str {
        let (Self::Metadata(_, fault) | Self::Keys(_, fault)) = self;
        match fault {
            Fault::Unreachable(_) => "unreachable",
            Fault::Status(_) => "refused",
            Fault::TooLarge | Fault::Keys(_) | Fault::Metadata(_) => "unusable",
        }
    }

    /// Says it in the span of the fetch.
    pub(super) fn describe(&self, span: &mut Span) {
        let (Self::Metadata(url, fault) | Self::Keys(url, fault)) = self;
        describe_call(span, "GET", url);
        if let Fault::Status(status) = fault {
            span.set("http.response.status_code", i64::from(status.as_u16()));
            span.fail(status.as_str().to_owned());
        } else {
            span.fail(self.outcome());
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(causes(error))
    }
}

impl Source {
    /// What the settings say of where the keys are.
    ///
    /// # Errors
    ///
    /// They are reached over https, and there are no authorities.
    pub(super) fn new(settings: &JwksSettings) -> Result<Self, ClientError> {
        let first = match &settings.keys {
            KeySource::At(url) => url,
            KeySource::Discovered(discovery) => &discovery.places()[0],
        };
        let client = settings.authorities.client(first, |client| {
            client.timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT)
        })?;
        Ok(Self {
            client,
            keys: settings.keys.clone(),
        })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, FetchError> {
        let url = match &self.keys {
            KeySource::At(url) => url.clone(),
            KeySource::Discovered(discovery) => {
                let found = self.discover(discovery).await;
                found.map_err(|fault| FetchError::Metadata(discovery.places()[0].clone(), fault))?
            }
        };
        let fetched = self.key_set(&url).await;
        fetched.map_err(|fault| FetchError::Keys(url, fault))
    }

    /// Each time anew: an issuer may move its keys.
    async fn discover(&self, discovery: &Discovery) -> Result<Url, Fault> {
        let [first, second] = discovery.places();
        let answer = match self.get(first).await {
            Err(Fault::Status(status)) if !status.is_server_error() => self.get(second).await,
            answer => answer,
        };
        Ok(discovery.read(&answer?.document)?)
    }

    async fn key_set(&self, url: &Url) -> Result<Fetched, Fault> {
        let Answer { document, date } = self.get(url).await?;
        let keys = KeySet::from_jwks(&document)?;
        Ok(Fetched { keys, date })
    }

    async fn get(&self, url: &Url) -> Result<Answer, Fault> {
        let mut response = self
            .client
            .get(url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(TRACEPARENT, unsampled())
            .send()
            .await?;
        if response.status() != StatusCode::OK {
            return Err(Fault::Status(response.status()));
        }
        let date = date(response.headers());
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if document.len() + chunk.len() > LIMIT_BYTES {
                return Err(Fault::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(Answer { document, date })
    }
}

/// One answer of an issuer.
struct Answer {
    document: Vec<u8>,
    date: Option<SystemTime>,
}

/// The time of who made the answer. With an `Age` (RFC 9111 §5.1) it comes out of a cache, and the
/// date is an old one.
fn date(headers: &header::HeaderMap) -> Option<SystemTime> {
    if headers.contains_key(header::AGE) {
        return None;
    }
    let text = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()
}
