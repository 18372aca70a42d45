//! The variables of the auth-service, read once and checked whole: every fault is noted, none ends
//! the checking.

mod args;
mod keys;

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use shared::{
    config::{Faults, Given, url},
    server::ServerSettings,
    session::{MOST_SESSIONS, StoreSettings},
    shutdown::Drain,
    telemetry::TelemetrySettings,
};

pub use self::args::{Args, Task};
use crate::{
    administrator::Administrator,
    clients::{Clients, PAGE_PATH, PublicClient, PublicClients},
    credentials::{Password, Username},
    http::TrustedProxies,
    issuer::{SessionIds, SessionSettings, TokenSettings},
    keys::{Algorithm, KeySource},
    limits::LimitSettings,
    list::entries,
    passwords::HashSettings,
    storage::DatabaseSettings,
};

/// Name of the SQLite database in the data folder.
const DATABASE_FILE: &str = "users.sqlite";

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to do in place of serving.
    pub task: Option<Task>,
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Address for operators; `None`: they use the other one.
    pub admin_listen: Option<SocketAddr>,
    /// Workers and drain.
    pub server: ServerSettings,
    /// Folder of key files and SQLite database.
    pub data_dir: PathBuf,
    /// Where users are.
    pub database: DatabaseSettings,
    /// Who issues tokens, for whom and for how long.
    pub tokens: TokenSettings,
    /// The algorithm that signs.
    pub algorithm: Algorithm,
    /// Where the keys are.
    pub keys: KeySource,
    /// Who may use the endpoints of OAuth for more than a login of its own.
    pub clients: Clients,
    /// Limits of a session.
    pub sessions: SessionSettings,
    /// Where sessions are.
    pub session_store: StoreSettings,
    /// The cost of a password hash and how many at a time.
    pub hashing: HashSettings,
    /// How long a spent refresh token gives its successor again.
    pub refresh_grace: Duration,
    /// What limits guessing of passwords.
    pub login_limits: LimitSettings,
    /// Who is believed about the address of a client.
    pub trusted_proxies: TrustedProxies,
    /// The administrator to make at the start.
    pub administrator: Option<Administrator>,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

impl Config {
    /// The longest that a token lives.
    pub(crate) fn longest_token(&self) -> Duration {
        self.tokens.access_ttl.max(self.tokens.exchange_ttl)
    }

    /// Checks what was read, noting every fault.
    pub fn check(args: Args, faults: &mut Faults) -> Option<Self> {
        let listen = args.listen.value(faults);
        let admin_listen = args.admin_listen.value(faults);
        let data_dir = args.data_dir.value(faults);
        let server = server(&args, faults);
        let database = database(&args, faults);
        let tokens = tokens(&args, faults);
        let refresh_grace = args.refresh_grace.checked(faults, whole);
        let algorithm = args
            .algorithm
            .checked(faults, |name| Algorithm::from_str(&name));
        let keys = keys::source(&args, tokens.as_ref(), faults);
        let clients = clients(&args, faults);
        let sessions = sessions(&args, faults);
        let session_store = session_store(&args, sessions.as_ref(), faults);
        let hashing = hashing(&args, faults);
        let login_limits = login_limits(&args, faults);
        let trusted_proxies = trusted_proxies(&args, faults);
        let administrator = administrator(&args, faults);
        let telemetry = args.telemetry.check(faults);
        Some(Self {
            task: args.task,
            listen: listen?,
            admin_listen: admin_listen?,
            server: server?,
            data_dir: data_dir?,
            database: database?,
            tokens: tokens?,
            algorithm: algorithm?,
            keys: keys?,
            clients: clients?,
            sessions: sessions?,
            session_store: session_store?,
            hashing: hashing?,
            refresh_grace: refresh_grace?,
            login_limits: login_limits?,
            trusted_proxies: trusted_proxies?,
            administrator,
            telemetry,
        })
    }
}

fn server(args: &Args, faults: &mut Faults) -> Option<ServerSettings> {
    let workers = args.workers.value(faults);
    let grace = args.drain_grace.value(faults);
    let timeout = args.drain_timeout.positive(faults);
    Some(ServerSettings {
        workers: workers?.0,
        drain: Drain {
            grace: grace?,
            timeout: timeout?,
        },
    })
}

fn database(args: &Args, faults: &mut Faults) -> Option<DatabaseSettings> {
    let file = args.data_dir.value(faults)?.join(DATABASE_FILE);
    let default = || format!("sqlite:{}", file.display());
    let target = args.database_url.checked(faults, |url| {
        url.map_or_else(default, |url| url.expose().clone()).parse()
    });
    let timeout = args.database_timeout.positive(faults);
    Some(DatabaseSettings {
        target: target?,
        timeout: timeout?,
    })
}

