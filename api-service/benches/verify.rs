//! What a verdict costs: `cargo bench -p api-service`, about a minute, needs redis-server.
//!
//! - `verify`: the token profile alone, by algorithm.
//! - `session`: one lookup in a real Redis over a Unix socket, mostly waiting.
//! - `strategy`: the call through the trait object that a worker has, and the same call without.
//! - the table: processor time of a request through the whole service by every strategy, measured in
//!   turns so that what else the machine does is spread over all of them.
//! - the last line: how long `session-cached` knows a session that is over.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails to start is over"
)]

#[path = "verify/authority.rs"]
mod authority;
#[path = "verify/lag.rs"]
mod lag;
#[path = "../tests/api/redis.rs"]
mod redis;
#[path = "verify/requests.rs"]
mod requests;

use std::{
    pin::Pin,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use criterion::{Criterion, criterion_group};
use shared::{
    session::{Creation, SessionId, SessionRecord, SessionStore},
    token::{AccessTokenProfile, KeySet, RolesClaim, TokenAlgorithms, TokenTypes},
};
use testkit::signer::{AUDIENCE, ISSUER, Signer, claims};
use tokio::runtime::Builder;

use self::redis::{Redis, Sessions as _};

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500));
    targets = verify, session, strategy
}
fn main() {
    if authority::asked_for() {
        authority::serve();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    requests::compare();
    lag::measure();
}

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
        types: TokenTypes::default(),
        algorithms: TokenAlgorithms::default(),
        roles: RolesClaim::default(),
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
            bencher.iter(|| profile.verify(&token, &keys, at).unwrap());
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
    let id = SessionId::generate("u-1");
    let record = SessionRecord {
        sid: SessionRecord::new_sid(now()),
        subject: "u-1".to_owned(),
        username: "ada".to_owned(),
        roles: vec!["user".to_owned()],
        created_at: now(),
        expires_at: now() + 3_600,
        idle_seconds: 1_800,
        generation: None,
    };
    let creation = store.create(&id, &record, now(), None).await.unwrap();
    assert_eq!(creation, Creation::Created);
    id
}

/// The form of a strategy: what the service holds of it on a worker thread.
trait Strategy {
    fn verify<'a>(&'a self, token: &'a str) -> Pin<Box<dyn Future<Output = usize> + 'a>>;
}

struct Length;

impl Length {
    async fn length(&self, token: &str) -> usize {
        std::hint::black_box(token).len()
    }
}

impl Strategy for Length {
    fn verify<'a>(&'a self, token: &'a str) -> Pin<Box<dyn Future<Output = usize> + 'a>> {
        Box::pin(self.length(token))
    }
}

/// What the trait adds to each request: a call through a table and a future on the heap.
fn strategy(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let through: Rc<dyn Strategy> = std::hint::black_box(Rc::new(Length));
    criterion.bench_function("strategy/direct", |bencher| {
        bencher.iter(|| runtime.block_on(Length.length("token")));
    });
    criterion.bench_function("strategy/through the trait", |bencher| {
        bencher.iter(|| runtime.block_on(through.verify("token")));
    });
}
