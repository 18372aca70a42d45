//! A request through the whole service, strategy by strategy.
//!
//! Processor time, not elapsed time, on one worker with 32 connections busy, the client's part
//! included; what is another process, Redis and the authority, is not counted. `/public` is the bare
//! handler; what another line has more than that is what its check and its answer cost.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    time::Duration,
};

use api_service::{
    AnswerProfile, Authorities, Config, Introspection, IssuerSettings, JwksSettings, Jwt,
    JwtRevocable, KeySource, Phantom, Required, Session, SessionCached, StrategyConfig,
    TokenSettings, run,
};
use rustix::time::{ClockId, clock_gettime};
use shared::{
    clock::Clock,
    config::Secret,
    revocation::{Feed, FollowerSettings, WhenStale},
    server::ServerSettings,
    session::CacheSettings,
    shutdown::{CancellationToken, Drain},
    telemetry::{ResourceAttributes, TelemetrySettings, logs::LogSettings},
    token::RolesClaim,
};
use testkit::signer::{AUDIENCE, ISSUER, Signer, claims};
use tokio::runtime::{Builder, Runtime};

use crate::{
    authority::Authority,
    log_in, now, profile,
    redis::{Redis, Sessions as _},
    signers,
};

const CONNECTIONS: usize = 32;
/// Turns that each strategy gets, and requests of each connection in one.
const TURNS: usize = 40;
const REQUESTS: usize = 60;
/// Never within a run.
const NEVER: Duration = Duration::from_secs(3_600);

/// One strategy under load.
struct Arm {
    name: String,
    /// Each connection with the request that it repeats: every one is another login, so that what
    /// is shared among requests of one login is not.
    connections: Vec<(Connection, String)>,
    /// Microseconds of each turn, for one request.
    turns: Vec<f64>,
    service: Service,
}

/// Measures all strategies in turns and prints a table.
pub(crate) fn compare() {
    let redis = Redis::start();
    let authority = Authority::start();
    begin_feed(&redis);
    let mut arms = token_arms(&redis);
    arms.extend(id_arms(&redis, &authority));
    // The first turn warms up.
    for turn in 0..=TURNS {
        for arm in &mut arms {
            let took = arm.turn();
            if turn > 0 {
                arm.turns.push(took);
            }
        }
    }
    print(&mut arms);
    for arm in &arms {
        arm.print_memory();
    }
}

/// The feed of revocations, which holds nothing.
fn begin_feed(redis: &Redis) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let settings = redis.settings();
    runtime.block_on(async {
        let feed = Feed::open(settings.clone());
        while feed.inspect(None, now()).await.is_err() {
            tokio::task::yield_now().await;
        }
        feed.rebuild(&[], None, now()).await.unwrap().unwrap();
    });
    // Rounds of a publisher, until the process ends: no replica is ready without them.
    std::thread::spawn(move || {
        runtime.block_on(async {
            let feed = Feed::open(settings);
            loop {
                if let Ok(Some(round)) = feed.begin_round().await {
                    let _ = feed.end_round(round).await;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    });
}

#[expect(clippy::print_stdout, reason = "the table is the result")]
fn print(arms: &mut [Arm]) {
    let rows: Vec<(&str, f64, f64)> = arms
        .iter_mut()
        .map(|arm| {
            arm.turns.sort_by(f64::total_cmp);
            let quantile = |share: f64| arm.turns[(arm.turns.len() as f64 * share) as usize];
            (
                arm.name.as_str(),
                quantile(0.5),
                quantile(0.75) - quantile(0.25),
            )
        })
        .collect();
    let bare = rows[0].1;
    println!("request (CPU, median of {TURNS} turns, spread: quartiles)");
    println!(
        "{:<28} {:>9} {:>8} {:>11} {:>8}",
        "", "us", "spread", "above bare", "ratio"
    );
    for (name, median, spread) in rows {
        println!(
            "{name:<28} {median:>9.2} {spread:>8.2} {:>11.2} {:>8.2}",
            median - bare,
            median / bare
        );
    }
}

fn tokens(signer: &Signer, remembered: usize) -> TokenSettings {
    let keys = publish(signer.jwks());
    TokenSettings {
        issuer: IssuerSettings {
            profile: profile(),
            jwks: JwksSettings {
                issuer: ISSUER.to_owned(),
                keys: KeySource::At(format!("http://{keys}/").parse().unwrap()),
                authorities: Authorities::default(),
                refresh: NEVER,
                cooldown: NEVER,
                leeway: Duration::ZERO,
            },
        },
        others: Vec::new(),
        remembered,
    }
}

fn token_arms(redis: &Redis) -> Vec<Arm> {
    let mut arms = Vec::new();
    for (algorithm, signer) in signers() {
        let bearers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let mut claims = claims(now(), &["user"]);
                claims["jti"] = format!("t-{number:02}").into();
                signer.sign(&claims)
            })
            .collect();
        if algorithm == "RS256" {
            let bare = StrategyConfig::from(Jwt(tokens(&signer, 0)));
            arms.push(Arm::new(
                "bare: /public".to_owned(),
                bare,
                "/public",
                &bearers,
            ));
        }
        for (remembered, suffix) in [(0, ""), (10_000, ", remembered")] {
            let strategy = StrategyConfig::from(Jwt(tokens(&signer, remembered)));
            let name = format!("jwt {algorithm}{suffix}");
            arms.push(Arm::new(name, strategy, "/me", &bearers));
        }
        if algorithm == "RS256" {
            for (remembered, suffix) in [(0, ""), (10_000, ", remembered")] {
                let strategy = StrategyConfig::from(Phantom(tokens(&signer, remembered)));
                let name = format!("phantom {algorithm}{suffix}");
                arms.push(Arm::new(name, strategy, "/me", &bearers));
                let strategy = StrategyConfig::from(JwtRevocable {
                    tokens: tokens(&signer, remembered),
                    revocations: FollowerSettings {
                        store: redis.settings(),
                        max_age: NEVER,
                        when_stale: WhenStale::Refuse,
                    },
                });
                let name = format!("jwt-revocable {algorithm}{suffix}");
                arms.push(Arm::new(name, strategy, "/me", &bearers));
            }
        }
    }
    arms
}

/// The strategy session-cached with this Redis.
pub(crate) fn cached(redis: &Redis) -> StrategyConfig {
    StrategyConfig::from(SessionCached {
        store: redis.settings(),
        cache: CacheSettings {
            entries: NonZeroUsize::new(10_000).unwrap(),
            serve_stale: Duration::ZERO,
        },
    })
}

fn id_arms(redis: &Redis, authority: &Authority) -> Vec<Arm> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(redis.store());
    let bearers: Vec<_> = (0..CONNECTIONS)
        .map(|_| runtime.block_on(log_in(&store)).expose().to_owned())
        .collect();
    let introspection = |cache| {
        StrategyConfig::from(Introspection {
            profile: AnswerProfile {
                issuer: ISSUER.to_owned(),
                audience: AUDIENCE.to_owned(),
                leeway: Duration::from_secs(30),
                roles: RolesClaim::default(),
                required: Required::parse("active"),
            },
            url: authority.url(),
            authorities: Authorities::default(),
            client_id: "statewise-api".to_owned(),
            client_secret: Secret::new("a-secret-of-more-than-32-characters".to_owned()),
            timeout: Duration::from_secs(1),
            cache,
        })
    };
    [
        ("session", StrategyConfig::from(Session(redis.settings()))),
        ("session-cached", cached(redis)),
        ("introspection", introspection(Duration::ZERO)),
        ("introspection, kept", introspection(NEVER)),
    ]
    .into_iter()
    .map(|(name, strategy)| Arm::new(name.to_owned(), strategy, "/me", &bearers))
    .collect()
}

