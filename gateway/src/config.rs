//! Configuration: environment variables, all checked before anything starts.

mod exchange;
mod links;
mod pools;

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroUsize},
    thread::available_parallelism,
    time::Duration,
};

use clap::Parser;
use http::Uri;
use shared::{
    config::{Faults, Given},
    shutdown::Drain,
    telemetry::{TelemetryArgs, TelemetrySettings},
};

pub use self::pools::PoolConfig;
use self::pools::{Pools, Routes};
use crate::{
    deadline::Timeouts,
    exchange::ExchangeSettings,
    front_page::FrontPageSettings,
    routes::RouteSettings,
    server::addresses::PerAddress,
    upstream::{check::HealthSettings, idle::Reuse},
};

/// The only public port: routes, balances, health-checks, retries, drains, follows scaling.
#[derive(Parser, Debug)]
#[command(name = "gateway", version)]
pub struct Raw {
    /// Address and port that clients come to.
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    listen: Given<SocketAddr>,

    /// Address and port for /metrics, /pools, /healthz and /readyz. Unset: they are on the public
    /// port; set: the public port has only /healthz and /readyz.
    #[arg(
        long,
        env = "GATEWAY_ADMIN_LISTEN",
        default_value = "",
        hide_default_value = true
    )]
    admin_listen: Given<Option<SocketAddr>>,

    /// Threads of the data path. Unset: one for each core.
    #[arg(
        long,
        env = "GATEWAY_THREADS",
        default_value = "",
        hide_default_value = true
    )]
    threads: Given<Option<usize>>,

    /// PREFIX=POOL[/PATH], separated by commas. The longest prefix wins; it is stripped, or PATH
    /// takes its place.
    #[arg(
        long,
        env = "GATEWAY_ROUTES",
        default_value = "/auth=auth,/jwt=jwt,/session=session,\
            /.well-known/oauth-authorization-server=auth/.well-known/oauth-authorization-server,\
            /.well-known/openid-configuration=auth/.well-known/openid-configuration"
    )]
    routes: Given<String>,

    /// NAME=MEMBERS, separated by semicolons. MEMBERS are IP:PORT separated by commas, or
    /// dns:NAME:PORT, which is resolved again and again.
    #[arg(
        long,
        env = "GATEWAY_POOLS",
        default_value = "auth=127.0.0.1:8081;jwt=127.0.0.1:8082;session=127.0.0.1:8083"
    )]
    pools: Given<String>,

    /// What the page at / says besides a request to try for each route: NAME=URL, separated by
    /// commas, such as gateway=http://127.0.0.1:8080,Jaeger=http://127.0.0.1:16686. The first is where
    /// clients reach this gateway. They are in the log too when it listens. Unset: / is 404. A route
    /// that takes / has it.
    #[arg(
        long,
        env = "GATEWAY_FRONT_PAGE",
        default_value = "",
        hide_default_value = true
    )]
    front_page: Given<String>,

    /// How often a dns: pool's name is resolved: the gateway keeps no address for longer, but what
    /// answers it may. An address that is gone gets no new request.
    #[arg(long, env = "GATEWAY_DNS_REFRESH", default_value = "1s")]
    dns_refresh: Given<Duration>,

    /// How often each upstream is asked whether it is ready.
    #[arg(long, env = "GATEWAY_HEALTH_INTERVAL", default_value = "500ms")]
    health_interval: Given<Duration>,

    /// How long an upstream may take to say so.
    #[arg(long, env = "GATEWAY_HEALTH_TIMEOUT", default_value = "1s")]
    health_timeout: Given<Duration>,

    /// What it is asked.
    #[arg(long, env = "GATEWAY_HEALTH_PATH", default_value = "/readyz")]
    health_path: Given<String>,

    /// Port that it is asked on, of upstreams that have one for their operators. Unset: the port of
    /// requests.
    #[arg(
        long,
        env = "GATEWAY_HEALTH_PORT",
        default_value = "",
        hide_default_value = true
    )]
    health_port: Given<Option<NonZeroU16>>,

    /// Failed checks in a row after which an upstream gets no requests. A plain 503 needs only one.
    #[arg(long, env = "GATEWAY_HEALTH_FALL", default_value = "2")]
    health_fall: Given<usize>,

    /// Passed checks in a row after which it gets requests again.
    #[arg(long, env = "GATEWAY_HEALTH_RISE", default_value = "1")]
    health_rise: Given<usize>,

    /// How long connecting to an upstream may take.
    #[arg(long, env = "GATEWAY_CONNECT_TIMEOUT", default_value = "1s")]
    connect_timeout: Given<Duration>,

    /// From the end of the request to the head of the upstream's answer.
    #[arg(long, env = "GATEWAY_RESPONSE_TIMEOUT", default_value = "30s")]
    response_timeout: Given<Duration>,

    /// How long a body may stand still, in either direction.
    #[arg(long, env = "GATEWAY_BODY_TIMEOUT", default_value = "30s")]
    body_timeout: Given<Duration>,

    /// Bytes a second that a client must send of a request's body, and take of an answer, on average
    /// and beyond GATEWAY_BODY_TIMEOUT for its beginning. The upstream's time does not count.
    #[arg(long, env = "GATEWAY_BODY_MIN_RATE", default_value = "500")]
    body_min_rate: Given<NonZeroUsize>,

    /// How long a client may take to send the head of a request.
    #[arg(long, env = "GATEWAY_HEADER_TIMEOUT", default_value = "10s")]
    header_timeout: Given<Duration>,

    /// How long a client's connection may wait for its next request.
    #[arg(long, env = "GATEWAY_KEEP_ALIVE", default_value = "75s")]
    keep_alive: Given<Duration>,

    /// How long an idle connection to an upstream is kept; less than the upstream keeps it.
    #[arg(long, env = "GATEWAY_UPSTREAM_IDLE", default_value = "4s")]
    upstream_idle: Given<Duration>,

    /// After what age a connection to an upstream is not used again.
    #[arg(long, env = "GATEWAY_UPSTREAM_MAX_AGE", default_value = "5m")]
    upstream_max_age: Given<Duration>,

    /// Idle connections kept for each upstream and thread.
    #[arg(long, env = "GATEWAY_UPSTREAM_MAX_IDLE", default_value = "128")]
    upstream_max_idle: Given<usize>,

    /// Client connections open at once; more wait in the listen queue. Lowered to what fits into
    /// the memory limit and the limit of open files.
    #[arg(long, env = "GATEWAY_MAX_CONNECTIONS", default_value = "8192")]
    max_connections: Given<usize>,

    /// Of these, how many one address (of IPv6: one /64) may have; more of it are closed. Unset: a
    /// quarter, and all of them with GATEWAY_TRUSTED_HOPS, where the proxy must see to it.
    #[arg(
        long,
        env = "GATEWAY_MAX_CONNECTIONS_PER_ADDRESS",
        default_value = "",
        hide_default_value = true
    )]
    max_connections_per_address: Given<Option<usize>>,

    /// Proxies of yours in front of this one. 0: X-Forwarded-* and Forwarded of clients are
    /// replaced. Otherwise they are kept, but of the lists of addresses only as many elements from
    /// the end as proxies wrote, so nobody else must reach this port.
    #[arg(long, env = "GATEWAY_TRUSTED_HOPS", default_value = "0")]
    trusted_hops: Given<usize>,

    /// MiB that this process may use. Unset: the memory limit of its control group.
    #[arg(
        long,
        env = "GATEWAY_MEMORY_LIMIT_MIB",
        default_value = "",
        hide_default_value = true
    )]
    memory_limit_mib: Given<Option<usize>>,

    /// true: traceparent and tracestate of clients are continued. false: each request begins a
    /// trace.
    #[arg(long, env = "GATEWAY_TRUST_TRACE", default_value = "false")]
    trust_trace: Given<bool>,

    /// After the signal to stop: how long to go on serving, not ready, for those who have not heard
    /// of it. Longer than a load balancer's list of gateways may be old. Another signal ends it.
    #[arg(long, env = "GATEWAY_DRAIN_GRACE", default_value = "1s")]
    drain_grace: Given<Duration>,

    /// How long open requests may take after that.
    #[arg(long, env = "GATEWAY_DRAIN_TIMEOUT", default_value = "10s")]
    drain_timeout: Given<Duration>,

    #[command(flatten)]
    exchange: exchange::ExchangeArgs,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients come in; bound by `main`.
    pub listen: SocketAddr,
    /// Where operators come in, if apart.
    pub admin_listen: Option<SocketAddr>,
    /// Threads of the data path.
    pub threads: usize,
    /// Prefix to pool.
    pub routes: Vec<RouteSettings>,
    /// Names and members.
    pub pools: Vec<PoolConfig>,
    /// What the page at `/` says, if there is one.
    pub front_page: Option<FrontPageSettings>,
    /// Where session ids are exchanged for tokens, if anywhere.
    pub exchange: Option<ExchangeSettings>,
    /// Time between two resolutions of a name.
    pub dns_refresh: Duration,
    /// Active health checks.
    pub health: HealthSettings,
    /// Deadlines of the data path.
    pub timeouts: Timeouts,
    /// Connections kept to upstreams.
    pub reuse: Reuse,
    /// Client connections open at once.
    pub max_connections: usize,
    /// Of these, those of one address.
    pub per_address: PerAddress,
    /// Proxies in front whose forwarding headers are kept.
    pub trusted_hops: usize,
    /// Bytes of memory that this process may use, in place of what its control group says.
    pub memory_limit: Option<u64>,
    /// Trace headers of clients are continued.
    pub trust_trace: bool,
    /// Deadlines of the drain.
    pub drain: Drain,
    /// Logs, traces.
    pub telemetry: TelemetrySettings,
}

