//! The revocation feed against a real redis-server that is flushed, killed and stopped.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

use std::time::{Duration, Instant};

use shared::{
    clock::Clock,
    revocation::{
        Claims, Entry, Feed, FollowerSettings, Mark, Publication, Revocations, Revoked, State,
        TokenStatus, WhenStale,
    },
    session::StoreSettings,
    shutdown::CancellationToken,
    telemetry::{Identity, metrics::Metrics},
};
use testkit::{PATIENCE, eventually, redis::Redis};

fn settings(redis: &Redis) -> StoreSettings {
    StoreSettings {
        url: redis.url().parse().unwrap(),
        tls: None,
        timeout: Duration::from_millis(500),
    }
}

async fn raw(redis: &Redis, command: &[&str]) -> redis::Value {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut cmd = redis::Cmd::new();
    for part in command {
        cmd.arg(part);
    }
    cmd.query_async(&mut connection).await.unwrap()
}

/// A feed that was made, and a connection to publish to it.
async fn made_feed(redis: &Redis) -> (Feed, Mark, Rounds) {
    let feed = Feed::open(settings(redis));
    eventually(async || feed.inspect(None, now()).await == Ok(State::Absent)).await;
    let mark = feed.rebuild(&[], None, now()).await.unwrap().unwrap();
    let rounds = Rounds::keep(&feed);
    (feed, mark, rounds)
}

fn now() -> u64 {
    Clock::system().unix_seconds()
}

/// Rounds of a publisher, for as long as this lives.
struct Rounds(tokio::task::JoinHandle<()>);