fn tokens(args: &Args, faults: &mut Faults) -> Option<TokenSettings> {
    let issuer = args.issuer.checked(faults, issuer);
    let audience = args.audience.checked(faults, |audience| {
        if audience.trim().is_empty() {
            Err("must not be empty")
        } else {
            Ok(audience)
        }
    });
    let access = args.access_token_ttl.checked(faults, positive_whole);
    let refresh = args.refresh_token_ttl.checked(faults, positive_whole);
    let exchange = args.exchange_ttl.checked(faults, positive_whole);
    let name = args.access_token_ttl.variable();
    if refresh.is_some_and(|refresh| access.is_some_and(|access| refresh < access)) {
        let reason = format_args!("must not be shorter than {name}");
        faults.add(args.refresh_token_ttl.variable(), reason);
    }
    if exchange.is_some_and(|exchange| access.is_some_and(|access| access < exchange)) {
        let reason = format_args!("must not be longer than {name}");
        faults.add(args.exchange_ttl.variable(), reason);
    }
    let exchange_audiences = args.exchange_audiences.value(faults)?;
    Some(TokenSettings {
        issuer: issuer?,
        audience: audience?,
        access_ttl: access?,
        refresh_ttl: refresh?,
        exchange_ttl: exchange?,
        exchange_audiences: entries(&exchange_audiences).map(str::to_owned).collect(),
    })
}

/// RFC 8414 §2: a URL without query and fragment.
fn issuer(text: String) -> Result<String, String> {
    let url = url(&text, &["http", "https"])?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither a query nor a fragment".to_owned());
    }
    Ok(text)
}

fn clients(args: &Args, faults: &mut Faults) -> Option<Clients> {
    let confidential = args
        .clients
        .checked_all(faults, |list| Clients::parse(list.expose()));
    let issuer = args.issuer.value(faults)?;
    let page = format!("{}{PAGE_PATH}", issuer.trim_end_matches('/'));
    let public = args.public_clients.checked_all(faults, |list| {
        PublicClients::parse(&list, PublicClient::page(page))
    });
    let confidential = confidential?;
    let redirecting = args
        .redirect_uris
        .checked_all(faults, |list| confidential.with_redirects(&list));
    faults.check(
        args.public_clients.variable(),
        redirecting?.with_public(public?),
    )
}

fn sessions(args: &Args, faults: &mut Faults) -> Option<SessionSettings> {
    let idle = args.session_idle_ttl.checked(faults, positive_whole);
    let absolute = args.session_absolute_ttl.checked(faults, positive_whole);
    if absolute.is_some_and(|absolute| idle.is_some_and(|idle| absolute < idle)) {
        let name = args.session_idle_ttl.variable();
        let reason = format_args!("must not be shorter than {name}");
        faults.add(args.session_absolute_ttl.variable(), reason);
    }
    let jitter = args.session_ttl_jitter.checked(faults, |jitter| {
        let in_range = (0.0..=0.5).contains(&jitter);
        in_range
            .then_some(jitter)
            .ok_or("must be between 0 and 0.5")
    });
    let most = args.logins_per_user.checked(faults, |most| {
        let in_range = (1..=MOST_SESSIONS).contains(&most);
        in_range.then_some(most).ok_or("must be between 1 and 1000")
    });
    let ids = args.session_ids.checked(faults, |form| form.parse());
    Some(SessionSettings {
        idle: idle?,
        absolute: absolute?,
        jitter: jitter?,
        most: most?,
        ids: ids?,
    })
}

fn session_store(
    args: &Args,
    sessions: Option<&SessionSettings>,
    faults: &mut Faults,
) -> Option<StoreSettings> {
    let url = &args.redis_url;
    let store = StoreSettings::check(url, &args.redis_ca, &args.redis_timeout, faults)?;
    let has_plain = sessions.is_some_and(|sessions| sessions.ids == SessionIds::Plain);
    if has_plain && store.url.is_cluster() {
        let reason = format_args!("must be tagged: {} names a cluster", url.variable());
        faults.add(args.session_ids.variable(), reason);
    }
    Some(store)
}

fn hashing(args: &Args, faults: &mut Faults) -> Option<HashSettings> {
    let memory_kib = args.argon2_memory_kib.value(faults);
    let iterations = args.argon2_iterations.value(faults);
    let concurrency = args.argon2_concurrency.value(faults);
    let queue = args.argon2_queue.value(faults);
    let (memory, passes) = (&args.argon2_memory_kib, &args.argon2_iterations);
    let parameters = faults.check(
        &format!("{}, {}", memory.variable(), passes.variable()),
        argon2::Params::new(memory_kib?, iterations?, 1, None)
            .map_err(|error| format!("Argon2id does not work with these ({error})")),
    );
    Some(HashSettings {
        parameters: parameters?,
        concurrency: concurrency?.0,
        queue: queue?,
    })
}

