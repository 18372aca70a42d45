//! From raw text to a configuration; every fault is noted, none ends the checking.

use std::{fmt::Display, str::FromStr, thread::available_parallelism, time::Duration};

use shared::{
    config::{Faults, Secret},
    server::ServerSettings,
    session::StoreSettings,
    shutdown::Drain,
};

use super::{Admin, Args, Config};
use crate::{
    clients::{Clients, PAGE_PATH, PublicClient, PublicClients},
    credentials::{Password, Username},
    issuer::{SessionSettings, TokenSettings},
    keys::{Algorithm, KeySource, LEEWAY, Lifetimes, SealingKeys, SealingSource},
    limits::LimitSettings,
    list::entries,
    passwords::HashSettings,
    storage::DatabaseSettings,
};

/// Name of the SQLite database in the data folder.
const DATABASE_FILE: &str = "users.sqlite";
/// Name of the file of the sealing key in the data folder.
const SEALING_KEY_FILE: &str = "key-encryption.key";
/// Four looks of a replica at the keys.
const ANNOUNCE_MINIMUM: Duration = Duration::from_secs(2);
/// Keys that are published at a time: verifiers bound the size of a key set.
const MOST_KEYS: u64 = 100;

pub(super) fn check(args: Args, faults: &mut Faults) -> Option<Config> {
    let listen = faults.parsed(
        "AUTH_LISTEN",
        &args.listen,
        "an address and a port, such as 127.0.0.1:8081",
    );
    let server = server(&args, faults);
    let database = database(&args, faults);
    let tokens = tokens(&args, faults);
    let algorithm = faults.check("AUTH_ALGORITHM", Algorithm::from_str(&args.algorithm));
    let keys = keys(&args, tokens.as_ref(), faults);
    let clients = clients(&args, faults);
    let sessions = sessions(&args, faults);
    let session_store = StoreSettings::check(&args.redis_url, &args.redis_timeout, faults);
    let hashing = hashing(&args, faults);
    let login_limits = login_limits(&args, faults);
    let trusted_proxies = faults.check("AUTH_TRUSTED_PROXIES", args.trusted_proxies.parse());
    let admin = admin(&args, faults);
    let telemetry = args.telemetry.check(faults);
    Some(Config {
        listen: listen?,
        server: server?,
        data_dir: args.data_dir,
        database: database?,
        tokens: tokens?,
        algorithm: algorithm?,
        keys: keys?,
        clients: clients?,
        sessions: sessions?,
        session_store: session_store?,
        hashing: hashing?,
        login_limits: login_limits?,
        trusted_proxies: trusted_proxies?,
        admin,
        telemetry,
    })
}

fn server(args: &Args, faults: &mut Faults) -> Option<ServerSettings> {
    let workers = count_or_cores("AUTH_WORKERS", args.workers.as_deref(), faults);
    let grace = faults.duration("AUTH_DRAIN_GRACE", &args.drain_grace);
    let timeout = faults.positive_duration("AUTH_DRAIN_TIMEOUT", &args.drain_timeout);
    Some(ServerSettings {
        workers: workers?,
        drain: Drain {
            grace: grace?,
            timeout: timeout?,
        },
    })
}

fn database(args: &Args, faults: &mut Faults) -> Option<DatabaseSettings> {
    let default = || format!("sqlite:{}", args.data_dir.join(DATABASE_FILE).display());
    let url = args
        .database_url
        .as_ref()
        .map_or_else(default, |url| url.expose().clone());
    let timeout = faults.positive_duration("AUTH_DATABASE_TIMEOUT", &args.database_timeout);
    let target = faults.check("AUTH_DATABASE_URL", url.parse());
    Some(DatabaseSettings {
        target: target?,
        timeout: timeout?,
    })
}