impl Arm {
    fn new(name: String, strategy: StrategyConfig, path: &str, bearers: &[String]) -> Self {
        let service = Service::start(strategy);
        let connections = bearers
            .iter()
            .map(|bearer| {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {bearer}\r\n\r\n"
                );
                let connection = Connection::open(service.address, request.as_bytes());
                (connection, request)
            })
            .collect();
        Self {
            name,
            connections,
            turns: Vec::new(),
            service,
        }
    }

    /// How often something was found in memory, and how often not.
    #[expect(clippy::print_stdout, reason = "it explains the table")]
    fn print_memory(&self) {
        let metrics = self.service.get("/metrics").unwrap_or_default();
        let counted = metrics.lines().filter(|line| {
            line.contains("_total{event=\"hit\"}") || line.contains("_total{event=\"miss\"}")
        });
        for line in counted {
            println!("{:<28} {line}", self.name);
        }
    }

    /// Microseconds of processor time for one request.
    fn turn(&mut self) -> f64 {
        let before = cpu_time();
        for _ in 0..REQUESTS {
            for (connection, request) in &mut self.connections {
                connection.send(request.as_bytes());
            }
            for (connection, _) in &mut self.connections {
                connection.receive();
            }
        }
        (cpu_time() - before).as_secs_f64() * 1e6 / (REQUESTS * CONNECTIONS) as f64
    }
}

/// Processor time of this process: client and service.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// A connection whose answers all have the length of the first.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer).unwrap();
        answer.truncate(length);
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        Self { stream, answer }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
    }

    fn receive(&mut self) {
        self.stream.read_exact(&mut self.answer).unwrap();
        assert!(self.answer.starts_with(b"HTTP/1.1 200 "));
    }
}

/// The service on a runtime of its own, with one worker.
pub(crate) struct Service {
    address: SocketAddr,
    shutdown: CancellationToken,
    _runtime: Runtime,
}

impl Service {
    pub(crate) fn start(strategy: StrategyConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = Config {
            listen: address,
            admin_listen: None,
            replica: Some("replica-1".to_owned()),
            strategy,
            login: api_service::LoginSettings {
                state_keys: None,
                state_ttl: Duration::from_secs(43_200),
                meaningless_cookie: false,
            },
            routes: BTreeMap::new(),
            server: ServerSettings {
                workers: 1,
                drain: Drain {
                    grace: Duration::ZERO,
                    timeout: Duration::from_secs(1),
                },
            },
            telemetry: TelemetrySettings {
                logs: LogSettings::default(),
                tracing: None,
                service_name: None,
                attributes: ResourceAttributes::default(),
            },
        };
        runtime.spawn(run(config, listener, Clock::system(), shutdown.clone()));
        let service = Self {
            address,
            shutdown,
            _runtime: runtime,
        };
        while !service.is_ready() {
            std::thread::yield_now();
        }
        service
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn is_ready(&self) -> bool {
        self.get("/readyz")
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Publishes a key set to whoever asks, for as long as the process lives.
fn publish(document: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let length = document.len();
            // The request's head fits into one read; a client that goes away is asked again.
            let _ = stream.read(&mut [0; 4_096]).and_then(|_| {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{document}"
                )
            });
        }
    });
    address
}