/// Checks what the environment says; notes every fault.
pub fn check(raw: Raw, faults: &mut Faults) -> Option<Config> {
    let pools = Pools::parse(&raw.pools, faults);
    let routes = Routes::parse(&raw.routes, faults);
    let health = check_health(&raw, faults);
    let timeouts = check_timeouts(&raw, faults);
    let reuse = check_reuse(&raw, faults);
    let drain = check_drain(&raw, faults);
    let listen = raw.listen.value(faults);
    let admin_listen = raw.admin_listen.value(faults);
    let threads = raw.threads.checked(faults, |count| {
        let cores = || Ok(available_parallelism().map_or(1, usize::from));
        count.map_or_else(cores, at_least_one)
    });
    let dns_refresh = raw.dns_refresh.positive(faults);
    let max_connections = raw.max_connections.checked(faults, at_least_one);
    let trusted_hops = raw.trusted_hops.value(faults);
    let per_address = raw
        .max_connections_per_address
        .checked(faults, |number| number.map(at_least_one).transpose());
    let memory_limit = raw
        .memory_limit_mib
        .checked(faults, |mib| mib.map(at_least_one).transpose());
    let trust_trace = raw.trust_trace.value(faults);
    let (exchanging, exchange) = raw.exchange.check(&routes, &pools, faults);
    let routes = routes.resolve(&pools, &exchanging, faults);
    let front_page = raw.front_page.checked(faults, links::parse);
    let telemetry = raw.telemetry.check(faults);
    Some(Config {
        listen: listen?,
        admin_listen: admin_listen?,
        threads: threads?,
        routes: routes?,
        pools: pools.all,
        front_page: front_page?,
        exchange,
        dns_refresh: dns_refresh?,
        health: health?,
        timeouts: timeouts?,
        reuse: reuse?,
        max_connections: max_connections?,
        per_address: match (per_address?, trusted_hops?) {
            (Some(number), _) => PerAddress::AtMost(number),
            (None, 0) => PerAddress::Quarter,
            (None, _) => PerAddress::All,
        },
        trusted_hops: trusted_hops?,
        memory_limit: memory_limit?.map(|mib| (mib as u64).saturating_mul(1 << 20)),
        trust_trace: trust_trace?,
        drain: drain?,
        telemetry,
    })
}