fn tokens(args: &Args, faults: &mut Faults) -> Option<TokenSettings> {
    let issuer = issuer(&args.issuer, faults);
    if args.audience.trim().is_empty() {
        faults.add("AUTH_AUDIENCE", "must not be empty");
    }
    let access = whole_seconds("AUTH_ACCESS_TOKEN_TTL", &args.access_token_ttl, faults);
    let refresh = whole_seconds("AUTH_REFRESH_TOKEN_TTL", &args.refresh_token_ttl, faults);
    if let (Some(access), Some(refresh)) = (access, refresh)
        && refresh < access
    {
        faults.add(
            "AUTH_REFRESH_TOKEN_TTL",
            "must not be shorter than AUTH_ACCESS_TOKEN_TTL",
        );
    }
    let grace = whole("AUTH_REFRESH_GRACE", &args.refresh_grace, faults);
    let exchange = whole_seconds("AUTH_EXCHANGE_TTL", &args.exchange_ttl, faults);
    if let (Some(access), Some(exchange)) = (access, exchange)
        && access < exchange
    {
        faults.add(
            "AUTH_EXCHANGE_TTL",
            "must not be longer than AUTH_ACCESS_TOKEN_TTL",
        );
    }
    Some(TokenSettings {
        issuer: issuer?,
        audience: args.audience.clone(),
        access_ttl: access?,
        refresh_ttl: refresh?,
        refresh_grace: grace?,
        exchange_ttl: exchange?,
        exchange_audiences: entries(&args.exchange_audiences)
            .map(str::to_owned)
            .collect(),
    })
}

fn clients(args: &Args, faults: &mut Faults) -> Option<Clients> {
    let list = args.clients.as_ref().map_or("", |list| list.expose());
    let confidential = every("AUTH_CLIENTS", Clients::parse(list), faults);
    let page = format!("{}{PAGE_PATH}", args.issuer.trim_end_matches('/'));
    let public = PublicClients::parse(&args.public_clients, PublicClient::page(page));
    let public = every("AUTH_PUBLIC_CLIENTS", public, faults);
    faults.check("AUTH_PUBLIC_CLIENTS", confidential?.with_public(public?))
}

/// Notes each fault of a list.
fn every<T, E: Display>(
    variable: &str,
    outcome: Result<T, Vec<E>>,
    faults: &mut Faults,
) -> Option<T> {
    outcome
        .map_err(|found| found.iter().for_each(|fault| faults.add(variable, fault)))
        .ok()
}

/// RFC 8414 §2: a URL without query and fragment.
fn issuer(text: &str, faults: &mut Faults) -> Option<String> {
    let url = faults.url("AUTH_ISSUER", text, &["http", "https"])?;
    if url.query().is_some() || url.fragment().is_some() {
        faults.add("AUTH_ISSUER", "must have neither a query nor a fragment");
        return None;
    }
    Some(text.to_owned())
}

fn keys(args: &Args, tokens: Option<&TokenSettings>, faults: &mut Faults) -> Option<KeySource> {
    let sealing = sealing(args, faults);
    let lifetimes = lifetimes(args, tokens, faults);
    let Some(list) = &args.signing_key_files else {
        return Some(KeySource::Database {
            sealing: sealing?,
            lifetimes: lifetimes?,
        });
    };
    let files: Vec<_> = entries(list).map(Into::into).collect();
    if files.is_empty() {
        faults.add("AUTH_SIGNING_KEY_FILES", "names no file");
        return None;
    }
    Some(KeySource::Files(files))
}

fn sealing(args: &Args, faults: &mut Faults) -> Option<SealingSource> {
    let file = args.data_dir.join(SEALING_KEY_FILE);
    let Some(text) = &args.key_encryption_key else {
        return Some(SealingSource::File(file));
    };
    let keys = SealingKeys::parse(text.expose())
        .ok_or("must be 32 bytes in base64url without padding: openssl rand 32 | basenc --base64url | tr -d =");
    faults
        .check("AUTH_KEY_ENCRYPTION_KEY", keys)
        .map(|keys| SealingSource::Given {
            keys,
            earlier: file,
        })
}

