//! What is to be started: every process with its port, its variables and its stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Client, StackError, ports::Reservation, process::Spec, programs, readiness::Probe,
    secrets::Secrets,
};
use crate::subject::strategy::Strategy;

/// What a stack consists of. Variables of this process reach every child, so that for example
/// `AUTH_ALGORITHM` or `OTEL_EXPORTER_OTLP_ENDPOINT` can be set for a whole stack from outside;
/// addresses, strategies and the other values that make it a stack are set here and win.
#[derive(Clone)]
pub struct StackOptions {
    /// One pool each, of [`crate::subject::strategy::KNOWN_STRATEGIES`].
    pub strategies: Vec<String>,
    /// Further pools: their own name and the strategy of their replicas.
    pub further_pools: Vec<(String, Strategy)>,
    /// API processes per strategy.
    pub replicas: usize,
    /// Whose Redis.
    pub redis: RedisSource,
    /// Where our own programs are; unset: beside this executable, then in PATH.
    pub bin_dir: Option<PathBuf>,
    /// Worker threads of each API process.
    pub api_workers: usize,
    /// Worker threads of the auth service.
    pub auth_workers: usize,
    /// Threads of the gateway.
    pub gateway_threads: usize,
    /// Variables for every process of a role; they win over all others.
    pub environment: Vec<(Role, String, String)>,
    /// How long the whole may take to become ready.
    pub start_deadline: Duration,
    /// By which way each process reaches the auth service and a Redis of the stack's own; `None`:
    /// directly.
    pub detour: Option<Detour>,
    /// Cancelling it makes a start fail with [`StackError::Interrupted`].
    pub interrupt: CancellationToken,
}

/// Gives the address to use in place of that of a link's end. Called for each link before anything
/// is started, so that all of them can lead through something from the first connection on.
pub type Detour = Arc<dyn Fn(&Link, SocketAddr) -> std::io::Result<SocketAddr> + Send + Sync>;

/// Who connects to whom, by the names of the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Such as `api-jwt-1` or `gateway`.
    pub from: String,
    /// `redis` or `auth-service`.
    pub to: &'static str,
}

/// Whose Redis a stack uses.
#[derive(Clone)]
pub enum RedisSource {
    /// Its own, without persistence.
    Child,
    /// One that runs; it is neither started, nor broken, nor ended.
    Url(String),
}

/// Kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// auth-service
    Auth,
    /// api-service, every replica of every strategy
    Api,
    /// gateway
    Gateway,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            strategies: vec!["jwt".to_owned(), "session".to_owned()],
            further_pools: Vec::new(),
            replicas: 1,
            redis: RedisSource::Child,
            bin_dir: None,
            api_workers: 1,
            auth_workers: 1,
            gateway_threads: 1,
            environment: Vec::new(),
            detour: None,
            start_deadline: Duration::from_secs(60),
            interrupt: CancellationToken::new(),
        }
    }
}

impl StackOptions {
    /// Sets a variable for every process of a role.
    #[must_use]
    pub fn variable(mut self, role: Role, name: &str, value: &str) -> Self {
        self.environment
            .push((role, name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable for every process that is ours.
    #[must_use]
    pub fn variable_everywhere(self, name: &str, value: &str) -> Self {
        self.variable(Role::Auth, name, value)
            .variable(Role::Api, name, value)
            .variable(Role::Gateway, name, value)
    }
}

/// Addresses and processes of a stack that is about to be started.
pub(super) struct Plan {
    pub(super) gateway_url: String,
    pub(super) gateway_admin_url: String,
    pub(super) auth_url: String,
    pub(super) redis_url: String,
    pub(super) pools: BTreeMap<String, Vec<String>>,
    pub(super) clients: Vec<Client>,
    pub(super) folder: tempfile::TempDir,
    /// Each stage needs the one before it to be ready.
    pub(super) stages: Vec<Vec<Spec>>,
}

/// A replica that is about to be started.
struct Replica {
    pool: String,
    strategy: Strategy,
    name: String,
    port: Reservation,
}

impl Plan {
    pub(super) fn new(options: &StackOptions) -> Result<Self, StackError> {
        let programs = Programs::find(options.bin_dir.as_deref())?;
        let folder = tempfile::Builder::new()
            .prefix("statewise-")
            // Keys, users and logs are in it.
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(StackError::system("making a temporary folder"))?;
        let redis = redis(options, folder.path())?;
        let (auth, gateway, admin) = (reserve()?, reserve()?, reserve()?);
        let replicas = replicas(options)?;

        let urls = Urls {
            gateway: format!("http://{}", gateway.address),
            admin: format!("http://{}", admin.address),
            auth: format!("http://{}", auth.address),
            redis: match (&options.redis, &redis) {
                (RedisSource::Url(url), _) => url.clone(),
                (RedisSource::Child, redis) => redis
                    .as_ref()
                    .map(|spec| spec.url.clone())
                    .unwrap_or_default(),
            },
        };
        let pools = pools(&replicas);
        let secrets = Secrets::random()?;
        let context = Context {
            options,
            urls: &urls,
            secrets: &secrets,
            folder: folder.path(),
        };
        let exchanged: BTreeSet<String> = replicas
            .iter()
            .filter(|replica| replica.strategy.is_exchanged())
            .map(|replica| replica.pool.clone())
            .collect();
        let gateway = context.gateway(programs.gateway, (gateway, admin), &pools, &exchanged)?;
        let auth = context.auth(programs.auth, auth)?;
        let apis = replicas
            .into_iter()
            .map(|replica| context.api(programs.api.clone(), replica))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            stages: vec![redis.into_iter().collect(), vec![auth], apis, vec![gateway]],
            gateway_url: urls.gateway,
            gateway_admin_url: urls.admin,
            auth_url: urls.auth,
            redis_url: urls.redis,
            pools,
            clients: secrets.clients(),
            folder,
        })
    }
}

struct Programs {
    auth: PathBuf,
    api: PathBuf,
    gateway: PathBuf,
}

impl Programs {
    fn find(folder: Option<&Path>) -> Result<Self, StackError> {
        Ok(Self {
            auth: programs::own("auth-service", folder)?,
            api: programs::own("api-service", folder)?,
            gateway: programs::own("gateway", folder)?,
        })
    }
}

struct Urls {
    gateway: String,
    admin: String,
    auth: String,
    redis: String,
}

/// What the variables of every service are made from.
struct Context<'a> {
    options: &'a StackOptions,
    urls: &'a Urls,
    secrets: &'a Secrets,
    folder: &'a Path,
}

