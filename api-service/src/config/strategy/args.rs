//! The arguments of the strategies, and the parts that strategies are made of.

use std::{cell::OnceCell, time::Duration};

use shared::{
    config::{Faults, Given, Secret},
    revocation::{FollowerSettings, WhenStale},
    session::{CacheSettings, StoreSettings},
    token::AccessTokenProfile,
};

use super::{
    CachedSessionSettings, IntrospectionSettings, JwksSettings, RevocableTokenSettings,
    TokenSettings,
};

/// The shortest age at which knowledge of revocations can be too old.
const LEAST_REVOCATION_AGE: Duration = Duration::from_secs(1);

/// The arguments of all strategies; each is looked at only when a strategy needs it.
#[derive(clap::Args, Debug)]
pub(in crate::config) struct StrategyArgs {
    /// How callers are known: jwt, jwt-revocable, session, session-cached, introspection, phantom.
    #[arg(long, env = "API_STRATEGY")]
    pub(super) strategy: Option<String>,

    /// Routes with a strategy of their own, such as /admin=session,/me=jwt.
    #[arg(long, env = "API_ROUTE_STRATEGIES")]
    pub(super) route_strategies: Option<String>,

    /// Tokens: where the issuer publishes its keys.
    #[arg(
        long,
        env = "API_JWKS_URL",
        default_value = "http://127.0.0.1:8081/.well-known/jwks.json"
    )]
    jwks_url: String,

    /// Tokens: the issuer that tokens must name, byte for byte.
    #[arg(long, env = "API_ISSUER", default_value = "http://127.0.0.1:8080/auth")]
    issuer: String,

    /// Tokens: the audience that tokens must name.
    #[arg(long, env = "API_AUDIENCE", default_value = "statewise-api")]
    audience: String,

    /// Tokens: how far the issuer's clock and ours may differ.
    #[arg(long, env = "API_LEEWAY", default_value = "30s")]
    leeway: String,

    /// Tokens: the longest life of a token that is accepted.
    #[arg(long, env = "API_MAX_TOKEN_LIFETIME", default_value = "24h")]
    max_token_lifetime: String,

    /// Tokens: how often the keys are fetched anew, ahead of need.
    #[arg(long, env = "API_JWKS_REFRESH", default_value = "5m")]
    jwks_refresh: String,

    /// Tokens: how long after a fetch an unknown key id causes no other.
    #[arg(long, env = "API_JWKS_COOLDOWN", default_value = "10s")]
    jwks_cooldown: String,

    /// Tokens: how many verified ones each worker thread remembers, so that their signature is not
    /// checked again; 0 for none.
    #[arg(long, env = "API_REMEMBERED_TOKENS", default_value = "0")]
    remembered_tokens: String,

    /// jwt-revocable: how long ago a replica may last have known of everything that was taken back.
    #[arg(long, env = "API_REVOCATION_MAX_AGE", default_value = "5s")]
    revocation_max_age: String,

    /// jwt-revocable: what a good token is beyond that age: refuse (503) or accept.
    #[arg(long, env = "API_REVOCATION_STALE", default_value = "refuse")]
    revocation_stale: String,

    /// Sessions: the Redis that holds the sessions.
    #[arg(
        long,
        env = "API_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: Given<Secret<String>>,

    /// Sessions: deadline of each call to Redis.
    #[arg(long, env = "API_REDIS_TIMEOUT", default_value = "250ms")]
    redis_timeout: Given<Duration>,

    /// session-cached: the most sessions each worker thread keeps in memory.
    #[arg(long, env = "API_SESSION_CACHE", default_value = "10000")]
    session_cache: String,

    /// session-cached: how long after Redis was last heard of a session that was known then may
    /// still be used; 0s: not at all.
    #[arg(long, env = "API_SESSION_CACHE_SERVE_STALE", default_value = "0s")]
    session_cache_serve_stale: String,

    /// introspection: the endpoint of the authorization server.
    #[arg(
        long,
        env = "API_INTROSPECTION_URL",
        default_value = "http://127.0.0.1:8081/oauth/introspect"
    )]
    introspection_url: String,

    /// introspection: how this service is known to the authorization server; required.
    #[arg(long, env = "API_CLIENT_ID")]
    client_id: Option<String>,

    /// introspection: the secret of that client; required.
    #[arg(long, env = "API_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<Secret<String>>,

    /// introspection: deadline of each call.
    #[arg(long, env = "API_INTROSPECTION_TIMEOUT", default_value = "1s")]
    introspection_timeout: String,

    /// introspection: how long an active answer is kept, never past the end of the session; 0s:
    /// not at all.
    #[arg(long, env = "API_INTROSPECTION_CACHE", default_value = "0s")]
    introspection_cache: String,
}

/// The parts that strategies are made of, each checked when the first strategy needs it and only
/// then, so that its faults are reported once or, when nobody needs it, not at all.
pub(super) struct Checked<'a> {
    args: &'a StrategyArgs,
    token: OnceCell<Option<TokenSettings>>,
    revocable: OnceCell<Option<RevocableTokenSettings>>,
    store: OnceCell<Option<StoreSettings>>,
    cached: OnceCell<Option<CachedSessionSettings>>,
    introspection: OnceCell<Option<IntrospectionSettings>>,
}

impl<'a> Checked<'a> {
    pub(super) fn new(args: &'a StrategyArgs) -> Self {
        Self {
            args,
            token: OnceCell::new(),
            revocable: OnceCell::new(),
            store: OnceCell::new(),
            cached: OnceCell::new(),
            introspection: OnceCell::new(),
        }
    }

