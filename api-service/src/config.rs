//! Configuration: `api-service --help` is the reference.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use clap::Parser;
use shared::{
    config::{Faults, Given, Secret, Threads},
    server::ServerSettings,
    shutdown::Drain,
    telemetry::{TelemetryArgs, TelemetrySettings},
};

use crate::{
    cart::StateKeys,
    http::{LoginSettings, PROTECTED},
    strategies::{self, StrategyConfig},
};

/// A small API that knows its callers by the configured strategy. Every option can be given by its
/// environment variable.
#[derive(Parser)]
#[command(name = "api-service", version)]
pub struct Raw {
    /// Address to listen on.
    #[arg(long, env = "API_LISTEN", default_value = "127.0.0.1:8082")]
    listen: Given<SocketAddr>,

    /// Address and port for /metrics, /readyz and /healthz. Unset: they are on the port above; set:
    /// that port has only /healthz.
    #[arg(
        long,
        env = "API_ADMIN_LISTEN",
        default_value = "",
        hide_default_value = true
    )]
    admin_listen: Given<Option<SocketAddr>>,

    /// Number of worker threads; default: one for each core.
    #[arg(
        long,
        env = "API_WORKERS",
        default_value = "",
        hide_default_value = true
    )]
    workers: Given<Threads>,

    #[arg(
        long,
        env = "API_STRATEGY",
        default_value = "",
        hide_default_value = true,
        help = format!("How callers are known:\n{}", strategies::help())
    )]
    strategy: Given<Option<String>>,

    /// Routes with a strategy of their own, such as /admin=session,/me=jwt.
    #[arg(
        long,
        env = "API_ROUTE_STRATEGIES",
        default_value = "",
        hide_default_value = true
    )]
    route_strategies: Given<Option<String>>,

    #[command(flatten)]
    strategies: strategies::Arguments,

    /// Name of this replica in answers and telemetry; default: the host's name and the port.
    #[arg(
        long,
        env = "API_REPLICA",
        default_value = "",
        hide_default_value = true
    )]
    replica: Given<Option<String>>,

    #[command(flatten)]
    login: LoginArgs,

    /// After the signal to stop: how long to go on serving, not ready, for those who have not heard
    /// of it. Longer than an address of this replica may be believed. Another signal ends it.
    #[arg(long, env = "API_DRAIN_GRACE", default_value = "1s")]
    drain_grace: Given<Duration>,

    /// How long open requests may take after that.
    #[arg(long, env = "API_DRAIN_TIMEOUT", default_value = "10s")]
    drain_timeout: Given<Duration>,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// Data that belong to a login.
#[derive(clap::Args)]
struct LoginArgs {
    /// Strategies that keep no session: the keys that seal what the client carries, ID=KEY[,…],
    /// each 32 bytes as base64url. The first seals, all open. Without them /cart answers 503.
    #[arg(
        long,
        env = "API_STATE_KEYS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    state_keys: Given<Option<Secret<String>>>,

    /// How long a browser keeps what it carries; no shorter than a login lasts.
    #[arg(long, env = "API_STATE_TTL", default_value = "12h")]
    state_ttl: Given<Duration>,

    /// Hand out a session cookie that means nothing, as servlet containers do: true or false.
    #[arg(long, env = "API_MEANINGLESS_COOKIE", default_value = "false")]
    meaningless_cookie: Given<bool>,
}

/// Checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Address for operators; `None`: they use the other one.
    pub admin_listen: Option<SocketAddr>,
    /// Name of this replica; `None`: made of the host's name and the port.
    pub replica: Option<String>,
    /// How callers are known where no route says otherwise.
    pub strategy: StrategyConfig,
    /// How callers are known on routes that have a strategy of their own.
    pub routes: BTreeMap<&'static str, StrategyConfig>,
    /// Data of a login that the client carries.
    pub login: LoginSettings,
    /// Threads and drain.
    pub server: ServerSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

impl Config {
    /// Checks the raw values, noting every fault.
    pub fn check(raw: Raw, faults: &mut Faults) -> Option<Self> {
        let listen = raw.listen.value(faults);
        let admin_listen = raw.admin_listen.value(faults);
        let workers = raw.workers.value(faults);
        let strategy = check_strategy(&raw, faults);
        let routes = check_routes(&raw, faults);
        let login = check_login(&raw.login, faults);
        let grace = raw.drain_grace.value(faults);
        let timeout = raw.drain_timeout.positive(faults);
        let replica = raw.replica.value(faults);
        let telemetry = raw.telemetry.check(faults);
        Some(Self {
            listen: listen?,
            admin_listen: admin_listen?,
            replica: replica?,
            strategy: strategy?,
            routes: routes?,
            login: login?,
            server: ServerSettings {
                workers: workers?.0,
                drain: Drain {
                    grace: grace?,
                    timeout: timeout?,
                },
            },
            telemetry,
        })
    }
}

fn check_strategy(raw: &Raw, faults: &mut Faults) -> Option<StrategyConfig> {
    let variable = raw.strategy.variable();
    match raw.strategy.value(faults)? {
        Some(name) => raw.strategies.check(variable, &name, faults),
        None => {
            faults.add(variable, format!("is required: {}", strategies::names()));
            raw.strategies.check_all(faults);
            None
        }
    }
}

