//! `GATEWAY_EXCHANGE_*`: where opaque session ids are exchanged, and as whom.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use http::{HeaderValue, Uri};
use shared::config::{Faults, Secret};

use super::{
    count,
    pools::{PoolConfig, Routes, entries, find_pool},
};
use crate::exchange::ExchangeSettings;

/// The shortest secret of a client; the auth service asks for as much.
const SECRET_LENGTH: usize = 32;

/// What the environment says of the exchange.
#[derive(Args, Debug)]
pub(super) struct ExchangeArgs {
    /// Prefixes of GATEWAY_ROUTES, separated by commas, on which an opaque session id is exchanged
    /// for a token before the request is passed on. Empty: none.
    #[arg(long, env = "GATEWAY_EXCHANGE_ROUTES", default_value = "")]
    exchange_routes: String,

    /// The pool that is asked for tokens.
    #[arg(long, env = "GATEWAY_EXCHANGE_POOL", default_value = "auth")]
    exchange_pool: String,

    /// The path of its token endpoint, RFC 8693.
    #[arg(long, env = "GATEWAY_EXCHANGE_PATH", default_value = "/oauth/token")]
    exchange_path: String,

    /// The audience to ask tokens for, which only the APIs behind the exchange have, so that they
    /// accept no other token. Unset: the endpoint's own choice.
    #[arg(long, env = "GATEWAY_EXCHANGE_AUDIENCE", default_value = "")]
    exchange_audience: String,

    /// Sessions whose token is kept; the least lately used goes first.
    #[arg(long, env = "GATEWAY_EXCHANGE_CACHE", default_value = "10000")]
    exchange_cache: String,

    /// How long an exchange may take before the request is answered with 503.
    #[arg(long, env = "GATEWAY_EXCHANGE_TIMEOUT", default_value = "1s")]
    exchange_timeout: String,

    /// Name of the gateway at the token endpoint. Needed when there are routes to exchange on.
    #[arg(long, env = "GATEWAY_CLIENT_ID")]
    client_id: Option<String>,

    /// Its secret.
    #[arg(long, env = "GATEWAY_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<Secret<String>>,
}

impl ExchangeArgs {
    /// Notes every fault. Returns the prefixes of routes with an exchange, and the exchange; `None`
    /// when nothing is exchanged.
    pub(super) fn check(
        self,
        routes: &Routes,
        pools: &[PoolConfig],
        faults: &mut Faults,
    ) -> (BTreeSet<String>, Option<ExchangeSettings>) {
        let prefixes: BTreeSet<String> = entries(&self.exchange_routes, ',')
            .map(str::to_owned)
            .collect();
        let cache = count("GATEWAY_EXCHANGE_CACHE", &self.exchange_cache, faults);
        let timeout = faults.positive_duration("GATEWAY_EXCHANGE_TIMEOUT", &self.exchange_timeout);
        if prefixes.is_empty() {
            return (prefixes, None);
        }
        for prefix in prefixes.iter().filter(|prefix| !routes.have(prefix)) {
            faults.add(
                "GATEWAY_EXCHANGE_ROUTES",
                format!("GATEWAY_ROUTES has no prefix {prefix:?}"),
            );
        }
        let pool = find_pool(pools, self.exchange_pool.trim());
        let pool = faults.check("GATEWAY_EXCHANGE_POOL", pool);
        let path = self.exchange_path.trim();
        let path = Some(path)
            .filter(|path| {
                path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
            })
            .and_then(|path| Uri::try_from(path).ok())
            .ok_or_else(|| format!("{path:?} is not a path that begins with a slash"));
        let path = faults.check("GATEWAY_EXCHANGE_PATH", path);
        let audience = self.exchange_audience.trim();
        if !audience.bytes().all(is_unreserved) {
            faults.add(
                "GATEWAY_EXCHANGE_AUDIENCE",
                format!("{audience:?} has a character other than letters, digits and -._~"),
            );
        }
        let id = check_id(self.client_id, faults);
        let secret = check_secret(self.client_secret, faults);
        let settings = || {
            Some(ExchangeSettings {
                pool: pool?,
                path: path?,
                audience: Some(audience.to_owned()).filter(|text| !text.is_empty()),
                authorization: basic(&id?, &secret?)?,
                cache: cache?,
                timeout: timeout?,
            })
        };
        (prefixes, settings())
    }
}

/// HTTP Basic (RFC 6749 §2.3.1); base64 makes a header's value of any text.
fn basic(id: &str, secret: &Secret<String>) -> Option<Secret<HeaderValue>> {
    let pair = STANDARD.encode(format!("{id}:{}", secret.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(Secret::new(value))
}

fn check_id(id: Option<String>, faults: &mut Faults) -> Option<String> {
    let id = id.unwrap_or_default();
    if id.is_empty() || !is_plain(&id) {
        faults.add(
            "GATEWAY_CLIENT_ID",
            format!("{id:?} is not a name of letters, digits, - and _; the exchange needs one"),
        );
        return None;
    }
    Some(id)
}

fn check_secret(secret: Option<Secret<String>>, faults: &mut Faults) -> Option<Secret<String>> {
    let secret = secret.unwrap_or(Secret::new(String::new()));
    if secret.expose().len() < SECRET_LENGTH || !is_plain(secret.expose()) {
        faults.add(
            "GATEWAY_CLIENT_SECRET",
            format!(
                "the exchange needs a secret of at least {SECRET_LENGTH} letters, digits, - and _"
            ),
        );
        return None;
    }
    Some(secret)
}

/// Whether a form carries it without any encoding, RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether HTTP Basic carries it without any encoding, RFC 6749 §2.3.1.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
