//! What `API_REDIS_URL` and `AUTH_REDIS_URL` say: where Redis is, and as whom to log in.
//!
//! | form | is |
//! | --- | --- |
//! | `redis://[USER:PASSWORD@]HOST[:6379][/DB]` | one server, or a name that leads to the one in charge |
//! | `redis+unix:///PATH[?db=DB&user=USER&pass=PASSWORD]` | one server, by its Unix socket |
//! | `redis+sentinel://[USER:PASSWORD@]HOST[:26379],…/NAME[/DB][?sentinel_user=…&sentinel_password=…]` | the primary that sentinels know by NAME |
//! | `redis+cluster://[USER:PASSWORD@]HOST[:6379],…` | a cluster, found by any of these nodes |
//!
//! With `rediss` in place of `redis` each is spoken to over TLS. User and password are those of
//! Redis; sentinels have their own, or none. What stands for itself in a URL (`/ ? # @ % : ,`) is
//! percent-encoded in a user, a password and a name (RFC 3986 §2.1).
//!
//! The forms of one server are read by the Redis library, the others here: a URL has one host.

mod error;
mod node;

use std::{fmt, net::Ipv6Addr, str::FromStr};

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult};

pub use self::error::UrlError;
pub(in crate::session) use self::node::Node;
use crate::config::Secret;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where Redis is, and as whom to log in. `Debug` shows no user and no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    topology: Topology,
    tls: bool,
    login: Login,
    database: i64,
}

/// How many servers there are, and how the one in charge is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// One, or what leads to it.
    Server(ConnectionAddr),
    /// Sentinels name it.
    Sentinel(SentinelUrl),
    /// Each is in charge of some slots. These nodes are asked which.
    Cluster(Vec<Node>),
}

/// Whom to ask for the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentinelUrl {
    /// The sentinels, at least one, each once.
    pub(super) sentinels: Vec<Node>,
    /// What they know the primary by: the first word of their `sentinel monitor`.
    pub(super) primary: String,
    /// As whom to log in to them.
    login: Login,
}

/// A user of Redis' ACL; without a name, the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Login {
    user: Option<Secret<String>>,
    password: Option<Secret<String>>,
}

impl FromStr for RedisUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return server(text, false);
        };
        let scheme = scheme.to_ascii_lowercase();
        let tls = scheme.starts_with("rediss");
        match scheme.as_str() {
            "redis+sentinel" | "rediss+sentinel" => sentinel(rest, tls),
            "redis+cluster" | "rediss+cluster" => cluster(rest, tls),
            "rediss" if rest.contains('#') => Err(UrlError::Fragment),
            // The library refuses TLS without features of its own that are not needed here.
            "rediss" => server(&format!("redis://{rest}"), tls),
            _ => server(text, tls),
        }
    }
}

impl RedisUrl {
    /// Whether Redis is to be spoken to over TLS.
    #[must_use]
    pub fn is_over_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is one of a cluster, where several servers share what there is.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// The same login at one node of a cluster.
    pub(super) fn of_node(&self, node: &Node) -> Self {
        Self {
            topology: Topology::Server(node.clone().into()),
            ..self.clone()
        }
    }

    /// How many servers there are, and how to find the one in charge.
    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The number of the database.
    pub(super) fn database(&self) -> i64 {
        self.database
    }

    /// How to log in to a server at this address. TLS is not part of it.
    pub(super) fn at(&self, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let settings = self.login.settings().set_db(self.database);
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }
}

impl SentinelUrl {
    /// How to log in to one of the sentinels. TLS is not part of it.
    pub(super) fn at(&self, sentinel: &Node) -> RedisResult<ConnectionInfo> {
        let address = ConnectionAddr::from(sentinel.clone());
        Ok(address
            .into_connection_info()?
            .set_redis_settings(self.login.settings()))
    }
}

/// Addresses and database, without credentials.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[Node]| {
            let texts: Vec<_> = nodes.iter().map(Node::to_string).collect();
            texts.join(",")
        };
        match &self.topology {
            Topology::Server(address) => write!(f, "{address}")?,
            Topology::Sentinel(url) => write!(f, "{}/{}", list(&url.sentinels), url.primary)?,
            Topology::Cluster(nodes) => f.write_str(&list(nodes))?,
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl")
            .field("topology", &self.topology)
            .field("tls", &self.tls)
            .field("login", &self.login)
            .field("database", &self.database)
            .finish()
    }
}

