//! What a verdict costs: `cargo bench -p api-service`, about 20 seconds, needs redis-server.
//!
//! - `verify`: the token profile alone, by algorithm.
//! - `session`: one lookup in a real Redis over a Unix socket, mostly waiting.
//! - `request (CPU)`: processor time, not elapsed time, of a request through the whole service on
//!   one worker with 32 connections busy, the client's part included. Redis is another process and
//!   is not counted. `/public` is the bare handler; what another line has more than that is what
//!   its check costs.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails to start is over"
)]

#[path = "../tests/api/redis.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod redis;
#[path = "../tests/api/signer.rs"]
mod signer;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api_service::{Config, JwksSettings, StrategyConfig, TokenSettings, run};
use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use shared::{
    clock::Clock,
    server::ServerSettings,
    session::{Creation, SessionId, SessionRecord, SessionStore},
    shutdown::{CancellationToken, Drain},
    telemetry::{TelemetrySettings, logs::LogSettings},
    token::{AccessClaims, AccessTokenProfile, KeySet},
};
use tokio::runtime::{Builder, Runtime};

use self::{
    redis::Redis,
    signer::{AUDIENCE, ISSUER, Signer, claims},
};

const CONNECTIONS: usize = 32;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500));
    targets = verify, session, requests
}
criterion_main!(benches);

fn signers() -> [(&'static str, Signer); 3] {
    [
        ("RS256", Signer::rs256("k1")),
        ("ES256", Signer::es256("k1")),
        ("EdDSA", Signer::eddsa("k1")),
    ]
}

fn profile() -> AccessTokenProfile {
    AccessTokenProfile {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        leeway: Duration::from_secs(30),
        max_lifetime: Duration::from_secs(86_400),
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    for (name, signer) in signers() {
        let keys = KeySet::from_jwks(signer.jwks().as_bytes()).unwrap();
        let token = signer.sign(&claims(now(), &["user"]));
        let profile = profile();
        let at = now();
        group.bench_function(name, |bencher| {
            bencher.iter(|| profile.verify::<AccessClaims>(&token, &keys, at).unwrap());
        });
    }
}

fn session(criterion: &mut Criterion) {
    let redis = Redis::start();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(redis.store());
    let id = runtime.block_on(log_in(&store));
    let at = now();
    criterion.bench_function("session/read", |bencher| {
        bencher.iter(|| {
            runtime
                .block_on(store.read(&id, at, None))
                .unwrap()
                .unwrap()
        });
    });
}

async fn log_in(store: &SessionStore) -> SessionId {
    let id = SessionId::generate();
    let record = SessionRecord {
        sid: SessionRecord::new_sid(),
        subject: "u-1".to_owned(),
        username: "ada".to_owned(),
        roles: vec!["user".to_owned()],
        created_at: now(),
        expires_at: now() + 3_600,
        idle_seconds: 1_800,
    };
    let creation = store.create(&id, &record, now(), None).await.unwrap();
    assert_eq!(creation, Creation::Created);
    id
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request (CPU)");
    for (name, signer) in signers() {
        let keys = publish(signer.jwks());
        let service = Service::start(StrategyConfig::Jwt(TokenSettings {
            profile: profile(),
            jwks: JwksSettings {
                url: format!("http://{keys}/").parse().unwrap(),
                refresh: Duration::from_secs(3_600),
                cooldown: Duration::from_secs(3_600),
            },
            remembered: 0,
        }));
        let token = signer.sign(&claims(now(), &["user"]));
        if name == "RS256" {
            measure(&mut group, "bare: /public", &service, "/public", &token);
        }
        measure(
            &mut group,
            &format!("jwt {name}: /me"),
            &service,
            "/me",
            &token,
        );
    }
    let redis = Redis::start();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(redis.store());
    let id = runtime.block_on(log_in(&store));
    let service = Service::start(StrategyConfig::Session(redis.settings()));
    measure(&mut group, "session: /me", &service, "/me", id.expose());
}

fn measure(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    service: &Service,
    path: &str,
    bearer: &str,
) {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {bearer}\r\n\r\n");
    let mut connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|_| Connection::open(service.address, request.as_bytes()))
        .collect();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let rounds = iterations.div_ceil(CONNECTIONS as u64);
            let before = cpu_time();
            for _ in 0..rounds {
                for connection in &mut connections {
                    connection.send(request.as_bytes());
                }
                for connection in &mut connections {
                    connection.receive();
                }
            }
            let each = (cpu_time() - before).as_secs_f64() / (rounds * CONNECTIONS as u64) as f64;
            Duration::from_secs_f64(each * iterations as f64)
        });
    });
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
struct Service {
    address: SocketAddr,
    shutdown: CancellationToken,
    _runtime: Runtime,
}

impl Service {
    fn start(strategy: StrategyConfig) -> Self {
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

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else {
            return false;
        };
        let mut answer = String::new();
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .and_then(|()| stream.read_to_string(&mut answer))
            .is_ok_and(|_| answer.starts_with("HTTP/1.1 200 "))
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
