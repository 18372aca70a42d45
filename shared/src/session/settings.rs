//! Where the store is and how long it may take, as the variables say.

use std::{path::PathBuf, time::Duration};

use super::{redis_url::RedisUrl, tls::Tls};
use crate::config::{Faults, Given, Secret};

/// Where the store is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where, and as whom.
    pub url: RedisUrl,
    /// There for a URL that asks for TLS.
    pub tls: Option<Tls>,
    /// Deadline of each call.
    pub timeout: Duration,
}

impl StoreSettings {
    /// Checks the values, noting every fault. The URL is never repeated: it may hold a password.
    /// `authorities` is a file with those that the certificate of Redis may be from, where the system
    /// does not trust them.
    pub fn check(
        url: &Given<Secret<String>>,
        authorities: &Given<Option<PathBuf>>,
        timeout: &Given<Duration>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let url = url.checked(faults, |url| url.expose().parse::<RedisUrl>());
        let wanted = url.as_ref().map(RedisUrl::is_over_tls);
        let tls = authorities.checked(faults, |file| match (wanted, file) {
            (Some(true), file) => Tls::trusting(file)
                .map(Some)
                .map_err(|error| error.to_string()),
            (Some(false), Some(_)) => Err("is for a URL that begins with rediss".to_owned()),
            (Some(false), None) | (None, _) => Ok(None),
        });
        let timeout = timeout.positive(faults);
        Some(Self {
            url: url?,
            tls: tls?,
            timeout: timeout?,
        })
    }
}
