//! Configuration: `api-service --help` is the reference.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use shared::{
    config::Faults,
    server::ServerSettings,
    session::StoreSettings,
    shutdown::Drain,
    telemetry::{TelemetryArgs, TelemetrySettings},
    token::AccessTokenProfile,
};

/// A small API that knows its callers by token or by session. Every option can be given by its
/// environment variable.
#[derive(Parser, Debug)]
#[command(name = "api-service", version)]
pub struct Raw {
    /// Address to listen on.
    #[arg(long, env = "API_LISTEN", default_value = "127.0.0.1:8082")]
    listen: String,

    /// Number of worker threads; default: one for each core.
    #[arg(long, env = "API_WORKERS")]
    workers: Option<String>,

    /// How callers are known: jwt or session.
    #[arg(long, env = "API_STRATEGY")]
    strategy: Option<String>,

    /// Name of this replica in answers and telemetry; default: the host's name and the port.
    #[arg(long, env = "API_REPLICA")]
    replica: Option<String>,

    /// jwt: where the issuer publishes its keys.
    #[arg(
        long,
        env = "API_JWKS_URL",
        default_value = "http://127.0.0.1:8081/.well-known/jwks.json"
    )]
    jwks_url: String,

    /// jwt: the issuer that tokens must name, byte for byte.
    #[arg(long, env = "API_ISSUER", default_value = "http://127.0.0.1:8080/auth")]
    issuer: String,

    /// jwt: the audience that tokens must name.
    #[arg(long, env = "API_AUDIENCE", default_value = "statewise-api")]
    audience: String,

    /// jwt: how far the issuer's clock and ours may differ.
    #[arg(long, env = "API_LEEWAY", default_value = "30s")]
    leeway: String,

    /// jwt: the longest life of a token that is accepted.
    #[arg(long, env = "API_MAX_TOKEN_LIFETIME", default_value = "24h")]
    max_token_lifetime: String,

    /// jwt: how often the keys are fetched anew, ahead of need.
    #[arg(long, env = "API_JWKS_REFRESH", default_value = "5m")]
    jwks_refresh: String,

    /// jwt: how long after a fetch an unknown key id causes no other.
    #[arg(long, env = "API_JWKS_COOLDOWN", default_value = "10s")]
    jwks_cooldown: String,

    /// session: the Redis that holds the sessions.
    #[arg(
        long,
        env = "API_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: String,

    /// session: deadline of each call to Redis.
    #[arg(long, env = "API_REDIS_TIMEOUT", default_value = "250ms")]
    redis_timeout: String,

    /// How long to keep answering, not ready, after the signal to stop.
    #[arg(long, env = "API_DRAIN_GRACE", default_value = "1s")]
    drain_grace: String,

    /// How long open requests may take after that.
    #[arg(long, env = "API_DRAIN_TIMEOUT", default_value = "10s")]
    drain_timeout: String,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// Checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Name of this replica; `None`: made of the host's name and the port.
    pub replica: Option<String>,
    /// How callers are known.
    pub strategy: StrategyConfig,
    /// Threads and drain.
    pub server: ServerSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

/// How callers are known, with what that needs and nothing else.
#[derive(Clone, Debug)]
pub enum StrategyConfig {
    /// Signed access tokens, verified here.
    Jwt {
        /// What a token must say.
        profile: AccessTokenProfile,
        /// Where the issuer publishes its keys.
        jwks_url: url::Url,
        /// How often they are fetched ahead of need.
        refresh: Duration,
        /// How long after a fetch an unknown key id causes no other.
        cooldown: Duration,
    },
    /// Opaque ids, looked up in Redis.
    Session {
        /// Which Redis.
        store: StoreSettings,
    },
}