fn login_limits(args: &Args, faults: &mut Faults) -> Option<LimitSettings> {
    let mut budget = |given: &Given<String>| given.checked(faults, |text| text.parse());
    let account_at_address = budget(&args.login_limit_account_at_address);
    let address = budget(&args.login_limit_address);
    let account = budget(&args.login_limit_account);
    let known_for = args.login_known_for.checked(faults, positive_whole);
    Some(LimitSettings {
        account_at_address: account_at_address?,
        address: address?,
        account: account?,
        known_for: known_for?,
    })
}

fn trusted_proxies(args: &Args, faults: &mut Faults) -> Option<TrustedProxies> {
    let networks = args.trusted_proxies.checked(faults, |list| list.parse());
    let count = args.trusted_hops.value(faults);
    Some(TrustedProxies {
        networks: networks?,
        count: count?,
    })
}

fn administrator(args: &Args, faults: &mut Faults) -> Option<Administrator> {
    let (name, secret) = (&args.admin_username, &args.admin_password);
    let username = name.checked_all(faults, |name| {
        name.map(|name| Username::choose(&name)).transpose()
    });
    let username = username?;
    let password = secret.checked_all(faults, |secret| {
        let choose = |secret| Password::choose(&secret, username.as_ref());
        secret.map(choose).transpose()
    });
    let (present, absent) = match (username, password?) {
        (None, None) => {
            if args.task == Some(Task::RestoreAdministrator) {
                faults.add(name.variable(), "names whom to restore, and is missing");
            }
            return None;
        }
        (Some(username), Some(password)) => return Some(Administrator { username, password }),
        (Some(_), None) => (name.variable(), secret.variable()),
        (None, Some(_)) => (secret.variable(), name.variable()),
    };
    faults.add(absent, format_args!("is missing beside {present}"));
    None
}

/// Tokens and cookies count in whole seconds, so a shorter time would silently become zero.
fn whole(duration: Duration) -> Result<Duration, &'static str> {
    match duration.subsec_nanos() {
        0 => Ok(duration),
        _ => Err("must be a whole number of seconds"),
    }
}

