//! The variables of the auth-service, read once and checked whole.

mod check;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use shared::{
    config::{Faults, Given, Secret, load},
    server::ServerSettings,
    session::StoreSettings,
    telemetry::{TelemetryArgs, TelemetrySettings},
};

use crate::{
    clients::Clients,
    credentials::{Password, Username},
    http::TrustedProxies,
    issuer::{SessionSettings, TokenSettings},
    keys::{Algorithm, KeySource},
    limits::LimitSettings,
    passwords::HashSettings,
    storage::DatabaseSettings,
};

/// Users, logins, access tokens, sessions and the key set of Statewise.
///
/// Every option is an environment variable too; durations have a unit, such as 250ms or 15m.
#[derive(Clone, Debug, Parser)]
#[command(name = "auth-service", version)]
pub struct Args {
    /// Address and port to serve HTTP on.
    #[arg(long, env = "AUTH_LISTEN", default_value = "127.0.0.1:8081")]
    listen: String,

    /// Worker threads. Default: one for each core.
    #[arg(long, env = "AUTH_WORKERS")]
    workers: Option<String>,

    /// Folder of the key files and of the SQLite database. Made when it is absent.
    #[arg(long, env = "AUTH_DATA_DIR", default_value = "./data/auth")]
    data_dir: PathBuf,

    /// Where users are: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME.
    /// Default: users.sqlite in the data folder.
    #[arg(long, env = "AUTH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<Secret<String>>,

    /// How long one call to the database may take, waiting for a connection included.
    #[arg(long, env = "AUTH_DATABASE_TIMEOUT", default_value = "2s")]
    database_timeout: String,

