//! The strategy `jwt-revocable`: tokens that were revoked, and a feed that cannot be followed.

use std::time::Duration;

use api_service::{JwtRevocable, StrategyConfig, TokenSettings};
use serde_json::{Value, json};
use shared::revocation::{Entry, Feed, FollowerSettings, Publication, Revoked, WhenStale};

use crate::{
    eventually,
    issuer::{Answer, Issuer},
    redis::{Redis, Sessions as _},
    service::{self, NEVER, NOW, Service},
    signer::{Signer, claims},
};

/// Longer than a look at the feed takes on a busy machine.
const MAX_AGE: Duration = Duration::from_secs(2);

/// A feed that holds nothing yet.
pub(crate) async fn feed(redis: &Redis) -> Feed {
    let feed = Feed::open(redis.settings());
    eventually(async || feed.inspect(None, NOW).await.is_ok()).await;
    feed.rebuild(&[], None, NOW).await.unwrap().unwrap();
    keep(feed.clone());
    feed
}

/// Rounds of a publisher, until the test is over.
fn keep(feed: Feed) {
    tokio::spawn(async move {
        loop {
            if let Ok(Some(round)) = feed.begin_round().await {
                let _ = feed.end_round(round).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

pub(crate) fn strategy(
    issuer: &Issuer,
    redis: &Redis,
    when_stale: WhenStale,
    remembered: usize,
) -> StrategyConfig {
    StrategyConfig::from(JwtRevocable {
        tokens: TokenSettings {
            remembered,
            ..service::tokens(issuer, NEVER, NEVER)
        },
        revocations: FollowerSettings {
            store: redis.settings(),
            max_age: MAX_AGE,
            when_stale,
        },
    })
}

/// An issuer, a Redis with a feed, and replicas.
struct Stage {
    signer: Signer,
    issuer: Issuer,
    redis: Redis,
    feed: Feed,
}

impl Stage {
    async fn set() -> Self {
        let signer = Signer::eddsa("k1");
        let issuer = Issuer::start(Answer::Keys(signer.jwks()));
        let redis = Redis::start();
        let feed = feed(&redis).await;
        Self {
            signer,
            issuer,
            redis,
            feed,
        }
    }

    async fn replica(&self, when_stale: WhenStale) -> Service {
        Service::ready(strategy(&self.issuer, &self.redis, when_stale, 10)).await
    }

    fn token(&self, changes: Value) -> String {
        let mut claims = claims(NOW, &["user"]);
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.signer.sign(&claims)
    }

    async fn revoke(&self, revoked: Revoked) {
        let entry = Entry {
            revoked,
            until: NOW + 930,
        };
        let publication = self.feed.publish(&[entry], NOW, None).await.unwrap();
        assert!(matches!(publication, Publication::Published(_)));
    }
}

fn own(text: &str) -> String {
    text.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_revocation_refuses_what_it_names_on_every_replica_and_nothing_else() {
    let stage = Stage::set().await;
    let replicas = [
        stage.replica(WhenStale::Refuse).await,
        stage.replica(WhenStale::Refuse).await,
    ];
    let user = |before, except: Option<&str>| Revoked::User {
        id: own("u-1"),
        before,
        generation: None,
        except: except.map(own),
    };
    let other = stage.token(json!({"sub": "u-2", "sid": "s-9", "jti": "t-9", "iat": NOW + 9}));
    for (revoked, refused, spared) in [
        (
            Revoked::Token { id: own("t-7") },
            json!({"jti": "t-7", "iat": NOW + 2}),
            json!({"jti": "t-8", "iat": NOW + 2}),
        ),
        (
            Revoked::Session { id: own("s-7") },
            json!({"sid": "s-7", "iat": NOW + 2}),
            json!({"sid": "s-8", "iat": NOW + 2}),
        ),
        (
            user(NOW, Some("s-8")),
            json!({"sid": "s-5", "iat": NOW}),
            json!({"sid": "s-8", "iat": NOW}),
        ),
        (
            user(NOW + 1, None),
            json!({"iat": NOW + 1}),
            json!({"iat": NOW + 2}),
        ),
        (
            Revoked::All {
                before: NOW + 3,
                generation: None,
            },
            json!({"sub": "u-3", "iat": NOW + 3}),
            json!({"sub": "u-3", "iat": NOW + 4}),
        ),
    ] {
        let (refused, spared) = (stage.token(refused), stage.token(spared));
        for replica in &replicas {
            assert_eq!(replica.me(&refused).await.status, 200, "{revoked:?}");
        }
        stage.revoke(revoked.clone()).await;
        for replica in &replicas {
            eventually(async || replica.me(&refused).await.status == 401).await;
            assert_eq!(replica.me(&spared).await.status, 200, "{revoked:?}");
            assert_eq!(replica.me(&other).await.status, 200, "{revoked:?}");
        }
    }
    let joiner = stage.replica(WhenStale::Refuse).await;
    let refused = stage.token(json!({"jti": "t-7", "iat": NOW + 9}));
    assert_eq!(joiner.me(&refused).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_revocations_are_read_nothing_is_decided_and_the_replica_is_not_ready() {
    let stage = Stage::set().await;
    let mut redis = Redis::start();
    let strategy = strategy(&stage.issuer, &redis, WhenStale::Accept, 0);
    redis.kill();
    let replica = Service::start(strategy);
    let token = stage.token(json!({}));
    eventually(async || {
        let ready = replica.get("/readyz", &[]).await;
        ready.status == 503 && ready.body.contains("revocations")
    })
    .await;
    replica.me(&token).await.is_undecidable();
    let forged = Signer::eddsa("k1").sign(&claims(NOW, &["user"]));
    assert_eq!(
        replica.me(&forged).await.status,
        401,
        "that is known without the feed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_beyond_the_age_the_policy_decides_and_what_is_known_stays_refused() {
    let mut stage = Stage::set().await;
    let refusing = stage.replica(WhenStale::Refuse).await;
    let accepting = stage.replica(WhenStale::Accept).await;
    let revoked = stage.token(json!({"jti": "t-7"}));
    let good = stage.token(json!({"jti": "t-8"}));
    stage.revoke(Revoked::Token { id: own("t-7") }).await;
    for replica in [&refusing, &accepting] {
        eventually(async || replica.me(&revoked).await.status == 401).await;
    }
    stage.redis.kill();
    eventually(async || refusing.me(&good).await.status != 200).await;
    refusing.me(&good).await.is_undecidable();
    assert_eq!(refusing.get("/readyz", &[]).await.status, 503);
    let line = "statewise_revocation_stale_verdicts_total{outcome=\"refused\"}";
    assert!(refusing.get("/metrics", &[]).await.body.contains(line));
    let line = "statewise_revocation_stale_verdicts_total{outcome=\"accepted\"}";
    eventually(async || {
        assert_eq!(accepting.me(&good).await.status, 200);
        accepting.get("/metrics", &[]).await.body.contains(line)
    })
    .await;
    assert_eq!(accepting.get("/readyz", &[]).await.status, 200);
    for replica in [&refusing, &accepting] {
        assert_eq!(replica.me(&revoked).await.status, 401);
    }
    stage.redis.restart();
    eventually(async || stage.feed.rebuild(&[], None, NOW).await.is_ok()).await;
    eventually(async || refusing.me(&good).await.status == 200).await;
    assert_eq!(refusing.me(&revoked).await.status, 401);
}