fn lifetimes(
    args: &Args,
    tokens: Option<&TokenSettings>,
    faults: &mut Faults,
) -> Option<Lifetimes> {
    let announce = whole_seconds("AUTH_KEY_ANNOUNCE", &args.key_announce, faults);
    if announce.is_some_and(|announce| announce < ANNOUNCE_MINIMUM) {
        faults.add(
            "AUTH_KEY_ANNOUNCE",
            "must be at least 2s, in which every replica learns of a key",
        );
    }
    let rotate_every = faults.duration("AUTH_KEY_ROTATE_EVERY", &args.key_rotate_every);
    if rotate_every.is_some_and(|every| every.subsec_nanos() != 0) {
        faults.add("AUTH_KEY_ROTATE_EVERY", "must be a whole number of seconds");
    }
    let retain = whole_seconds("AUTH_KEY_RETAIN", &args.key_retain, faults);
    // Exchanged tokens live no longer. When the life of a token is wrong itself, the rest is told.
    let longest_token = tokens.map_or(Duration::ZERO, |tokens| tokens.access_ttl);
    if retain.is_some_and(|retain| retain < longest_token + LEEWAY) {
        faults.add(
            "AUTH_KEY_RETAIN",
            format_args!(
                "must be at least {}: AUTH_ACCESS_TOKEN_TTL and 30s for clocks that differ, or \
                 tokens outlive their key",
                humantime::format_duration(longest_token + LEEWAY)
            ),
        );
    }
    let lifetimes = Lifetimes {
        announce: announce?,
        retain: retain?,
        rotate_every: rotate_every?,
        longest_token,
    };
    few_enough(&lifetimes, faults);
    Some(lifetimes)
}

/// Whether verifiers can be expected to take a set of as many keys as the times make.
fn few_enough(lifetimes: &Lifetimes, faults: &mut Faults) {
    let published = lifetimes.announce + lifetimes.retain;
    let Some(others) = published
        .as_secs()
        .checked_div(lifetimes.rotate_every.as_secs())
    else {
        return;
    };
    if others >= MOST_KEYS {
        faults.add(
            "AUTH_KEY_ROTATE_EVERY",
            format_args!(
                "{} keys would be published at a time (AUTH_KEY_ANNOUNCE and AUTH_KEY_RETAIN are \
                 {}); verifiers are offered {MOST_KEYS} at most",
                others + 1,
                humantime::format_duration(published)
            ),
        );
    }
}

fn sessions(args: &Args, faults: &mut Faults) -> Option<SessionSettings> {
    let idle = whole_seconds("AUTH_SESSION_IDLE_TTL", &args.session_idle_ttl, faults);
    let absolute = whole_seconds(
        "AUTH_SESSION_ABSOLUTE_TTL",
        &args.session_absolute_ttl,
        faults,
    );
    if let (Some(idle), Some(absolute)) = (idle, absolute)
        && absolute < idle
    {
        faults.add(
            "AUTH_SESSION_ABSOLUTE_TTL",
            "must not be shorter than AUTH_SESSION_IDLE_TTL",
        );
    }
    let jitter = faults.parsed(
        "AUTH_SESSION_TTL_JITTER",
        &args.session_ttl_jitter,
        "a fraction such as 0.05",
    );
    let jitter = jitter.and_then(|jitter: f64| {
        let in_range = (0.0..=0.5).contains(&jitter);
        faults.check(
            "AUTH_SESSION_TTL_JITTER",
            in_range
                .then_some(jitter)
                .ok_or("must be between 0 and 0.5"),
        )
    });
    Some(SessionSettings {
        idle: idle?,
        absolute: absolute?,
        jitter: jitter?,
    })
}

fn hashing(args: &Args, faults: &mut Faults) -> Option<HashSettings> {
    let memory_kib = faults.parsed(
        "AUTH_ARGON2_MEMORY_KIB",
        &args.argon2_memory_kib,
        "a number of KiB",
    );
    let iterations = faults.parsed(
        "AUTH_ARGON2_ITERATIONS",
        &args.argon2_iterations,
        "a number of passes",
    );
    let concurrency = count_or_cores(
        "AUTH_ARGON2_CONCURRENCY",
        args.argon2_concurrency.as_deref(),
        faults,
    );
    let queue = faults.parsed(
        "AUTH_ARGON2_QUEUE",
        &args.argon2_queue,
        "a number of waiting requests",
    );
    let parameters = faults.check(
        "AUTH_ARGON2_MEMORY_KIB, AUTH_ARGON2_ITERATIONS",
        argon2::Params::new(memory_kib?, iterations?, 1, None)
            .map_err(|error| format!("Argon2id does not work with these ({error})")),
    );
    Some(HashSettings {
        parameters: parameters?,
        concurrency: concurrency?,
        queue: queue?,
    })
}