fn check_health(raw: &Raw, faults: &mut Faults) -> Option<HealthSettings> {
    let interval = raw.health_interval.positive(faults);
    let timeout = raw.health_timeout.positive(faults);
    let path = raw.health_path.checked(faults, path);
    let port = raw.health_port.value(faults);
    let fall = raw.health_fall.checked(faults, at_least_one);
    let rise = raw.health_rise.checked(faults, at_least_one);
    Some(HealthSettings {
        interval: interval?,
        timeout: timeout?,
        path: path?.to_string(),
        port: port?.map(NonZeroU16::get),
        fall: fall?,
        rise: rise?,
    })
}

fn check_timeouts(raw: &Raw, faults: &mut Faults) -> Option<Timeouts> {
    let connect = raw.connect_timeout.positive(faults);
    let response = raw.response_timeout.positive(faults);
    let body = raw.body_timeout.positive(faults);
    let body_rate = raw.body_min_rate.value(faults);
    let header = raw.header_timeout.positive(faults);
    let keep_alive = raw.keep_alive.positive(faults);
    Some(Timeouts {
        connect: connect?,
        response: response?,
        body: body?,
        body_rate: body_rate?,
        header: header?,
        keep_alive: keep_alive?,
    })
}

fn check_reuse(raw: &Raw, faults: &mut Faults) -> Option<Reuse> {
    let idle = raw.upstream_idle.positive(faults);
    let max_age = raw.upstream_max_age.positive(faults);
    let max_idle = raw.upstream_max_idle.value(faults);
    Some(Reuse {
        idle: idle?,
        max_age: max_age?,
        max_idle: max_idle?,
    })
}

