//! One fetch of the key set: bounded in time and size, and never sent elsewhere.

use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode, header, redirect};
use shared::token::{KeySet, KeySetError};

/// From the connection to the last byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Some hundred RSA keys; issuers have a handful.
const LIMIT_BYTES: usize = 256 * 1024;

/// Where the keys come from.
#[derive(Clone)]
pub(super) struct Source {
    client: Client,
    url: url::Url,
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
    #[error("the issuer was not reached: {0}")]
    Unreachable(String),
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    #[error("the issuer's document is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Document(#[from] KeySetError),
}

impl FetchError {
    /// `outcome` in the metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "refused",
            Self::TooLarge | Self::Document(_) => "unusable",
        }
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may hold a password; the causes say what the outermost text does not.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self::Unreachable(text)
    }
}

impl Source {
    pub(super) fn new(url: url::Url) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // Keys come from the configured place only (ASVS 9.1.3), not from where it points to.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { client, url })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, FetchError> {
        let mut response = self
            .client
            .get(self.url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let date = date(response.headers());
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if document.len() + chunk.len() > LIMIT_BYTES {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        let keys = KeySet::from_jwks(&document)?;
        Ok(Fetched { keys, date })
    }
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
