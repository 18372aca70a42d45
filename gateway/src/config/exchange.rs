//! `GATEWAY_EXCHANGE_*`: where opaque session ids are exchanged, and as whom.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use shared::config::{Faults, Secret};

use super::{PoolConfig, Route, count, entries};

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

/// A checked exchange.
#[derive(Clone, Debug)]
pub struct ExchangeSettings {
    /// Prefixes of routes.
    pub routes: BTreeSet<String>,
    /// Name of the pool of the token endpoint.
    pub pool: String,
    /// Path of the token endpoint.
    pub path: String,
    /// The audience to ask for, if any.
    pub audience: Option<String>,
    /// The gateway's name there.
    pub client_id: String,
    /// The gateway's secret there.
    pub client_secret: Secret<String>,
    /// Most tokens kept.
    pub cache: usize,
    /// Deadline of an exchange.
    pub timeout: Duration,
}

impl ExchangeArgs {
    /// Notes every fault; `None` when nothing is exchanged.
    pub(super) fn check(
        self,
        known: &[Route],
        pools: &[PoolConfig],
        faults: &mut Faults,
    ) -> Option<ExchangeSettings> {
        let routes: BTreeSet<String> = entries(&self.exchange_routes, ',')
            .map(str::to_owned)
            .collect();
        let cache = count("GATEWAY_EXCHANGE_CACHE", &self.exchange_cache, faults);
        let timeout = faults.positive_duration("GATEWAY_EXCHANGE_TIMEOUT", &self.exchange_timeout);
        if routes.is_empty() {
            return None;
        }
        for route in &routes {
            if !known.iter().any(|known| known.prefix == *route) {
                faults.add(
                    "GATEWAY_EXCHANGE_ROUTES",
                    format!("GATEWAY_ROUTES has no prefix {route:?}"),
                );
            }
        }
        let pool = self.exchange_pool.trim().to_owned();
        if !pools.iter().any(|known| known.name == pool) {
            faults.add(
                "GATEWAY_EXCHANGE_POOL",
                format!("GATEWAY_POOLS has no pool {pool:?}"),
            );
        }
        let path = self.exchange_path.trim().to_owned();
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            faults.add(
                "GATEWAY_EXCHANGE_PATH",
                format!("{path:?} is not a path that begins with a slash"),
            );
        }
        let audience = self.exchange_audience.trim();
        if !audience.bytes().all(is_unreserved) {
            faults.add(
                "GATEWAY_EXCHANGE_AUDIENCE",
                format!("{audience:?} has a character other than letters, digits and -._~"),
            );
        }
        let client_id = check_id(self.client_id, faults);
        let client_secret = check_secret(self.client_secret, faults);
        Some(ExchangeSettings {
            routes,
            pool,
            path,
            audience: Some(audience.to_owned()).filter(|text| !text.is_empty()),
            client_id: client_id?,
            client_secret: client_secret?,
            cache: cache?,
            timeout: timeout?,
        })
    }
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