impl Login {
    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = &self.user {
            settings = settings.set_username(user.expose());
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose());
        }
        settings
    }

    /// Reads what stands before the `@`.
    fn read(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        let password = decode(password).filter(|password| !password.is_empty())?;
        let user = decode(user)?;
        Some(Self {
            user: (!user.is_empty()).then(|| Secret::new(user)),
            password: Some(Secret::new(password)),
        })
    }
}

/// A URL of one server, which the library reads.
fn server(text: &str, tls: bool) -> Result<RedisUrl, UrlError> {
    let info = text.into_connection_info().map_err(|_| UrlError::Form)?;
    if matches!(info.addr(), ConnectionAddr::Tcp(host, _) if host.contains(',')) {
        return Err(UrlError::Several);
    }
    let redis = info.redis_settings();
    let secret = |text: &str| Secret::new(text.to_owned());
    Ok(RedisUrl {
        topology: Topology::Server(info.addr().clone()),
        tls,
        login: Login {
            user: redis.username().map(secret),
            password: redis.password().map(secret),
        },
        database: redis.db(),
    })
}

fn sentinel(rest: &str, tls: bool) -> Result<RedisUrl, UrlError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, sentinels, path) = addresses(rest, SENTINEL_PORT)?;
    let (primary, database) = path.split_once('/').unwrap_or((path, ""));
    let primary = decode(primary).filter(|name| !name.is_empty());
    let database = match database {
        "" => 0,
        digits => digits.parse::<u32>().map_err(|_| UrlError::Database)?,
    };
    Ok(RedisUrl {
        topology: Topology::Sentinel(SentinelUrl {
            sentinels,
            primary: primary.ok_or(UrlError::Primary)?,
            login: parameters(query)?,
        }),
        tls,
        login,
        database: database.into(),
    })
}

fn cluster(rest: &str, tls: bool) -> Result<RedisUrl, UrlError> {
    let (login, nodes, behind) = addresses(rest, REDIS_PORT)?;
    if !matches!(behind, "" | "0") {
        return Err(UrlError::BehindNodes);
    }
    Ok(RedisUrl {
        topology: Topology::Cluster(nodes),
        tls,
        login,
        database: 0,
    })
}

/// Login and addresses, and what is behind the first slash.
fn addresses(text: &str, default_port: u16) -> Result<(Login, Vec<Node>, &str), UrlError> {
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    let (authority, path) = text.split_once('/').unwrap_or((text, ""));
    let (login, list) = match authority.rsplit_once('@') {
        Some((login, list)) => (Login::read(login).ok_or(UrlError::Login)?, list),
        None => (Login::default(), authority),
    };
    let mut nodes = Vec::new();
    for (text, number) in list.split(',').zip(1..) {
        let node = node(text, default_port).ok_or(UrlError::Address(number))?;
        if nodes.contains(&node) {
            return Err(UrlError::Twice(number));
        }
        nodes.push(node);
    }
    Ok((login, nodes, path))
}

fn node(text: &str, default_port: u16) -> Option<Node> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() || !host.bytes().all(is_of_names) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        "" => default_port,
        port => {
            let digits = port.strip_prefix(':')?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|port| is_number && *port > 0)?
        }
    };
    Some(Node {
        host: host.to_owned(),
        port,
    })
}

/// Reads the parameters: as whom to log in to the sentinels.
fn parameters(query: &str) -> Result<Login, UrlError> {
    let mut login = Login::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "sentinel_user" => &mut login.user,
            "sentinel_password" => &mut login.password,
            _ => return Err(UrlError::Parameter),
        };
        let value = decode(value).filter(|value| !value.is_empty());
        let value = Secret::new(value.ok_or(UrlError::SentinelLogin)?);
        if place.replace(value).is_some() {
            return Err(UrlError::Parameter);
        }
    }
    if login.user.is_some() && login.password.is_none() {
        return Err(UrlError::SentinelLogin);
    }
    Ok(login)
}

/// Percent-encoded text; `None` when it is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests;