fn check_drain(raw: &Raw, faults: &mut Faults) -> Option<Drain> {
    let grace = raw.drain_grace.value(faults);
    let timeout = raw.drain_timeout.value(faults);
    Some(Drain {
        grace: grace?,
        timeout: timeout?,
    })
}

/// A path that a request may have, without encoding anything.
fn path(text: String) -> Result<Uri, String> {
    let path = text.trim();
    let plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    Some(path)
        .filter(|_| plain)
        .and_then(|path| path.parse().ok())
        .ok_or_else(|| format!("{path:?} is not a path that begins with a slash"))
}

fn at_least_one(count: usize) -> Result<usize, &'static str> {
    if count == 0 {
        return Err("must be at least 1");
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use crate::upstream::discovery::Members;

    fn checked(arguments: &[&str]) -> Result<Config, String> {
        let raw = Raw::try_parse_from(std::iter::once(&"gateway").chain(arguments)).unwrap();
        let mut faults = Faults::default();
        match check(raw, &mut faults) {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults.to_string()),
        }
    }

    #[test]
    fn addresses_and_names_are_both_pools() {
        let config = checked(&[
            "--pools",
            "auth=127.0.0.1:8081; jwt=dns:api-jwt:8082;session=10.0.0.2:1,[::1]:2,10.0.0.2:1",
        ])
        .unwrap();
        assert_eq!(config.pools.len(), 3);
        assert_eq!(
            config.pools[1].members,
            Members::Dns {
                host: "api-jwt".to_owned(),
                port: 8082
            }
        );
        let Members::Fixed(addresses) = &config.pools[2].members else {
            panic!("{:?}", config.pools[2]);
        };
        assert_eq!(addresses.len(), 2, "an address given twice is one member");
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = checked(&[
            "--listen=nowhere",
            "--admin-listen=:1",
            "--threads=0",
            "--routes=/a=p,b=p,/c=unknown,/a=p,/d/../e=p",
            "--pools=p=localhost:80;q=dns:x;=127.0.0.1:1;p=127.0.0.1:1",
            "--front-page=gateway=http://g,here,b=ftp://b,c=http://c/'",
            "--dns-refresh=0s",
            "--health-interval=1",
            "--health-path=readyz",
            "--health-fall=0",
            "--body-min-rate=0",
            "--keep-alive=soon",
            "--upstream-max-idle=-1",
            "--max-connections=many",
            "--max-connections-per-address=0",
            "--trusted-hops=some",
            "--memory-limit-mib=0",
            "--drain-grace=1 parsec",
            "--exchange-routes=/nowhere",
            "--exchange-pool=none",
            "--exchange-path=token",
            "--exchange-audience=a&b",
            "--exchange-cache=0",
            "--exchange-timeout=0s",
            "--client-secret=tooShortToBeASecret",
        ])
        .unwrap_err();
        for wanted in [
            "GATEWAY_LISTEN: \"nowhere\"",
            "GATEWAY_ADMIN_LISTEN: \":1\"",
            "GATEWAY_THREADS: must be at least 1",
            "GATEWAY_ROUTES: the path \"b\" does not begin with a slash",
            "GATEWAY_ROUTES: /c=unknown: GATEWAY_POOLS has no pool \"unknown\"",
            "GATEWAY_ROUTES: the prefix /a is there twice",
            "GATEWAY_ROUTES: the path \"/d/../e\" has an empty or dot segment",
            "GATEWAY_POOLS: \"localhost:80\" is not IP:PORT",
            "GATEWAY_POOLS: \"dns:x\" is not dns:NAME:PORT",
            "GATEWAY_POOLS: \"\" cannot name a pool",
            "GATEWAY_POOLS: the pool \"p\" is there twice",
            "GATEWAY_FRONT_PAGE: \"here\" is not NAME=URL",
            "GATEWAY_DNS_REFRESH: must be longer than zero",
            "GATEWAY_HEALTH_INTERVAL: \"1\" is not a duration",
            "GATEWAY_HEALTH_PATH: \"readyz\"",
            "GATEWAY_HEALTH_FALL: must be at least 1",
            "GATEWAY_BODY_MIN_RATE: \"0\"",
            "GATEWAY_KEEP_ALIVE: \"soon\"",
            "GATEWAY_UPSTREAM_MAX_IDLE: \"-1\"",
            "GATEWAY_MAX_CONNECTIONS: \"many\"",
            "GATEWAY_MAX_CONNECTIONS_PER_ADDRESS: must be at least 1",
            "GATEWAY_TRUSTED_HOPS: \"some\"",
            "GATEWAY_MEMORY_LIMIT_MIB: must be at least 1",
            "GATEWAY_DRAIN_GRACE: \"1 parsec\"",
            "GATEWAY_EXCHANGE_ROUTES: GATEWAY_ROUTES has no prefix \"/nowhere\"",
            "GATEWAY_EXCHANGE_POOL: GATEWAY_POOLS has no pool \"none\"",
            "GATEWAY_EXCHANGE_PATH: \"token\"",
            "GATEWAY_EXCHANGE_AUDIENCE: \"a&b\"",
            "GATEWAY_EXCHANGE_CACHE: must be at least 1",
            "GATEWAY_EXCHANGE_TIMEOUT: must be longer than zero",
            "GATEWAY_CLIENT_ID: \"\" is not a name",
            "GATEWAY_CLIENT_SECRET: the exchange needs a secret",
        ] {
            assert!(faults.contains(wanted), "{wanted} is missing in:\n{faults}");
        }
        assert!(!faults.contains("tooShort"), "{faults}");
    }

    #[test]
    fn the_secret_of_the_exchange_does_not_show_in_debug_output() {
        const SECRET: &str = "0123456789abcdef0123456789abcdef";
        let arguments = [
            "gateway",
            "--exchange-routes=/jwt",
            "--client-id=g",
            "--client-secret",
            SECRET,
        ];
        let raw = Raw::try_parse_from(arguments).unwrap();
        assert!(!format!("{raw:?}").contains(SECRET));
        let config = checked(&arguments[1..]).unwrap();
        assert!(!format!("{config:?}").contains(SECRET));
        let authorization = config.exchange.unwrap().authorization;
        let pair = STANDARD.encode(format!("g:{SECRET}"));
        assert_eq!(authorization, format!("Basic {pair}"));
        assert!(checked(&[]).unwrap().exchange.is_none());
    }
}
