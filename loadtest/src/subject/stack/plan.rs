//! What is to be started: every process with its port, its variables and its stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::{
    Client, GatewayUrls, StackError,
    folder::Folder,
    options::{Link, RedisSource, Role, StackOptions},
    ports::Reservation,
    process::Spec,
    programs::Programs,
    readiness::Probe,
    secrets::Secrets,
    stores::{REDIS, Stores, reserve},
    variables::identity,
};
use crate::subject::strategy::Strategy;

/// Addresses and processes of a stack that is about to be started.
pub(super) struct Plan {
    pub(super) gateways: Vec<GatewayUrls>,
    pub(super) auth_urls: Vec<String>,
    pub(super) redis_url: String,
    pub(super) pools: BTreeMap<String, Vec<String>>,
    pub(super) clients: Vec<Client>,
    pub(super) folder: Folder,
    pub(super) database: Option<Folder>,
    /// Each stage needs the one before it to be ready.
    pub(super) stages: Vec<Vec<Spec>>,
}

/// A replica that is about to be started.
struct Replica {
    pool: String,
    strategy: Strategy,
    name: String,
    /// In its pool, from 0.
    number: usize,
    port: Reservation,
}

impl Plan {
    pub(super) fn new(options: &StackOptions) -> Result<Self, StackError> {
        let programs = Programs::find(options.bin_dir.as_deref())?;
        let folder = Folder::make("stack")?;
        let stores = Stores::prepare(options, folder.path())?;
        let auths = numbered(AUTH, options.auth_replicas)?;
        let gateways = numbered(GATEWAY, options.gateways)?
            .into_iter()
            .map(|(name, port)| Ok((name, port, reserve()?)))
            .collect::<Result<Vec<_>, StackError>>()?;
        let replicas = replicas(options)?;
        let http = |port: &Reservation| format!("http://{}", port.address);
        let urls = Urls {
            gateways: gateways
                .iter()
                .map(|(_, port, admin)| GatewayUrls {
                    url: http(port),
                    admin: http(admin),
                })
                .collect(),
            auths: auths.iter().map(|(_, port)| http(port)).collect(),
            redis: stores.redis_url,
            database: stores.database_url,
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
        let gateways = gateways
            .into_iter()
            .map(|gateway| context.gateway(programs.gateway.clone(), gateway, &pools, &exchanged))
            .collect::<Result<_, _>>()?;
        let auths = auths
            .into_iter()
            .map(|auth| context.auth(programs.auth.clone(), auth))
            .collect::<Result<_, _>>()?;
        let apis = replicas
            .into_iter()
            .map(|replica| context.api(programs.api.clone(), replica))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            stages: vec![stores.specs, auths, apis, gateways],
            gateways: urls.gateways,
            auth_urls: urls.auths,
            redis_url: urls.redis,
            pools,
            clients: secrets.clients(),
            folder,
            database: stores.database,
        })
    }
}

struct Urls {
    gateways: Vec<GatewayUrls>,
    auths: Vec<String>,
    redis: String,
    /// With the password.
    database: Option<String>,
}

/// What the variables of every service are made from.
struct Context<'a> {
    options: &'a StackOptions,
    urls: &'a Urls,
    secrets: &'a Secrets,
    folder: &'a Path,
}

