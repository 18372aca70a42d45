//! The session store against a real redis-server that is killed, stopped and started again.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shared::{
    config::Secret,
    session::{SessionId, SessionRecord, SessionStore, StoreError, StoreSettings},
};

const NOW: u64 = 1_700_000_000;
const PATIENCE: Duration = Duration::from_secs(10);

struct Redis {
    process: Child,
    directory: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let process = spawn(directory.path());
        Self { process, directory }
    }

    fn url(&self) -> String {
        format!(
            "redis+unix://{}",
            self.directory.path().join("redis.sock").display()
        )
    }

    fn kill(&mut self) {
        self.process.kill().expect("redis-server can be killed");
        self.process.wait().expect("redis-server can be reaped");
    }

    fn restart(&mut self) {
        self.process = spawn(self.directory.path());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal)
            .expect("redis-server can be signalled");
    }

    async fn store(&self) -> SessionStore {
        let store = SessionStore::open(StoreSettings {
            url: Secret::new(self.url()),
            timeout: Duration::from_millis(200),
        });
        eventually(async || store.ping().await.is_ok()).await;
        store
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(directory.join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect(
            "redis-server is on PATH: install it, for instance with `apt-get install redis-server`",
        )
}

async fn eventually(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn record() -> SessionRecord {
    SessionRecord {
        subject: "u1".to_owned(),
        username: "ada".to_owned(),
        roles: vec!["user".to_owned()],
        created_at: NOW,
        expires_at: NOW + 3_600,
        idle_seconds: 100,
    }
}

async fn raw(redis: &Redis, command: &[&str]) -> redis::Value {
    let client = redis::Client::open(redis.url()).expect("a Redis URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection");
    let mut cmd = redis::Cmd::new();
    for part in command {
        cmd.arg(part);
    }
    cmd.query_async(&mut connection).await.expect("an answer")
}

#[tokio::test]
async fn a_session_is_read_until_it_is_ended() {
    let redis = Redis::start();
    let store = redis.store().await;
    let id = SessionId::generate();
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
    store.create(&id, &record(), NOW, None).await.unwrap();
    let session = store.read(&id, NOW + 1, None).await.unwrap().unwrap();
    assert_eq!(session.record, record());
    assert!(store.end(&id, None).await.unwrap());
    assert!(!store.end(&id, None).await.unwrap());
    assert_eq!(store.read(&id, NOW, None).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_is_over_at_its_absolute_limit() {
    let redis = Redis::start();
    let store = redis.store().await;
    let id = SessionId::generate();
    store.create(&id, &record(), NOW, None).await.unwrap();
    assert_eq!(store.read(&id, NOW + 3_600, None).await.unwrap(), None);
}

#[tokio::test]
async fn every_key_has_a_time_to_live_and_holds_no_id() {
    let redis = Redis::start();
    let store = redis.store().await;
    let id = SessionId::generate();
    store.create(&id, &record(), NOW, None).await.unwrap();
    let redis::Value::Array(keys) = raw(&redis, &["KEYS", "*"]).await else {
        panic!("KEYS answers a list")
    };
    assert_eq!(keys.len(), 1);
    let redis::Value::BulkString(key) = &keys[0] else {
        panic!("a key is a string")
    };
    let key = std::str::from_utf8(key).unwrap();
    assert!(!key.contains(id.expose()));
    let redis::Value::Int(seconds) = raw(&redis, &["TTL", key]).await else {
        panic!("TTL answers a number")
    };
    assert!((1..=100).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_request_renews_the_idle_limit() {
    let redis = Redis::start();
    let store = redis.store().await;
    let id = SessionId::generate();
    store.create(&id, &record(), NOW, None).await.unwrap();
    store.read(&id, NOW + 50, None).await.unwrap().unwrap();
    eventually(async || {
        store
            .read(&id, NOW + 50, None)
            .await
            .unwrap()
            .unwrap()
            .last_seen
            == NOW + 50
    })
    .await;
}

#[tokio::test]
async fn a_late_touch_does_not_bring_back_an_ended_session() {
    let redis = Redis::start();
    let store = redis.store().await;
    let id = SessionId::generate();
    store.create(&id, &record(), NOW, None).await.unwrap();
    // The touch is sent behind the read on the same connection, and so is the end.
    store.read(&id, NOW + 50, None).await.unwrap().unwrap();
    store.end(&id, None).await.unwrap();
    store.ping().await.unwrap();
    let redis::Value::Int(keys) = raw(&redis, &["DBSIZE"]).await else {
        panic!("DBSIZE answers a number")
    };
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn with_redis_killed_every_call_fails_fast_and_works_again_when_it_is_back() {
    let mut redis = Redis::start();
    let store = redis.store().await;
    redis.kill();
    let id = SessionId::generate();
    eventually(async || matches!(store.read(&id, NOW, None).await, Err(StoreError::Down))).await;
    let started = Instant::now();
    for _ in 0..100 {
        assert!(store.read(&id, NOW, None).await.is_err());
    }
    assert!(
        started.elapsed() < Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    redis.restart();
    eventually(async || store.read(&id, NOW, None).await.is_ok()).await;
}

#[tokio::test]
async fn with_redis_hung_no_call_outlives_its_deadline_and_all_work_again_afterwards() {
    let redis = Redis::start();
    let store = redis.store().await;
    redis.signal(Signal::STOP);
    let id = SessionId::generate();
    let started = Instant::now();
    let error = store.read(&id, NOW, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    eventually(async || matches!(store.read(&id, NOW, None).await, Err(StoreError::Down))).await;
    redis.signal(Signal::CONT);
    eventually(async || store.read(&id, NOW, None).await.is_ok()).await;
}
