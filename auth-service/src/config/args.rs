//! The variables, each named once.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use shared::{
    config::{Given, Secret, Threads},
    telemetry::TelemetryArgs,
};

/// What the program does once, in place of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Makes the user of AUTH_ADMIN_USERNAME an administrator who is enabled, has AUTH_ADMIN_PASSWORD
    /// and no earlier logins: the way back in when no administrator is left.
    RestoreAdministrator,
}

/// Users, logins, access tokens, sessions and the key set of Statewise.
///
/// Every option is an environment variable too; durations have a unit, such as 250ms or 15m.
#[derive(Clone, Debug, Parser)]
#[command(name = "auth-service", version)]
pub struct Args {
    /// What to do in place of serving.
    #[arg(value_enum)]
    pub(super) task: Option<Task>,

    /// Address and port to serve HTTP on.
    #[arg(long, env = "AUTH_LISTEN", default_value = "127.0.0.1:8081")]
    pub(super) listen: Given<SocketAddr>,

    /// Address and port for /metrics, /readyz and /healthz. Unset: they are on the port above; set:
    /// that port has only /healthz.
    #[arg(
        long,
        env = "AUTH_ADMIN_LISTEN",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) admin_listen: Given<Option<SocketAddr>>,

    /// Worker threads. Default: one for each core.
    #[arg(
        long,
        env = "AUTH_WORKERS",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) workers: Given<Threads>,

    /// Folder of the key files and of the SQLite database. Made when it is absent.
    #[arg(long, env = "AUTH_DATA_DIR", default_value = "./data/auth")]
    pub(super) data_dir: Given<PathBuf>,

    /// Where users are: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME.
    /// Default: users.sqlite in the data folder.
    #[arg(
        long,
        env = "AUTH_DATABASE_URL",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub(super) database_url: Given<Option<Secret<String>>>,

    /// How long one call to the database may take, waiting for a connection included.
    #[arg(long, env = "AUTH_DATABASE_TIMEOUT", default_value = "2s")]
    pub(super) database_timeout: Given<Duration>,

    /// Issuer of the tokens: the URL under which clients reach this service.
    #[arg(
        long,
        env = "AUTH_ISSUER",
        default_value = "http://127.0.0.1:8080/auth"
    )]
    pub(super) issuer: Given<String>,

    /// Audience of the tokens: the name of the resource servers.
    #[arg(long, env = "AUTH_AUDIENCE", default_value = "statewise-api")]
    pub(super) audience: Given<String>,

    /// Signature algorithm: RS256, ES256 or EdDSA.
    #[arg(long, env = "AUTH_ALGORITHM", default_value = "RS256")]
    pub(super) algorithm: Given<String>,

    /// Private keys as PEM files (PKCS#8), separated by commas. The first of the algorithm signs,
    /// all are published, none is rotated. Default: keys in the database, made and rotated here.
    #[arg(
        long,
        env = "AUTH_SIGNING_KEY_FILES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) signing_key_files: Given<Option<String>>,

    /// Seals the private keys in the database: 32 bytes in base64url, the same for all replicas.
    /// With several, separated by commas, the first seals and all open.
    /// Default: key-encryption.key in the data folder, made when it is absent; what it sealed still
    /// opens after a key is given.
    #[arg(
        long,
        env = "AUTH_KEY_ENCRYPTION_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub(super) key_encryption_key: Given<Option<Secret<String>>>,

    /// How long a new key is published before it signs: more than verifiers take to fetch the keys
    /// anew (API_JWKS_REFRESH).
    #[arg(long, env = "AUTH_KEY_ANNOUNCE", default_value = "10m")]
    pub(super) key_announce: Given<Duration>,

    /// How often the signing key changes; 0s: only by POST /keys/rotate.
    #[arg(long, env = "AUTH_KEY_ROTATE_EVERY", default_value = "90d")]
    pub(super) key_rotate_every: Given<Duration>,

    /// How long a key is still published after it has stopped signing: more than a token lives.
    #[arg(long, env = "AUTH_KEY_RETAIN", default_value = "1h")]
    pub(super) key_retain: Given<Duration>,

    /// Life of an access token. Where only `jwt` checks it, it cannot be revoked, so keep it short.
    #[arg(long, env = "AUTH_ACCESS_TOKEN_TTL", default_value = "15m")]
    pub(super) access_token_ttl: Given<Duration>,

    /// How long a login can be renewed with refresh tokens, counted from the login.
    #[arg(long, env = "AUTH_REFRESH_TOKEN_TTL", default_value = "30d")]
    pub(super) refresh_token_ttl: Given<Duration>,

    /// How long a spent refresh token still gives its successor, for a client that did not get
    /// the answer. Later it counts as stolen. 0s: at once.
    #[arg(long, env = "AUTH_REFRESH_GRACE", default_value = "30s")]
    pub(super) refresh_grace: Given<Duration>,

    /// Life of a token that a client exchanged a session for.
    #[arg(long, env = "AUTH_EXCHANGE_TTL", default_value = "10s")]
    pub(super) exchange_ttl: Given<Duration>,

    /// Audiences besides AUTH_AUDIENCE that a token can be exchanged for, separated by commas. A
    /// resource server with one of these accepts no token of a login.
    #[arg(long, env = "AUTH_EXCHANGE_AUDIENCES", default_value = "")]
    pub(super) exchange_audiences: Given<String>,

    /// Confidential clients: ID:SECRET:RIGHT+RIGHT, separated by commas. Rights are introspect,
    /// exchange, token and code (to log users in, see AUTH_REDIRECT_URIS). Secrets have at least 32 visible characters, without : and , (openssl rand
    /// -base64 32).
    #[arg(
        long,
        env = "AUTH_CLIENTS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub(super) clients: Given<Secret<String>>,

    /// Public clients of the authorization endpoint: ID=REDIRECT-URI, separated by commas; an ID may
    /// stand there several times. URIs are https, http on this machine, or of a scheme of the
    /// application's own (org.example.app:/path), and compared byte for byte, but for the port of
    /// 127.0.0.1 and ::1. A client gets what it asks for of the user's name and roles; there is no
    /// consent. The page at /page of this service is one without being named.
    #[arg(long, env = "AUTH_PUBLIC_CLIENTS", default_value = "")]
    pub(super) public_clients: Given<String>,

    /// Where codes for the clients of AUTH_CLIENTS with the right code may be sent, as in
    /// AUTH_PUBLIC_CLIENTS.
    #[arg(long, env = "AUTH_REDIRECT_URIS", default_value = "")]
    pub(super) redirect_uris: Given<String>,

    /// A session ends when it was not used for so long.
    #[arg(long, env = "AUTH_SESSION_IDLE_TTL", default_value = "30m")]
    pub(super) session_idle_ttl: Given<Duration>,

    /// A session ends so long after the login, however much it is used.
    #[arg(long, env = "AUTH_SESSION_ABSOLUTE_TTL", default_value = "12h")]
    pub(super) session_absolute_ttl: Given<Duration>,

    /// Both limits of a session are shortened by a random part of up to this fraction, so that
    /// sessions that began together do not end together. 0 is off.
    #[arg(long, env = "AUTH_SESSION_TTL_JITTER", default_value = "0.05")]
    pub(super) session_ttl_jitter: Given<f64>,

    /// The most logins of each kind, for tokens and for sessions, that a user has at a time, 1 to 1000.
    /// With one more the oldest ends.
    #[arg(long, env = "AUTH_LOGINS_PER_USER", default_value = "100")]
    pub(super) logins_per_user: Given<usize>,

    /// The form of the ids of new sessions: tagged or plain. Both are good when they are presented, but
    /// versions that know no tags take plain ones only: plain while such a version still runs beside
    /// this one, and for as long as a session lives before going back to it.
    #[arg(long, env = "AUTH_SESSION_IDS", default_value = "tagged")]
    pub(super) session_ids: Given<String>,

    /// Where sessions are; token logins work without it. One server:
    /// redis://USER:PASSWORD@HOST:6379/0, of which only HOST is needed. The primary that sentinels know
    /// by NAME: redis+sentinel://USER:PASSWORD@HOST:26379,HOST,HOST/NAME/0 with all sentinels, of which
    /// more than half must answer, and ?sentinel_user=USER&sentinel_password=PASSWORD where they ask
    /// for a login of their own. A cluster: redis+cluster://USER:PASSWORD@HOST:6379,HOST,HOST with any of
    /// its nodes. Over TLS: rediss://, rediss+sentinel:// and rediss+cluster://.
    #[arg(
        long,
        env = "AUTH_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    pub(super) redis_url: Given<Secret<String>>,

    /// For a URL that begins with rediss, which is Redis over TLS: a file (PEM) with the authorities
    /// that its certificate may be from. Default: those that the system trusts.
    #[arg(
        long,
        env = "AUTH_REDIS_CA_FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) redis_ca: Given<Option<PathBuf>>,

    /// How long one call to Redis may take.
    #[arg(long, env = "AUTH_REDIS_TIMEOUT", default_value = "250ms")]
    pub(super) redis_timeout: Given<Duration>,

    /// Memory of one Argon2id run in KiB.
    #[arg(long, env = "AUTH_ARGON2_MEMORY_KIB", default_value = "19456")]
    pub(super) argon2_memory_kib: Given<u32>,

    /// Passes of one Argon2id run.
    #[arg(long, env = "AUTH_ARGON2_ITERATIONS", default_value = "2")]
    pub(super) argon2_iterations: Given<u32>,

    /// Argon2id runs at a time. Default: one for each core.
    #[arg(
        long,
        env = "AUTH_ARGON2_CONCURRENCY",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) argon2_concurrency: Given<Threads>,

    /// Argon2id runs that may wait for their turn, which is taken in turn by address. Beyond it who
    /// has most of them waiting is answered 503.
    #[arg(long, env = "AUTH_ARGON2_QUEUE", default_value = "256")]
    pub(super) argon2_queue: Given<usize>,

    /// Failed logins of one account at one address: so many at once, and as many in each time.
    #[arg(
        long,
        env = "AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS",
        default_value = "10/15m"
    )]
    pub(super) login_limit_account_at_address: Given<String>,

    /// Failed logins from one address (of IPv6: one /64), whatever the account.
    #[arg(long, env = "AUTH_LOGIN_LIMIT_ADDRESS", default_value = "100/15m")]
    pub(super) login_limit_address: Given<String>,

    /// Failed logins of one account, from all addresses that it was not logged in from before.
    #[arg(long, env = "AUTH_LOGIN_LIMIT_ACCOUNT", default_value = "50/15m")]
    pub(super) login_limit_account: Given<String>,

    /// How long after a login its address is known: there the account's own budget is the only one.
    #[arg(long, env = "AUTH_LOGIN_KNOWN_FOR", default_value = "90d")]
    pub(super) login_known_for: Given<Duration>,

    /// Peers whose X-Forwarded-For is believed: networks and addresses, separated by commas. It must
    /// be the gateway.
    #[arg(
        long,
        env = "AUTH_TRUSTED_PROXIES",
        default_value = "127.0.0.0/8,::1/128"
    )]
    pub(super) trusted_proxies: Given<String>,

    /// Proxies in front that add to X-Forwarded-For, counted from here: the client is so many
    /// elements from its end. 1: clients speak to the gateway. 2: to a proxy of yours before it, and
    /// the gateway has GATEWAY_TRUSTED_HOPS=1. With a number too small all clients share one address.
    #[arg(long, env = "AUTH_TRUSTED_HOPS", default_value = "1")]
    pub(super) trusted_hops: Given<NonZeroUsize>,

    /// Name of an administrator to make at the start when there is no user of that name.
    #[arg(
        long,
        env = "AUTH_ADMIN_USERNAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) admin_username: Given<Option<String>>,

    /// Password of that administrator.
    #[arg(
        long,
        env = "AUTH_ADMIN_PASSWORD",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub(super) admin_password: Given<Option<Secret<String>>>,

    /// After the signal to stop: how long to go on serving, not ready, for those who have not heard
    /// of it. Longer than an address of this replica may be believed. Another signal ends it.
    #[arg(long, env = "AUTH_DRAIN_GRACE", default_value = "1s")]
    pub(super) drain_grace: Given<Duration>,

    /// How long open requests may take after that.
    #[arg(long, env = "AUTH_DRAIN_TIMEOUT", default_value = "10s")]
    pub(super) drain_timeout: Given<Duration>,

    #[command(flatten)]
    pub(super) telemetry: TelemetryArgs,
}