impl Context<'_> {
    fn auth(&self, program: PathBuf, port: Reservation) -> Result<Spec, StackError> {
        let data = self.folder.join("auth");
        let variables = vec![
            ("AUTH_LISTEN", port.address.to_string()),
            ("AUTH_WORKERS", self.options.auth_workers.to_string()),
            ("AUTH_DATA_DIR", data.display().to_string()),
            ("AUTH_ISSUER", self.issuer()),
            ("AUTH_AUDIENCE", AUDIENCE.to_owned()),
            ("AUTH_EXCHANGE_AUDIENCES", EXCHANGED_AUDIENCE.to_owned()),
            ("AUTH_REDIS_URL", self.way(AUTH, REDIS)?),
            ("AUTH_CLIENTS", self.secrets.auth_clients()),
            (
                "AUTH_KEY_ENCRYPTION_KEY",
                self.secrets.key_encryption_key.clone(),
            ),
        ];
        Ok(self.spec(Role::Auth, AUTH.to_owned(), program, vec![port], variables))
    }

    fn api(&self, program: PathBuf, replica: Replica) -> Result<Spec, StackError> {
        let auth = self.way(&replica.name, AUTH)?;
        let client = &self.secrets.api;
        let mut variables = vec![
            ("API_LISTEN", replica.port.address.to_string()),
            ("API_WORKERS", self.options.api_workers.to_string()),
            ("API_REPLICA", replica.name.clone()),
            ("API_JWKS_URL", format!("{auth}/.well-known/jwks.json")),
            ("API_INTROSPECTION_URL", format!("{auth}/oauth/introspect")),
            ("API_CLIENT_ID", client.id.clone()),
            ("API_CLIENT_SECRET", client.secret.clone()),
            ("API_STATE_KEYS", self.secrets.state_keys()),
            ("API_ISSUER", self.issuer()),
            ("API_AUDIENCE", audience(replica.strategy).to_owned()),
            ("API_REDIS_URL", self.way(&replica.name, REDIS)?),
        ];
        variables.extend(replica.strategy.variables());
        Ok(self.spec(
            Role::Api,
            replica.name,
            program,
            vec![replica.port],
            variables,
        ))
    }

    fn gateway(
        &self,
        program: PathBuf,
        (port, admin): (Reservation, Reservation),
        pools: &BTreeMap<String, Vec<String>>,
        exchanged: &BTreeSet<String>,
    ) -> Result<Spec, StackError> {
        let mut routes = vec!["/auth=auth".to_owned()];
        let auth = self.way(GATEWAY, AUTH)?;
        let mut upstreams = vec![format!("auth={}", without_scheme(&auth))];
        for (pool, replicas) in pools {
            let addresses: Vec<&str> = replicas.iter().map(|url| without_scheme(url)).collect();
            routes.push(format!("/{pool}={pool}"));
            if exchanged.contains(pool) {
                // No credential is looked at there, so none is exchanged either.
                routes.push(format!("/{pool}/public={pool}/public"));
            }
            upstreams.push(format!("{pool}={}", addresses.join(",")));
        }
        let exchange_routes: Vec<String> =
            exchanged.iter().map(|pool| format!("/{pool}")).collect();
        let client = &self.secrets.gateway;
        let variables = vec![
            ("GATEWAY_LISTEN", port.address.to_string()),
            ("GATEWAY_ADMIN_LISTEN", admin.address.to_string()),
            ("GATEWAY_THREADS", self.options.gateway_threads.to_string()),
            ("GATEWAY_ROUTES", routes.join(",")),
            ("GATEWAY_POOLS", upstreams.join(";")),
            ("GATEWAY_EXCHANGE_ROUTES", exchange_routes.join(",")),
            ("GATEWAY_EXCHANGE_AUDIENCE", EXCHANGED_AUDIENCE.to_owned()),
            ("GATEWAY_CLIENT_ID", client.id.clone()),
            ("GATEWAY_CLIENT_SECRET", client.secret.clone()),
        ];
        Ok(self.spec(
            Role::Gateway,
            GATEWAY.to_owned(),
            program,
            vec![port, admin],
            variables,
        ))
    }

    /// The URL by which `from` reaches `to`.
    fn way(&self, from: &str, to: &'static str) -> Result<String, StackError> {
        let (scheme, url) = match to {
            REDIS => ("redis", &self.urls.redis),
            _ => ("http", &self.urls.auth),
        };
        let found = matches!(self.options.redis, RedisSource::Url(_)) && to == REDIS;
        let (Some(detour), false) = (&self.options.detour, found) else {
            return Ok(url.clone());
        };
        let link = Link {
            from: from.to_owned(),
            to,
        };
        let address = url.split_once("://").and_then(|(_, at)| at.parse().ok());
        let address = address.expect("the URLs of our own processes are addresses");
        let way = detour(&link, address)
            .map_err(StackError::system(format!("the way from {from} to {to}")))?;
        Ok(format!("{scheme}://{way}"))
    }

    fn issuer(&self) -> String {
        format!("{}/auth", self.urls.gateway)
    }

    fn spec(
        &self,
        role: Role,
        name: String,
        program: PathBuf,
        ports: Vec<Reservation>,
        variables: Vec<(&str, String)>,
    ) -> Spec {
        let (public, probed) = (ports[0].address, ports[ports.len() - 1].address);
        let own = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let asked = self
            .options
            .environment
            .iter()
            .filter(|(of, ..)| *of == role)
            .map(|(_, name, value)| (name.clone(), value.clone()));
        Spec {
            log: self.folder.join(format!("{name}.log")),
            name,
            program,
            arguments: Vec::new(),
            environment: own.chain(asked).collect(),
            url: format!("http://{public}"),
            probe: Probe::Http(probed),
            ports,
        }
    }
}