    pub(super) fn token(&self, faults: &mut Faults) -> Option<TokenSettings> {
        self.token.get_or_init(|| token(self.args, faults)).clone()
    }

    pub(super) fn revocable(&self, faults: &mut Faults) -> Option<RevocableTokenSettings> {
        let settings = self.revocable.get_or_init(|| revocable(self, faults));
        settings.clone()
    }

    pub(super) fn store(&self, faults: &mut Faults) -> Option<StoreSettings> {
        self.store.get_or_init(|| store(self.args, faults)).clone()
    }

    pub(super) fn cached(&self, faults: &mut Faults) -> Option<CachedSessionSettings> {
        self.cached.get_or_init(|| cached(self, faults)).clone()
    }

    pub(super) fn introspection(&self, faults: &mut Faults) -> Option<IntrospectionSettings> {
        self.introspection
            .get_or_init(|| introspection(self.args, faults))
            .clone()
    }
}

fn token(args: &StrategyArgs, faults: &mut Faults) -> Option<TokenSettings> {
    let url = faults.url("API_JWKS_URL", &args.jwks_url, &["http", "https"]);
    faults.url("API_ISSUER", &args.issuer, &["http", "https"]);
    if args.audience.is_empty() {
        faults.add("API_AUDIENCE", "must not be empty");
    }
    let leeway = faults.duration("API_LEEWAY", &args.leeway);
    if leeway.is_some_and(|leeway| leeway > Duration::from_secs(300)) {
        // RFC 7519 §4.1.4: "usually no more than a few minutes".
        faults.add("API_LEEWAY", "must be at most 5m");
    }
    let max_lifetime = faults.positive_duration("API_MAX_TOKEN_LIFETIME", &args.max_token_lifetime);
    let refresh = faults.positive_duration("API_JWKS_REFRESH", &args.jwks_refresh);
    let cooldown = faults.positive_duration("API_JWKS_COOLDOWN", &args.jwks_cooldown);
    let remembered = faults.parsed::<usize>(
        "API_REMEMBERED_TOKENS",
        &args.remembered_tokens,
        "a number of tokens, 0 for none",
    );
    Some(TokenSettings {
        profile: AccessTokenProfile {
            issuer: args.issuer.clone(),
            audience: args.audience.clone(),
            leeway: leeway?,
            max_lifetime: max_lifetime?,
        },
        jwks: JwksSettings {
            url: url?,
            refresh: refresh?,
            cooldown: cooldown?,
        },
        remembered: remembered?,
    })
}

fn revocable(checked: &Checked<'_>, faults: &mut Faults) -> Option<RevocableTokenSettings> {
    let args = checked.args;
    let tokens = checked.token(faults);
    let store = checked.store(faults);
    let max_age = faults.positive_duration("API_REVOCATION_MAX_AGE", &args.revocation_max_age);
    if max_age.is_some_and(|age| age < LEAST_REVOCATION_AGE) {
        // The feed is looked at every 400 ms, and one look may be late.
        faults.add("API_REVOCATION_MAX_AGE", "must be at least 1s");
    }
    let when_stale = match args.revocation_stale.as_str() {
        "refuse" => Ok(WhenStale::Refuse),
        "accept" => Ok(WhenStale::Accept),
        other => Err(format!("{other:?} is not refuse or accept")),
    };
    let when_stale = faults.check("API_REVOCATION_STALE", when_stale);
    Some(RevocableTokenSettings {
        tokens: tokens?,
        revocations: FollowerSettings {
            store: store?,
            max_age: max_age?,
            when_stale: when_stale?,
        },
    })
}

fn store(args: &StrategyArgs, faults: &mut Faults) -> Option<StoreSettings> {
    StoreSettings::check(&args.redis_url, &args.redis_timeout, faults)
}

fn cached(checked: &Checked<'_>, faults: &mut Faults) -> Option<CachedSessionSettings> {
    let store = checked.store(faults);
    let entries = faults.parsed(
        "API_SESSION_CACHE",
        &checked.args.session_cache,
        "a number of sessions from 1",
    );
    let serve_stale = faults.duration(
        "API_SESSION_CACHE_SERVE_STALE",
        &checked.args.session_cache_serve_stale,
    );
    Some(CachedSessionSettings {
        store: store?,
        cache: CacheSettings {
            entries: entries?,
            serve_stale: serve_stale?,
        },
    })
}

fn introspection(args: &StrategyArgs, faults: &mut Faults) -> Option<IntrospectionSettings> {
    let url = faults.url(
        "API_INTROSPECTION_URL",
        &args.introspection_url,
        &["http", "https"],
    );
    let client_id = args.client_id.clone().filter(|id| !id.is_empty());
    if client_id.is_none() {
        faults.add("API_CLIENT_ID", "is required by introspection");
    }
    let client_secret = args.client_secret.clone();
    let client_secret = client_secret.filter(|secret| !secret.expose().is_empty());
    if client_secret.is_none() {
        faults.add("API_CLIENT_SECRET", "is required by introspection");
    }
    let timeout =
        faults.positive_duration("API_INTROSPECTION_TIMEOUT", &args.introspection_timeout);
    let cache = faults.duration("API_INTROSPECTION_CACHE", &args.introspection_cache);
    Some(IntrospectionSettings {
        url: url?,
        client_id: client_id?,
        client_secret: client_secret?,
        timeout: timeout?,
        cache: cache?,
    })
}