impl Context<'_> {
    fn auth(
        &self,
        program: PathBuf,
        (name, port): (String, Reservation),
    ) -> Result<Spec, StackError> {
        let data = self.folder.join(&name);
        let mut variables = vec![
            ("AUTH_LISTEN", port.address.to_string()),
            ("AUTH_WORKERS", self.options.auth_workers.to_string()),
            ("AUTH_DATA_DIR", data.display().to_string()),
            ("AUTH_ISSUER", self.issuer()),
            ("AUTH_AUDIENCE", AUDIENCE.to_owned()),
            ("AUTH_EXCHANGE_AUDIENCES", EXCHANGED_AUDIENCE.to_owned()),
            ("AUTH_REDIS_URL", self.way(&name, REDIS, &self.urls.redis)?),
            ("AUTH_CLIENTS", self.secrets.auth_clients()),
            (
                "AUTH_KEY_ENCRYPTION_KEY",
                self.secrets.key_encryption_key.clone(),
            ),
        ];
        variables.extend(
            self.urls
                .database
                .clone()
                .map(|url| ("AUTH_DATABASE_URL", url)),
        );
        variables.extend(identity(AUTH, &name));
        Ok(self.spec(Role::Auth, name, program, vec![port], variables))
    }

    fn api(&self, program: PathBuf, replica: Replica) -> Result<Spec, StackError> {
        // Of several auth services each replica asks one.
        let auths = &self.urls.auths;
        let auth = self.way(&replica.name, AUTH, &auths[replica.number % auths.len()])?;
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
            (
                "API_REDIS_URL",
                self.way(&replica.name, REDIS, &self.urls.redis)?,
            ),
        ];
        variables.extend(replica.strategy.variables());
        // A service of its own for each pool: what is measured is not one thing in the traces.
        variables.extend(identity(&format!("api-{}", replica.pool), &replica.name));
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
        (name, port, admin): (String, Reservation, Reservation),
        pools: &BTreeMap<String, Vec<String>>,
        exchanged: &BTreeSet<String>,
    ) -> Result<Spec, StackError> {
        let mut routes = vec!["/auth=auth".to_owned()];
        // RFC 8414 §3.1 puts the path of the issuer behind the well-known one.
        for document in ["oauth-authorization-server", "openid-configuration"] {
            routes.push(format!(
                "/.well-known/{document}=auth/.well-known/{document}"
            ));
        }
        let auths = self.urls.auths.iter();
        let auths = auths
            .map(|url| Ok(without_scheme(&self.way(&name, AUTH, url)?).to_owned()))
            .collect::<Result<Vec<_>, StackError>>()?;
        let mut upstreams = vec![format!("auth={}", auths.join(","))];
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
        let mut variables = vec![
            ("GATEWAY_LISTEN", port.address.to_string()),
            ("GATEWAY_ADMIN_LISTEN", admin.address.to_string()),
            ("GATEWAY_THREADS", self.options.gateway_threads.to_string()),
            // All load comes from one address.
            (
                "GATEWAY_MAX_CONNECTIONS_PER_ADDRESS",
                usize::MAX.to_string(),
            ),
            (
                "GATEWAY_FRONT_PAGE",
                format!(
                    "gateway=http://{},metrics=http://{}/metrics",
                    port.address, admin.address
                ),
            ),
            ("GATEWAY_ROUTES", routes.join(",")),
            ("GATEWAY_POOLS", upstreams.join(";")),
            ("GATEWAY_EXCHANGE_ROUTES", exchange_routes.join(",")),
            ("GATEWAY_EXCHANGE_AUDIENCE", EXCHANGED_AUDIENCE.to_owned()),
            ("GATEWAY_CLIENT_ID", client.id.clone()),
            ("GATEWAY_CLIENT_SECRET", client.secret.clone()),
            // Who drives this system may look at a request from its first span on.
            ("GATEWAY_TRUST_TRACE", "true".to_owned()),
        ];
        variables.extend(identity(GATEWAY, &name));
        Ok(self.spec(Role::Gateway, name, program, vec![port, admin], variables))
    }

    /// The URL by which `from` reaches `to`, which is at `url`.
    fn way(&self, from: &str, to: &'static str, url: &str) -> Result<String, StackError> {
        let found = matches!(self.options.redis, RedisSource::Url(_)) && to == REDIS;
        let (Some(detour), false) = (&self.options.detour, found) else {
            return Ok(url.to_owned());
        };
        let link = Link {
            from: from.to_owned(),
            to,
        };
        let (scheme, address) = url
            .split_once("://")
            .and_then(|(scheme, at)| Some((scheme, at.parse().ok()?)))
            .expect("the URLs of our own processes are addresses");
        let way = detour(&link, address)
            .map_err(StackError::system(format!("the way from {from} to {to}")))?;
        Ok(format!("{scheme}://{way}"))
    }

    fn issuer(&self) -> String {
        format!("{}/auth", self.urls.gateways[0].url)
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
            account: None,
            ended_by: Signal::KILL,
            url: format!("http://{public}"),
            probe: Probe::Http(probed),
            ports,
        }
    }
}

const AUTH: &str = "auth-service";
const GATEWAY: &str = "gateway";

/// The audience of the access tokens of logins.
const AUDIENCE: &str = "statewise-api";
/// The audience of those that the gateway exchanges: whoever takes them takes no token of a login.
pub const EXCHANGED_AUDIENCE: &str = "statewise-exchanged";

fn audience(strategy: Strategy) -> &'static str {
    if strategy.is_exchanged() {
        EXCHANGED_AUDIENCE
    } else {
        AUDIENCE
    }
}

/// Names of so many processes, each with a port. The only one has no number.
fn numbered(name: &str, count: usize) -> Result<Vec<(String, Reservation)>, StackError> {
    let one = |number: usize| {
        let name = match count {
            1 => name.to_owned(),
            _ => format!("{name}-{number}"),
        };
        Ok((name, reserve()?))
    };
    (1..=count.max(1)).map(one).collect()
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
        for number in 0..options.replicas {
            replicas.push(Replica {
                pool: name.clone(),
                name: format!("api-{name}-{}", number + 1),
                strategy,
                number,
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
