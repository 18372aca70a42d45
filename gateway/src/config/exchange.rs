//! `GATEWAY_EXCHANGE_*`: where opaque session ids are exchanged, and as whom.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use http::HeaderValue;
use shared::{
    config::{Faults, Given, Secret},
    credential::form_encoded,
};

use super::{
    at_least_one, path,
    pools::{Pools, Routes, entries},
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
    exchange_routes: Given<String>,

    /// The pool that is asked for tokens.
    #[arg(long, env = "GATEWAY_EXCHANGE_POOL", default_value = "auth")]
    exchange_pool: Given<String>,

    /// The path of its token endpoint, RFC 8693.
    #[arg(long, env = "GATEWAY_EXCHANGE_PATH", default_value = "/oauth/token")]
    exchange_path: Given<String>,

    /// The audience to ask tokens for, which only the APIs behind the exchange have, so that they
    /// accept no other token. Unset: the endpoint's own choice.
    #[arg(long, env = "GATEWAY_EXCHANGE_AUDIENCE", default_value = "")]
    exchange_audience: Given<String>,

    /// Sessions whose token is kept; the least lately used goes first.
    #[arg(long, env = "GATEWAY_EXCHANGE_CACHE", default_value = "10000")]
    exchange_cache: Given<usize>,

    /// How long an exchange may take before the request is answered with 503.
    #[arg(long, env = "GATEWAY_EXCHANGE_TIMEOUT", default_value = "1s")]
    exchange_timeout: Given<Duration>,

    /// Name of the gateway at the token endpoint. Needed when there are routes to exchange on.
    #[arg(
        long,
        env = "GATEWAY_CLIENT_ID",
        default_value = "",
        hide_default_value = true
    )]
    client_id: Given<String>,

    /// Its secret.
    #[arg(
        long,
        env = "GATEWAY_CLIENT_SECRET",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    client_secret: Given<Secret<String>>,
}

impl ExchangeArgs {
    /// Notes every fault. Returns the prefixes of routes with an exchange, and the exchange; `None`
    /// when nothing is exchanged.
    pub(super) fn check(
        &self,
        routes: &Routes<'_>,
        pools: &Pools<'_>,
        faults: &mut Faults,
    ) -> (BTreeSet<String>, Option<ExchangeSettings>) {
        let list = self.exchange_routes.value(faults).unwrap_or_default();
        let prefixes: BTreeSet<String> = entries(&list, ',').map(str::to_owned).collect();
        let cache = self.exchange_cache.checked(faults, at_least_one);
        let timeout = self.exchange_timeout.positive(faults);
        if prefixes.is_empty() {
            return (prefixes, None);
        }
        for prefix in &prefixes {
            faults.check(self.exchange_routes.variable(), routes.find(prefix));
        }
        let find_pool = |name: String| pools.find(name.trim());
        let pool = self.exchange_pool.checked(faults, find_pool);
        let path = self.exchange_path.checked(faults, path);
        let audience = self.exchange_audience.checked(faults, audience);
        let id = self.client_id.checked(faults, client_id);
        let secret = self.client_secret.checked(faults, client_secret);
        let settings = || {
            Some(ExchangeSettings {
                pool: pool?,
                path: path?,
                audience: audience?,
                authorization: basic(&id?, &secret?)?,
                cache: cache?,
                timeout: timeout?,
            })
        };
        (prefixes, settings())
    }
}

/// HTTP Basic as OAuth has it, RFC 6749 §2.3.1.
fn basic(id: &str, secret: &Secret<String>) -> Option<HeaderValue> {
    let pair = format!("{}:{}", form_encoded(id), form_encoded(secret.expose()));
    let pair = STANDARD.encode(pair);
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An audience that a form carries without any encoding, RFC 3986 §2.3; none when it is empty.
fn audience(text: String) -> Result<Option<String>, String> {
    let audience = text.trim();
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !audience.bytes().all(is_unreserved) {
        return Err(format!(
            "{audience:?} has a character other than letters, digits and -._~"
        ));
    }
    Ok(Some(audience.to_owned()).filter(|text| !text.is_empty()))
}

fn client_id(id: String) -> Result<String, String> {
    if id.is_empty() || !is_visible(&id) {
        return Err(format!(
            "{id:?} is not a name of visible ASCII; the exchange needs one"
        ));
    }
    Ok(id)
}

fn client_secret(secret: Secret<String>) -> Result<Secret<String>, String> {
    if secret.expose().len() < SECRET_LENGTH || !is_visible(secret.expose()) {
        return Err(format!(
            "the exchange needs a secret of at least {SECRET_LENGTH} visible characters of ASCII"
        ));
    }
    Ok(secret)
}

/// RFC 6749 appendix A.1 and A.2, without the space, which is a mistake here.
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