const REDIS: &str = "redis";
const AUTH: &str = "auth-service";
const GATEWAY: &str = "gateway";

/// The audience of the access tokens of logins.
const AUDIENCE: &str = "statewise-api";
/// The audience of those that the gateway exchanges: whoever takes them takes no token of a login.
const EXCHANGED_AUDIENCE: &str = "statewise-exchanged";

fn audience(strategy: Strategy) -> &'static str {
    if strategy.is_exchanged() {
        EXCHANGED_AUDIENCE
    } else {
        AUDIENCE
    }
}

fn reserve() -> Result<Reservation, StackError> {
    Reservation::loopback().map_err(StackError::system("reserving a port on 127.0.0.1"))
}

/// A Redis that keeps nothing on disk and refuses writes rather than forget sessions.
fn redis(options: &StackOptions, folder: &Path) -> Result<Option<Spec>, StackError> {
    if let RedisSource::Url(_) = options.redis {
        return Ok(None);
    }
    let program = programs::redis()?;
    let port = reserve()?;
    let arguments = [
        ("--bind", port.address.ip().to_string()),
        ("--port", port.address.port().to_string()),
        ("--save", String::new()),
        ("--appendonly", "no".to_owned()),
        ("--maxmemory-policy", "noeviction".to_owned()),
        ("--dir", folder.display().to_string()),
    ];
    Ok(Some(Spec {
        name: REDIS.to_owned(),
        program,
        arguments: arguments
            .into_iter()
            .flat_map(|(name, value)| [OsString::from(name), OsString::from(value)])
            .collect(),
        environment: Vec::new(),
        url: format!("redis://{}", port.address),
        probe: Probe::Redis(port.address),
        log: folder.join("redis.log"),
        ports: vec![port],
    }))
}

fn replicas(options: &StackOptions) -> Result<Vec<Replica>, StackError> {
    let mut replicas = Vec::new();
    let mut pools = Vec::new();
    for name in &options.strategies {
        let strategy =
            Strategy::named(name).ok_or_else(|| StackError::UnknownStrategy(name.clone()))?;
        pools.push((name.clone(), strategy));
    }
    pools.extend(options.further_pools.iter().cloned());
    for (name, strategy) in pools {
        for number in 1..=options.replicas {
            replicas.push(Replica {
                pool: name.clone(),
                name: format!("api-{name}-{number}"),
                strategy,
                port: reserve()?,
            });
        }
    }
    Ok(replicas)
}

fn pools(replicas: &[Replica]) -> BTreeMap<String, Vec<String>> {
    let mut pools = BTreeMap::<String, Vec<String>>::new();
    for replica in replicas {
        let pool = pools.entry(replica.pool.clone());
        let url = format!("http://{}", replica.port.address);
        pool.or_default().push(url);
    }
    pools
}

fn without_scheme(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}