    /// Issuer of the tokens: the URL under which clients reach this service.
    #[arg(
        long,
        env = "AUTH_ISSUER",
        default_value = "http://127.0.0.1:8080/auth"
    )]
    issuer: String,

    /// Audience of the tokens: the name of the resource servers.
    #[arg(long, env = "AUTH_AUDIENCE", default_value = "statewise-api")]
    audience: String,

    /// Signature algorithm: RS256, ES256 or EdDSA.
    #[arg(long, env = "AUTH_ALGORITHM", default_value = "RS256")]
    algorithm: String,

    /// Private keys as PEM files (PKCS#8), separated by commas. The first of the algorithm signs,
    /// all are published, none is rotated. Default: keys in the database, made and rotated here.
    #[arg(long, env = "AUTH_SIGNING_KEY_FILES")]
    signing_key_files: Option<String>,

    /// Seals the private keys in the database: 32 bytes in base64url, the same for all replicas.
    /// With several, separated by commas, the first seals and all open.
    /// Default: key-encryption.key in the data folder, made when it is absent; what it sealed still
    /// opens after a key is given.
    #[arg(long, env = "AUTH_KEY_ENCRYPTION_KEY", hide_env_values = true)]
    key_encryption_key: Option<Secret<String>>,

    /// How long a new key is published before it signs: more than verifiers take to fetch the keys
    /// anew (API_JWKS_REFRESH).
    #[arg(long, env = "AUTH_KEY_ANNOUNCE", default_value = "10m")]
    key_announce: String,

    /// How often the signing key changes; 0s: only by POST /keys/rotate.
    #[arg(long, env = "AUTH_KEY_ROTATE_EVERY", default_value = "90d")]
    key_rotate_every: String,

    /// How long a key is still published after it has stopped signing: more than a token lives.
    #[arg(long, env = "AUTH_KEY_RETAIN", default_value = "1h")]
    key_retain: String,

    /// Life of an access token. Where only `jwt` checks it, it cannot be taken back, so keep it short.
    #[arg(long, env = "AUTH_ACCESS_TOKEN_TTL", default_value = "15m")]
    access_token_ttl: String,

    /// How long a login can be renewed with refresh tokens, counted from the login.
    #[arg(long, env = "AUTH_REFRESH_TOKEN_TTL", default_value = "30d")]
    refresh_token_ttl: String,

    /// How long a spent refresh token still gives its successor, for a client that did not get
    /// the answer. Later it counts as stolen. 0s: at once.
    #[arg(long, env = "AUTH_REFRESH_GRACE", default_value = "30s")]
    refresh_grace: String,

    /// Life of a token that a client exchanged a session for.
    #[arg(long, env = "AUTH_EXCHANGE_TTL", default_value = "10s")]
    exchange_ttl: String,

    /// Audiences besides AUTH_AUDIENCE that a token can be exchanged for, separated by commas. A
    /// resource server with one of these accepts no token of a login.
    #[arg(long, env = "AUTH_EXCHANGE_AUDIENCES", default_value = "")]
    exchange_audiences: String,

    /// Confidential clients: ID:SECRET:RIGHT+RIGHT, separated by commas. Rights are introspect,
    /// exchange and token. Secrets have at least 32 letters, digits, - and _.
    #[arg(long, env = "AUTH_CLIENTS", hide_env_values = true)]
    clients: Option<Secret<String>>,

    /// Public clients of the authorization endpoint: ID=REDIRECT-URI, separated by commas; an ID may
    /// stand there several times. URIs are https, or http on this machine, and compared byte for
    /// byte. A client gets the user's roles; there is no consent. The page at /page of this service
    /// is one without being named.
    #[arg(long, env = "AUTH_PUBLIC_CLIENTS", default_value = "")]
    public_clients: String,

    /// A session ends when it was not used for so long.
    #[arg(long, env = "AUTH_SESSION_IDLE_TTL", default_value = "30m")]
    session_idle_ttl: String,

    /// A session ends so long after the login, however much it is used.
    #[arg(long, env = "AUTH_SESSION_ABSOLUTE_TTL", default_value = "12h")]
    session_absolute_ttl: String,

    /// Both limits of a session are shortened by a random part of up to this fraction, so that
    /// sessions that began together do not end together. 0 is off.
    #[arg(long, env = "AUTH_SESSION_TTL_JITTER", default_value = "0.05")]
    session_ttl_jitter: String,

    /// Where sessions are. Token logins work without it.
    #[arg(
        long,
        env = "AUTH_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: Given<Secret<String>>,

    /// How long one call to Redis may take.
    #[arg(long, env = "AUTH_REDIS_TIMEOUT", default_value = "250ms")]
    redis_timeout: Given<Duration>,

    /// Memory of one Argon2id run in KiB.
    #[arg(long, env = "AUTH_ARGON2_MEMORY_KIB", default_value = "19456")]
    argon2_memory_kib: String,

    /// Passes of one Argon2id run.
    #[arg(long, env = "AUTH_ARGON2_ITERATIONS", default_value = "2")]
    argon2_iterations: String,

    /// Argon2id runs at a time. Default: one for each core.
    #[arg(long, env = "AUTH_ARGON2_CONCURRENCY")]
    argon2_concurrency: Option<String>,

    /// Argon2id runs that may wait for their turn; beyond it the answer is 503.
    #[arg(long, env = "AUTH_ARGON2_QUEUE", default_value = "256")]
    argon2_queue: String,

    /// Failed logins of one account at one address: so many at once, and as many in each time.
    #[arg(
        long,
        env = "AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS",
        default_value = "10/15m"
    )]
    login_limit_account_at_address: String,

    /// Failed logins from one address (of IPv6: one /64), whatever the account.
    #[arg(long, env = "AUTH_LOGIN_LIMIT_ADDRESS", default_value = "100/15m")]
    login_limit_address: String,

    /// Failed logins of one account, from all addresses that it was not logged in from before.
    #[arg(long, env = "AUTH_LOGIN_LIMIT_ACCOUNT", default_value = "50/15m")]
    login_limit_account: String,

    /// How long after a login its address is known: there the account's own budget is the only one.
    #[arg(long, env = "AUTH_LOGIN_KNOWN_FOR", default_value = "90d")]
    login_known_for: String,

    /// Proxies whose X-Forwarded-For is believed (its last element): networks and addresses,
    /// separated by commas. It must be the gateway that clients speak to.
    #[arg(
        long,
        env = "AUTH_TRUSTED_PROXIES",
        default_value = "127.0.0.0/8,::1/128"
    )]
    trusted_proxies: String,

    /// Name of an administrator to make at the start when there is no user of that name.
    #[arg(long, env = "AUTH_ADMIN_USERNAME")]
    admin_username: Option<String>,

    /// Password of that administrator.
    #[arg(long, env = "AUTH_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<Secret<String>>,

    /// On SIGTERM: from "not ready" to "accepts nothing new".
    #[arg(long, env = "AUTH_DRAIN_GRACE", default_value = "1s")]
    drain_grace: String,

    /// On SIGTERM: from "accepts nothing new" to "cuts what is still open".
    #[arg(long, env = "AUTH_DRAIN_TIMEOUT", default_value = "10s")]
    drain_timeout: String,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to serve on.
    pub listen: SocketAddr,
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
    /// What limits guessing of passwords.
    pub login_limits: LimitSettings,
    /// Who is believed about the address of a client.
    pub trusted_proxies: TrustedProxies,
    /// The administrator to make at the start.
    pub admin: Option<Admin>,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

/// The administrator to make at the start.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The name to log in with.
    pub username: Username,
    /// The password to log in with.
    pub password: Password,
}

impl Config {
    /// Reads arguments and environment.
    ///
    /// # Errors
    ///
    /// The exit code to end with, after everything that is wrong was said on standard error.
    pub fn from_process() -> Result<Self, ExitCode> {
        load(Self::check)
    }

    /// Checks what was read, noting every fault.
    pub fn check(args: Args, faults: &mut Faults) -> Option<Self> {
        check::check(args, faults)
    }
}