impl Config {
    /// Checks the raw values, noting every fault.
    pub fn check(raw: Raw, faults: &mut Faults) -> Option<Self> {
        let listen = faults.parsed::<SocketAddr>(
            "API_LISTEN",
            &raw.listen,
            "an address such as 127.0.0.1:8082",
        );
        let workers = match &raw.workers {
            None => Some(std::thread::available_parallelism().map_or(1, usize::from)),
            Some(text) => faults
                .parsed::<std::num::NonZeroUsize>("API_WORKERS", text, "a number of threads from 1")
                .map(usize::from),
        };
        let strategy = match raw.strategy.as_deref() {
            Some("jwt") => jwt(&raw, faults),
            Some("session") => session(&raw, faults),
            Some(other) => {
                faults.add(
                    "API_STRATEGY",
                    format!("{other:?} is neither jwt nor session"),
                );
                None
            }
            None => {
                faults.add("API_STRATEGY", "is required: jwt or session");
                None
            }
        };
        let grace = faults.duration("API_DRAIN_GRACE", &raw.drain_grace);
        let timeout = faults.positive_duration("API_DRAIN_TIMEOUT", &raw.drain_timeout);
        let telemetry = raw.telemetry.check(faults);
        Some(Self {
            listen: listen?,
            replica: raw.replica.filter(|name| !name.is_empty()),
            strategy: strategy?,
            server: ServerSettings {
                workers: workers?,
                drain: Drain {
                    grace: grace?,
                    timeout: timeout?,
                },
            },
            telemetry,
        })
    }
}

fn jwt(raw: &Raw, faults: &mut Faults) -> Option<StrategyConfig> {
    let jwks_url = faults.url("API_JWKS_URL", &raw.jwks_url, &["http", "https"]);
    faults.url("API_ISSUER", &raw.issuer, &["http", "https"]);
    if raw.audience.is_empty() {
        faults.add("API_AUDIENCE", "must not be empty");
    }
    let leeway = faults.duration("API_LEEWAY", &raw.leeway);
    if leeway.is_some_and(|leeway| leeway > Duration::from_secs(300)) {
        // RFC 7519 §4.1.4: "usually no more than a few minutes".
        faults.add("API_LEEWAY", "must be at most 5m");
    }
    let max_lifetime = faults.positive_duration("API_MAX_TOKEN_LIFETIME", &raw.max_token_lifetime);
    let refresh = faults.positive_duration("API_JWKS_REFRESH", &raw.jwks_refresh);
    let cooldown = faults.positive_duration("API_JWKS_COOLDOWN", &raw.jwks_cooldown);
    Some(StrategyConfig::Jwt {
        profile: AccessTokenProfile {
            issuer: raw.issuer.clone(),
            audience: raw.audience.clone(),
            leeway: leeway?,
            max_lifetime: max_lifetime?,
        },
        jwks_url: jwks_url?,
        refresh: refresh?,
        cooldown: cooldown?,
    })
}

fn session(raw: &Raw, faults: &mut Faults) -> Option<StrategyConfig> {
    let store = StoreSettings::check(
        faults,
        "API_REDIS_URL",
        &raw.redis_url,
        "API_REDIS_TIMEOUT",
        &raw.redis_timeout,
    );
    Some(StrategyConfig::Session { store: store? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> (Option<Config>, String) {
        let raw = Raw::try_parse_from([&["api-service"], arguments].concat()).unwrap();
        let mut faults = Faults::default();
        let config = Config::check(raw, &mut faults);
        (config, faults.to_string())
    }

    #[test]
    fn the_strategy_is_required_and_everything_else_has_a_default() {
        assert!(check(&[]).1.contains("API_STRATEGY: is required"));
        assert!(check(&["--strategy", "jwt"]).0.is_some());
        assert!(check(&["--strategy", "session"]).0.is_some());
    }

    #[test]
    fn all_faults_are_reported_together() {
        let (_, faults) = check(&[
            "--listen",
            "nowhere",
            "--strategy",
            "jwt",
            "--workers",
            "0",
            "--leeway",
            "1h",
            "--jwks-url",
            "file:///keys",
            "--drain-timeout",
            "0s",
        ]);
        for variable in [
            "API_LISTEN",
            "API_WORKERS",
            "API_LEEWAY",
            "API_JWKS_URL",
            "API_DRAIN_TIMEOUT",
        ] {
            assert!(
                faults.contains(variable),
                "{variable} is missing in:\n{faults}"
            );
        }
    }

    #[test]
    fn a_strategy_needs_only_its_own_variables() {
        assert!(
            check(&["--strategy", "jwt", "--redis-url", "nonsense"])
                .0
                .is_some()
        );
        assert!(
            check(&["--strategy", "session", "--jwks-url", "nonsense"])
                .0
                .is_some()
        );
    }

    #[test]
    fn a_redis_url_is_not_repeated_in_a_fault() {
        let (_, faults) = check(&["--strategy", "session", "--redis-url", "http://u:hunter2@h"]);
        assert!(
            faults.contains("API_REDIS_URL") && !faults.contains("hunter2"),
            "{faults}"
        );
    }
}