fn positive_whole(duration: Duration) -> Result<Duration, &'static str> {
    if duration.is_zero() {
        return Err("must be longer than zero");
    }
    whole(duration)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn checked(options: &[&str]) -> (Option<Config>, String) {
        let args = Args::try_parse_from([&["auth-service"], options].concat()).unwrap();
        let mut faults = Faults::default();
        let config = Config::check(args, &mut faults);
        (config, faults.to_string())
    }

    #[test]
    fn the_defaults_are_right() {
        let (config, faults) = checked(&[]);
        assert_eq!(faults, "");
        let config = config.unwrap();
        assert_eq!(config.algorithm, Algorithm::Rs256);
        assert_eq!(config.tokens.access_ttl, Duration::from_secs(900));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let (config, faults) = checked(&[
            "--listen=8081",
            "--workers=0",
            "--database-url=mysql://host/name",
            "--issuer=http://host/?tenant=1",
            "--audience= ",
            "--algorithm=HS256",
            "--signing-key-files=,",
            "--key-encryption-key=opensesame",
            "--key-announce=1s",
            "--key-rotate-every=1500ms",
            "--key-retain=1s",
            "--access-token-ttl=2h",
            "--refresh-token-ttl=1h",
            "--refresh-grace=500ms",
            "--exchange-ttl=3h",
            "--clients=api:opensesame:introspect",
            "--session-idle-ttl=1500ms",
            "--session-ttl-jitter=0.9",
            "--logins-per-user=1001",
            "--session-ids=short",
            "--redis-url=http://host",
            "--argon2-memory-kib=1",
            "--argon2-concurrency=2000",
            "--argon2-queue=many",
            "--login-limit-account-at-address=10",
            "--login-limit-address=0/15m",
            "--login-limit-account=50/2d",
            "--login-known-for=0s",
            "--trusted-proxies=gateway",
            "--trusted-hops=0",
            "--admin-username=ada",
            "--drain-timeout=0s",
            "--log-format=xml",
        ]);
        assert!(config.is_none());
        for variable in [
            "AUTH_LISTEN",
            "AUTH_WORKERS",
            "AUTH_DATABASE_URL",
            "AUTH_ISSUER",
            "AUTH_AUDIENCE",
            "AUTH_ALGORITHM",
            "AUTH_SIGNING_KEY_FILES",
            "AUTH_KEY_ENCRYPTION_KEY",
            "AUTH_KEY_ANNOUNCE",
            "AUTH_KEY_ROTATE_EVERY",
            "AUTH_KEY_RETAIN",
            "AUTH_REFRESH_TOKEN_TTL",
            "AUTH_REFRESH_GRACE",
            "AUTH_EXCHANGE_TTL",
            "AUTH_CLIENTS",
            "AUTH_SESSION_IDLE_TTL",
            "AUTH_SESSION_TTL_JITTER",
            "AUTH_LOGINS_PER_USER",
            "AUTH_SESSION_IDS",
            "AUTH_REDIS_URL",
            "AUTH_ARGON2_MEMORY_KIB",
            "AUTH_ARGON2_CONCURRENCY",
            "AUTH_ARGON2_QUEUE",
            "AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS",
            "AUTH_LOGIN_LIMIT_ADDRESS",
            "AUTH_LOGIN_LIMIT_ACCOUNT",
            "AUTH_LOGIN_KNOWN_FOR",
            "AUTH_TRUSTED_PROXIES",
            "AUTH_TRUSTED_HOPS",
            "AUTH_ADMIN_PASSWORD",
            "AUTH_DRAIN_TIMEOUT",
            "LOG_FORMAT",
        ] {
            assert!(
                faults.contains(variable),
                "{variable} is missing in:\n{faults}"
            );
        }
    }

    #[test]
    fn a_client_that_logs_users_in_needs_a_redirect_uri() {
        let client = "--clients=web:opensesame-opensesame-opensesame:code";
        let (_, faults) = checked(&[client]);
        assert!(
            faults.contains("AUTH_REDIRECT_URIS: web has the right code"),
            "{faults}"
        );
        let uri = "--redirect-uris=web=https://web.example.org/back";
        assert_eq!(checked(&[client, uri]).1, "");
    }

    #[test]
    fn a_cluster_is_for_ids_that_say_where_their_sessions_are() {
        let cluster = "--redis-url=redis+cluster://a,b";
        assert_eq!(checked(&[cluster]).1, "");
        let (_, faults) = checked(&[cluster, "--session-ids=plain"]);
        assert!(
            faults.contains("AUTH_SESSION_IDS: must be tagged"),
            "{faults}"
        );
    }

    #[test]
    fn jitter_only_shortens_the_limits_of_a_session() {
        let (config, _) = checked(&["--session-ttl-jitter=0.2"]);
        let sessions = config.unwrap().sessions;
        let shares: Vec<f64> = (0..1_000).map(|_| sessions.share()).collect();
        assert!(shares.iter().all(|share| (0.8..=1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.9));
        assert!(shares.iter().any(|share| *share > 0.9));
    }

    #[test]
    fn the_times_of_keys_must_fit_each_other_and_the_tokens() {
        for (options, wanted) in [
            (
                ["--key-retain=929s", "--access-token-ttl=15m"],
                "AUTH_KEY_RETAIN: must be at least 15m 30s",
            ),
            (
                ["--key-retain=29s", "--issuer=nowhere"],
                "AUTH_KEY_RETAIN: must be at least 30s",
            ),
            (
                ["--key-announce=1s", "--key-retain=930s"],
                "AUTH_KEY_ANNOUNCE: ",
            ),
            (
                ["--key-rotate-every=42s", "--key-retain=1h"],
                "AUTH_KEY_ROTATE_EVERY: 101 keys",
            ),
        ] {
            let (_, faults) = checked(&options);
            assert!(faults.contains(wanted), "{options:?}: {faults}");
        }
        for options in [
            ["--key-retain=930s", "--access-token-ttl=15m"],
            ["--key-rotate-every=43s", "--key-retain=1h"],
            ["--key-rotate-every=0s", "--key-retain=1000d"],
        ] {
            assert_eq!(checked(&options).1, "", "{options:?}");
        }
    }

    #[test]
    fn a_configuration_shows_no_secret() {
        let (config, faults) = checked(&[
            "--database-url=postgres://ada:opensesame@127.0.0.1/users",
            "--redis-url=redis://:opensesame@127.0.0.1",
            "--admin-username=root",
            "--admin-password=opensesame of the forest",
            "--clients=api:opensesame-opensesame-opensesame:token",
        ]);
        assert_eq!(faults, "");
        let text = format!("{:?}", config.unwrap());
        assert!(!text.contains("opensesame"), "{text}");
    }
}