impl Rounds {
    fn keep(feed: &Feed) -> Self {
        let feed = feed.clone();
        Self(tokio::spawn(async move {
            loop {
                if let Ok(Some(round)) = feed.begin_round().await {
                    let _ = feed.end_round(round).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }))
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A replica that follows, with what it counts.
struct Replica {
    revocations: Revocations,
    metrics: Metrics,
    _stop: tokio_util::sync::DropGuard,
}

impl Replica {
    fn follow(redis: &Redis, max_age: Duration, when_stale: WhenStale) -> Self {
        let metrics = Metrics::new(&Identity {
            service: "test".into(),
            version: "0",
            instance: "1".to_owned(),
        });
        let settings = FollowerSettings {
            store: settings(redis),
            max_age,
            when_stale,
        };
        let stop = CancellationToken::new();
        let clock = Clock::system();
        Self {
            revocations: Revocations::follow(settings, clock, &metrics, &stop),
            metrics,
            _stop: stop.drop_guard(),
        }
    }

    async fn in_sync(redis: &Redis) -> Self {
        let replica = Self::follow(redis, Duration::from_secs(5), WhenStale::Refuse);
        eventually(async || replica.of("nobody") == TokenStatus::Valid).await;
        replica
    }

    /// How a token with this id stands.
    fn of(&self, jti: &str) -> TokenStatus {
        self.revocations.check(Claims {
            jti,
            sid: Some("s"),
            sub: "u",
            iat: 100,
            generation: None,
        })
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

fn token(id: &str) -> Entry {
    Entry {
        revoked: Revoked::Token { id: id.to_owned() },
        until: now() + 900,
    }
}

async fn publish(feed: &Feed, entry: Entry) -> Mark {
    match feed.publish(&[entry], now(), None).await.unwrap() {
        Publication::Published(mark) => mark,
        Publication::NoFeed => panic!("there is a feed"),
    }
}

#[tokio::test]
async fn what_is_published_is_refused_by_who_follows_and_by_who_joins_later() {
    let redis = Redis::start();
    let (feed, _, _rounds) = made_feed(&redis).await;
    let early = Replica::in_sync(&redis).await;
    publish(&feed, token("a")).await;
    eventually(async || early.of("a") == TokenStatus::Revoked).await;
    assert_eq!(early.of("b"), TokenStatus::Valid);
    let late = Replica::in_sync(&redis).await;
    assert_eq!(late.of("a"), TokenStatus::Revoked);
    assert_eq!(early.metric("statewise_revocation_sequence"), 1.0);
    assert_eq!(late.metric("statewise_revocation_entries"), 1.0);
    assert_eq!(early.metric("statewise_revocation_gaps_total"), 0.0);
}

#[tokio::test]
async fn a_revocation_is_heard_of_within_a_few_milliseconds() {
    let redis = Redis::start();
    let (feed, _, _rounds) = made_feed(&redis).await;
    let replica = Replica::in_sync(&redis).await;
    let mut lags = Vec::new();
    for number in 0..100 {
        let id = number.to_string();
        publish(&feed, token(&id)).await;
        let acknowledged = Instant::now();
        while replica.of(&id) != TokenStatus::Revoked {
            assert!(acknowledged.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        lags.push(acknowledged.elapsed());
    }
    lags.sort();
    println!("lag p50 {:?} max {:?}", lags[50], lags[99]);
    // Far from what was measured, and far below a poll.
    assert!(lags[50] < Duration::from_millis(200), "{:?}", lags[50]);
}

#[tokio::test]
async fn without_a_feed_nothing_is_published_and_no_replica_is_in_sync() {
    let redis = Redis::start();
    let feed = Feed::open(settings(&redis));
    eventually(async || feed.inspect(None, now()).await == Ok(State::Absent)).await;
    let publication = feed.publish(&[token("a")], now(), None).await.unwrap();
    assert_eq!(publication, Publication::NoFeed);
    let replica = Replica::follow(&redis, Duration::from_secs(5), WhenStale::Accept);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        replica.of("a"),
        TokenStatus::Undecidable,
        "whatever the policy"
    );
    assert!(replica.revocations.missing().is_some());
    let _rounds = Rounds::keep(&feed);
    feed.rebuild(&[token("a")], None, now())
        .await
        .unwrap()
        .unwrap();
    eventually(async || replica.of("a") == TokenStatus::Revoked).await;
    eventually(async || replica.revocations.missing().is_none()).await;
}

#[tokio::test]
async fn what_was_heard_of_stays_refused_when_redis_forgets_everything() {
    let redis = Redis::start();
    let (feed, mark, _rounds) = made_feed(&redis).await;
    let replica = Replica::in_sync(&redis).await;
    publish(&feed, token("a")).await;
    eventually(async || replica.of("a") == TokenStatus::Revoked).await;
    raw(&redis, &["FLUSHALL"]).await;
    assert_eq!(feed.inspect(Some(&mark), now()).await, Ok(State::Absent));
    let new = feed
        .rebuild(&[token("b")], None, now())
        .await
        .unwrap()
        .unwrap();
    assert_ne!(new.epoch, mark.epoch);
    eventually(async || replica.of("b") == TokenStatus::Revoked).await;
    assert_eq!(replica.of("a"), TokenStatus::Revoked);
    publish(&feed, token("c")).await;
    eventually(async || replica.of("c") == TokenStatus::Revoked).await;
}

#[tokio::test]
async fn a_gap_is_seen_and_closed_by_reading_everything() {
    let redis = Redis::start();
    let (feed, mark, _rounds) = made_feed(&redis).await;
    let replica = Replica::in_sync(&redis).await;
    // One entry is published and its item trimmed away, as one step, before the next one.
    let lost = serde_json::to_string(&token("lost")).unwrap();
    let script = "redis.call('HSET', KEYS[1], 'seq', 1, 'tip', 'x') \
        redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1]) return 0";
    let until = (now() + 900).to_string();
    let (head, current) = ("statewise:revocations", "statewise:revocations:current");
    raw(&redis, &["EVAL", script, "2", head, current, &lost, &until]).await;
    publish(&feed, token("next")).await;
    eventually(async || replica.of("lost") == TokenStatus::Revoked).await;
    assert_eq!(replica.of("next"), TokenStatus::Revoked);
    assert_eq!(replica.metric("statewise_revocation_gaps_total"), 1.0);
    assert_eq!(replica.metric("statewise_revocation_snapshots_total"), 2.0);
    // And the publisher, which remembers the entry that stood there, sees what was lost.
    let older = Mark {
        sequence: 1,
        tip: "another".to_owned(),
        ..mark
    };
    assert!(matches!(
        feed.inspect(Some(&older), now()).await,
        Ok(State::Damaged(_))
    ));
}

#[tokio::test]
async fn history_that_was_lost_is_seen_by_who_remembers_it() {
    let redis = Redis::start();
    let (feed, mark, _rounds) = made_feed(&redis).await;
    let one = publish(&feed, token("a")).await;
    let two = publish(&feed, token("b")).await;
    for known in [&mark, &one, &two] {
        assert_eq!(
            feed.inspect(Some(known), now()).await,
            Ok(State::Whole(two.clone()))
        );
    }
    // As a replica of Redis that was behind and is promoted.
    raw(
        &redis,
        &["HSET", "statewise:revocations", "seq", "1", "tip", &one.tip],
    )
    .await;
    let damaged = State::Damaged(one.clone());
    assert_eq!(feed.inspect(Some(&two), now()).await, Ok(damaged));
    raw(&redis, &["DEL", "statewise:revocations:current"]).await;
    assert!(matches!(
        feed.inspect(None, now()).await,
        Ok(State::Damaged(_))
    ));
    let again = feed.rebuild(&[], Some(&one.epoch), now()).await.unwrap();
    assert!(again.is_some());
    let late = feed.rebuild(&[], Some(&one.epoch), now()).await.unwrap();
    assert_eq!(late, None, "another publisher made it anew already");
}

#[tokio::test]
async fn every_key_of_the_feed_runs_out_when_nobody_keeps_it() {
    let redis = Redis::start();
    let (feed, _, _rounds) = made_feed(&redis).await;
    publish(&feed, token("a")).await;
    let redis::Value::Array(keys) = raw(&redis, &["KEYS", "*"]).await else {
        panic!("KEYS answers a list")
    };
    assert_eq!(keys.len(), 3);
    for key in keys {
        let redis::Value::BulkString(key) = key else {
            panic!("a key is a string")
        };
        let key = String::from_utf8(key).unwrap();
        let redis::Value::Int(seconds) = raw(&redis, &["TTL", &key]).await else {
            panic!("TTL answers a number")
        };
        assert!(seconds > 0, "{key}");
    }
}

#[tokio::test]
async fn with_redis_gone_what_is_known_is_refused_and_the_rest_is_the_policys() {
    let mut redis = Redis::start();
    let (feed, _, _rounds) = made_feed(&redis).await;
    let age = Duration::from_millis(1_500);
    let refusing = Replica::follow(&redis, age, WhenStale::Refuse);
    let accepting = Replica::follow(&redis, age, WhenStale::Accept);
    publish(&feed, token("a")).await;
    for replica in [&refusing, &accepting] {
        eventually(async || replica.of("a") == TokenStatus::Revoked).await;
        eventually(async || replica.of("b") == TokenStatus::Valid).await;
    }
    redis.kill();
    eventually(async || refusing.of("b") == TokenStatus::Undecidable).await;
    assert!(refusing.revocations.missing().is_some());
    eventually(async || {
        accepting.of("b");
        accepting.metric("statewise_revocation_stale_verdicts_total{outcome=\"accepted\"}") > 0.0
    })
    .await;
    assert_eq!(accepting.of("b"), TokenStatus::Valid);
    assert!(accepting.revocations.missing().is_none());
    for replica in [&refusing, &accepting] {
        assert_eq!(replica.of("a"), TokenStatus::Revoked);
    }
    redis.restart();
    eventually(async || feed.rebuild(&[], None, now()).await.is_ok()).await;
    eventually(async || refusing.of("b") == TokenStatus::Valid).await;
    assert_eq!(
        refusing.of("a"),
        TokenStatus::Revoked,
        "no feed brings it back"
    );
}

#[tokio::test]
async fn with_redis_hung_the_copy_grows_old_and_is_young_again_afterwards() {
    let redis = Redis::start();
    let (_feed, _, _rounds) = made_feed(&redis).await;
    let replica = Replica::follow(&redis, Duration::from_millis(1_500), WhenStale::Refuse);
    eventually(async || replica.of("b") == TokenStatus::Valid).await;
    redis.hang();
    eventually(async || replica.of("b") == TokenStatus::Undecidable).await;
    redis.resume();
    eventually(async || replica.of("b") == TokenStatus::Valid).await;
}

#[tokio::test]
async fn a_large_feed_is_read_whole() {
    let redis = Redis::start();
    let (feed, mark, _rounds) = made_feed(&redis).await;
    let entries: Vec<_> = (0..5_000)
        .map(|number| token(&number.to_string()))
        .collect();
    feed.rebuild(&entries, Some(&mark.epoch), now())
        .await
        .unwrap()
        .unwrap();
    let replica = Replica::in_sync(&redis).await;
    for number in [0, 499, 500, 4_999] {
        assert_eq!(replica.of(&number.to_string()), TokenStatus::Revoked);
    }
}

async fn size(redis: &Redis, command: &str, key: &str) -> i64 {
    match raw(redis, &[command, key]).await {
        redis::Value::Int(size) => size,
        other => panic!("{command} answers a number, not {other:?}"),
    }
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_not_believed_beyond_the_age() {
    let redis = Redis::start();
    let (feed, _, _rounds) = made_feed(&redis).await;
    let age = Duration::from_millis(1_500);
    let replica = Replica::follow(&redis, age, WhenStale::Refuse);
    eventually(async || replica.of("a") == TokenStatus::Valid).await;
    raw(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = Instant::now();
    feed.publish(&[token("a")], now(), None).await.unwrap_err();
    eventually(async || replica.of("a") == TokenStatus::Undecidable).await;
    // What is left is for a busy machine.
    assert!(full.elapsed() < age * 4, "{:?}", full.elapsed());
    let reason = replica.revocations.missing().unwrap();
    assert!(reason.contains("takes no writes"), "{reason}");
    for _ in 0..20 {
        assert_eq!(replica.of("a"), TokenStatus::Undecidable);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    raw(&redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    publish(&feed, token("a")).await;
    eventually(async || replica.of("b") == TokenStatus::Valid).await;
    assert_eq!(replica.of("a"), TokenStatus::Revoked);
    assert_eq!(replica.revocations.missing(), None);
}

#[tokio::test]
async fn what_nobody_could_publish_is_not_believed_to_be_absent() {
    let redis = Redis::start();
    let (feed, _, rounds) = made_feed(&redis).await;
    let age = Duration::from_millis(1_500);
    let replica = Replica::follow(&redis, age, WhenStale::Refuse);
    eventually(async || replica.of("a") == TokenStatus::Valid).await;
    drop(rounds);
    // A round that does not end, because something is pending.
    let round = feed.begin_round().await.unwrap().unwrap();
    eventually(async || replica.of("a") == TokenStatus::Undecidable).await;
    feed.end_round(round).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        replica.of("a"),
        TokenStatus::Undecidable,
        "what was known when it began is too old as well"
    );
    let _rounds = Rounds::keep(&feed);
    eventually(async || replica.of("a") == TokenStatus::Valid).await;
}

#[tokio::test]
async fn what_is_published_again_is_one_entry() {
    let redis = Redis::start();
    let (feed, _, _rounds) = made_feed(&redis).await;
    let entry = token("a");
    for _ in 0..600 {
        publish(&feed, entry.clone()).await;
    }
    let watermark = |before, except: Option<&str>| Entry {
        revoked: Revoked::User {
            id: "v".to_owned(),
            before,
            generation: None,
            except: except.map(str::to_owned),
        },
        until: now() + 900,
    };
    // Also one that comes late.
    for before in (1..=100).chain([50]) {
        publish(&feed, watermark(before, None)).await;
        publish(&feed, watermark(before, Some("here"))).await;
    }
    let entries = size(&redis, "ZCARD", "statewise:revocations:current").await;
    assert_eq!(entries, 4, "the epoch, the token and two watermarks");
    let items = size(&redis, "XLEN", "statewise:revocations:stream").await;
    assert_eq!(items, 201);
    let replica = Replica::in_sync(&redis).await;
    assert_eq!(replica.metric("statewise_revocation_entries"), 3.0);
    let refused = replica.revocations.check(Claims {
        sid: Some("here"),
        sub: "v",
        iat: 100,
        ..Claims::default()
    });
    assert_eq!(refused, TokenStatus::Revoked);
}

#[tokio::test]
async fn what_has_run_out_leaves_the_feed_a_part_at_a_time() {
    let redis = Redis::start();
    let (feed, mark, _rounds) = made_feed(&redis).await;
    let over: Vec<_> = (0..2_500)
        .map(|number| Entry {
            until: now() - 1,
            ..token(&number.to_string())
        })
        .collect();
    feed.restore(&over).await.unwrap();
    let left = async || size(&redis, "ZCARD", "statewise:revocations:current").await - 1;
    for wanted in [1_500, 500, 0] {
        feed.inspect(Some(&mark), now()).await.unwrap();
        assert_eq!(left().await, wanted);
    }
}