fn login_limits(args: &Args, faults: &mut Faults) -> Option<LimitSettings> {
    let account_at_address = faults.check(
        "AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS",
        args.login_limit_account_at_address.parse(),
    );
    let address = faults.check("AUTH_LOGIN_LIMIT_ADDRESS", args.login_limit_address.parse());
    let account = faults.check("AUTH_LOGIN_LIMIT_ACCOUNT", args.login_limit_account.parse());
    let known_for = whole_seconds("AUTH_LOGIN_KNOWN_FOR", &args.login_known_for, faults);
    Some(LimitSettings {
        account_at_address: account_at_address?,
        address: address?,
        account: account?,
        known_for: known_for?,
    })
}

fn admin(args: &Args, faults: &mut Faults) -> Option<Admin> {
    match (&args.admin_username, &args.admin_password) {
        (None, None) => None,
        (Some(username), Some(password)) => {
            let username = faults.check("AUTH_ADMIN_USERNAME", joined(Username::parse(username)));
            let password = faults.check(
                "AUTH_ADMIN_PASSWORD",
                joined(Password::parse(Secret::new(password.expose().clone()))),
            );
            Some(Admin {
                username: username?,
                password: password?,
            })
        }
        (Some(_), None) => {
            faults.add(
                "AUTH_ADMIN_PASSWORD",
                "is missing beside AUTH_ADMIN_USERNAME",
            );
            None
        }
        (None, Some(_)) => {
            faults.add(
                "AUTH_ADMIN_USERNAME",
                "is missing beside AUTH_ADMIN_PASSWORD",
            );
            None
        }
    }
}

fn joined<T, E: Display>(outcome: Result<T, Vec<E>>) -> Result<T, String> {
    outcome.map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    })
}

/// Tokens and cookies count in whole seconds, so a shorter time would silently become zero.
fn whole_seconds(variable: &str, text: &str, faults: &mut Faults) -> Option<Duration> {
    faults.positive_duration(variable, text)?;
    whole(variable, text, faults)
}

/// As [`whole_seconds`], and zero is right too.
fn whole(variable: &str, text: &str, faults: &mut Faults) -> Option<Duration> {
    let duration = faults.duration(variable, text)?;
    if duration.subsec_nanos() != 0 {
        faults.add(variable, "must be a whole number of seconds");
        return None;
    }
    Some(duration)
}

/// They are all started at once.
const MOST_THREADS: usize = 1024;

/// A number of threads, at least one; without text, the number of cores.
fn count_or_cores(variable: &str, text: Option<&str>, faults: &mut Faults) -> Option<usize> {
    let Some(text) = text else {
        return Some(available_parallelism().map_or(1, Into::into));
    };
    let count: usize = faults.parsed(variable, text, "a number of threads")?;
    if (1..=MOST_THREADS).contains(&count) {
        return Some(count);
    }
    faults.add(variable, format!("must be from 1 to {MOST_THREADS}"));
    None
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
            "--audience=",
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
            "--redis-url=http://host",
            "--argon2-memory-kib=1",
            "--argon2-concurrency=2000",
            "--argon2-queue=many",
            "--login-limit-account-at-address=10",
            "--login-limit-address=0/15m",
            "--login-limit-account=50/2d",
            "--login-known-for=0s",
            "--trusted-proxies=gateway",
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
            "AUTH_REDIS_URL",
            "AUTH_ARGON2_MEMORY_KIB",
            "AUTH_ARGON2_CONCURRENCY",
            "AUTH_ARGON2_QUEUE",
            "AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS",
            "AUTH_LOGIN_LIMIT_ADDRESS",
            "AUTH_LOGIN_LIMIT_ACCOUNT",
            "AUTH_LOGIN_KNOWN_FOR",
            "AUTH_TRUSTED_PROXIES",
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
            "--admin-password=opensesame",
            "--clients=api:opensesame-opensesame-opensesame:token",
        ]);
        assert_eq!(faults, "");
        let text = format!("{:?}", config.unwrap());
        assert!(!text.contains("opensesame"), "{text}");
    }
}