/// A table such as `/admin=introspection,/cart=session`.
fn check_routes(raw: &Raw, faults: &mut Faults) -> Option<BTreeMap<&'static str, StrategyConfig>> {
    let variable = raw.route_strategies.variable();
    let text = raw.route_strategies.value(faults)?.unwrap_or_default();
    let mut table = BTreeMap::new();
    let mut complete = true;
    for entry in text.split(',').filter(|_| !text.trim().is_empty()) {
        let Some((route, name)) = entry.split_once('=') else {
            faults.add(variable, format!("{entry:?} is not ROUTE=STRATEGY"));
            complete = false;
            continue;
        };
        let strategy = raw.strategies.check(variable, name.trim(), faults);
        let Some(route) = PROTECTED.into_iter().find(|path| *path == route.trim()) else {
            let paths = PROTECTED.join(", ");
            faults.add(
                variable,
                format!("{:?} is not one of {paths}", route.trim()),
            );
            complete = false;
            continue;
        };
        let Some(strategy) = strategy else {
            complete = false;
            continue;
        };
        if table.insert(route, strategy).is_some() {
            faults.add(variable, format!("{route} is there twice"));
            complete = false;
        }
    }
    complete.then_some(table)
}

fn check_login(args: &LoginArgs, faults: &mut Faults) -> Option<LoginSettings> {
    let state_keys = args.state_keys.checked(faults, |text| {
        let parsed = text.map(|text| StateKeys::parse(text.expose())).transpose();
        parsed.map_err(|reasons| reasons.join("; "))
    });
    let state_ttl = args.state_ttl.positive(faults);
    let meaningless_cookie = args.meaningless_cookie.value(faults);
    Some(LoginSettings {
        state_keys: state_keys?,
        state_ttl: state_ttl?,
        meaningless_cookie: meaningless_cookie?,
    })
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
    fn every_strategy_is_known_by_its_name_and_introspection_needs_credentials() {
        for name in ["jwt", "session", "session-cached", "phantom"] {
            let (config, faults) = check(&["--strategy", name]);
            assert_eq!(config.unwrap().strategy.name(), name, "{faults}");
        }
        let (_, faults) = check(&["--strategy", "introspection", "--client-secret", ""]);
        for variable in ["API_CLIENT_ID", "API_CLIENT_SECRET"] {
            assert!(faults.contains(variable), "{faults}");
        }
        let credentials = ["--client-id", "api", "--client-secret", "hunter2"];
        let (config, _) = check(&[&["--strategy", "introspection"][..], &credentials].concat());
        let config = config.unwrap();
        assert_eq!(config.strategy.name(), "introspection");
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }

    #[test]
    fn a_memory_has_a_size_and_a_time() {
        let (_, faults) = check(&[
            "--strategy",
            "session-cached",
            "--session-cache",
            "0",
            "--session-cache-serve-stale",
            "5",
        ]);
        for variable in ["API_SESSION_CACHE:", "API_SESSION_CACHE_SERVE_STALE:"] {
            assert!(faults.contains(variable), "{faults}");
        }
        let (_, faults) = check(&["--strategy", "jwt", "--remembered-tokens", "many"]);
        assert!(faults.contains("API_REMEMBERED_TOKENS"), "{faults}");
    }

    #[test]
    fn a_route_may_have_a_strategy_of_its_own() {
        let (config, _) = check(&[
            "--strategy",
            "jwt",
            "--route-strategies",
            "/admin=session, /me=jwt",
        ]);
        let config = config.unwrap();
        assert_eq!(config.strategy.name(), "jwt");
        let routes: Vec<_> = config
            .routes
            .iter()
            .map(|(route, strategy)| (*route, strategy.name()))
            .collect();
        assert_eq!(routes, [("/admin", "session"), ("/me", "jwt")]);
    }

    #[test]
    fn a_route_table_that_would_not_do_what_it_says_is_refused() {
        for table in [
            "/admin",
            "/public=jwt",
            "/nowhere=jwt",
            "/admin=magic",
            "/admin=jwt,/admin=session",
            ",",
        ] {
            let (config, faults) = check(&["--strategy", "jwt", "--route-strategies", table]);
            assert!(config.is_none(), "{table}");
            assert!(
                faults.contains("API_ROUTE_STRATEGIES: "),
                "{table}: {faults}"
            );
        }
    }

    #[test]
    fn the_faults_of_what_two_strategies_share_are_reported_once() {
        let (_, faults) = check(&[
            "--strategy",
            "jwt",
            "--route-strategies",
            "/me=jwt,/admin=session",
            "--jwks-url",
            "nonsense",
            "--redis-timeout",
            "0s",
        ]);
        for variable in ["API_JWKS_URL", "API_REDIS_TIMEOUT"] {
            assert_eq!(faults.matches(variable).count(), 1, "{faults}");
        }
    }

    #[test]
    fn the_age_of_revocations_and_what_follows_from_it_are_checked() {
        let revocable = |age, stale| {
            check(&[
                "--strategy",
                "jwt-revocable",
                "--revocation-max-age",
                age,
                "--revocation-stale",
                stale,
            ])
        };
        assert!(revocable("2s", "accept").0.is_some());
        let (_, faults) = revocable("400ms", "perhaps");
        for variable in ["API_REVOCATION_MAX_AGE", "API_REVOCATION_STALE"] {
            assert!(faults.contains(variable), "{faults}");
        }
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
