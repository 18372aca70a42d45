//! Redis over TLS: a real redis-server with certificates of an authority of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod login {
    pub(crate) mod cached;
    pub(crate) mod down;
    pub(crate) mod record;
    pub(crate) mod store;
}

use std::{net::TcpListener, path::PathBuf, process::Command, time::Duration};

use shared::session::{SessionStore, StoreError, StoreSettings, Tls};
use testkit::{certificates::Certificates, eventually, redis::Redis, sentinels::TlsSentinel};

use login::{
    cached::cached,
    down::says,
    record::NOW,
    store::{log_in, works},
};

fn settings(url: String, authorities: Option<PathBuf>) -> StoreSettings {
    StoreSettings {
        url: url.parse().unwrap(),
        tls: Some(Tls::trusting(authorities).unwrap()),
        timeout: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn sessions_are_made_read_and_ended_over_tls_also_after_a_restart() {
    let certificates = Certificates::of(&["localhost", "127.0.0.1"]);
    let (mut redis, port) = Redis::start_over_tls(&certificates);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("rediss://{host}:{port}");
        let store = SessionStore::open(settings(url, Some(certificates.authority())));
        works(&store).await;
        let id = log_in(&store).await.unwrap();
        assert!(store.read(&id, NOW, None).await.unwrap().is_some());
        assert!(store.end(&id, None).await.unwrap().is_some());
        assert_eq!(store.read(&id, NOW, None).await, Ok(None));

        redis.kill();
        eventually(async || store.ping().await.is_err()).await;
        redis.restart();
        works(&store).await;
        log_in(&store).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_over_tls_that_is_closed_or_silent_is_made_anew() {
    let certificates = Certificates::of(&["localhost"]);
    let (redis, port) = Redis::start_over_tls(&certificates);
    let url = format!("rediss://localhost:{port}");
    let store = SessionStore::open(settings(url, Some(certificates.authority())));
    works(&store).await;
    let id = log_in(&store).await.unwrap();
    for _ in 0..10 {
        redis.tell(&["CLIENT KILL TYPE normal SKIPME yes"]);
        assert!(store.read(&id, NOW, None).await.unwrap().is_some());
    }
    redis.hang();
    eventually(async || matches!(store.ping().await, Err(StoreError::Down(_)))).await;
    redis.resume();
    works(&store).await;
    assert!(store.read(&id, NOW, None).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_kept_in_memory_is_followed_over_tls() {
    let certificates = Certificates::of(&["localhost"]);
    let (_redis, port) = Redis::start_over_tls(&certificates);
    let url = format!("rediss://localhost:{port}");
    let settings = settings(url, Some(certificates.authority()));
    let store = SessionStore::open(settings.clone());
    works(&store).await;
    let id = log_in(&store).await.unwrap();

    let (cached, metrics) = cached(settings, 100);
    let hits = || {
        let text = metrics.render();
        let line = "statewise_session_cache_events_total{event=\"hit\"} ";
        let count = text.lines().find_map(|known| known.strip_prefix(line));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    eventually(async || {
        let read = cached.read(&id, NOW, None).await;
        matches!(read, Ok(Some(_))) && hits() > 0
    })
    .await;
    store.end(&id, None).await.unwrap();
    eventually(async || cached.read(&id, NOW, None).await == Ok(None)).await;
}

#[tokio::test]
async fn why_tls_cannot_be_spoken_is_told() {
    let certificates = Certificates::of(&["localhost"]);
    let (redis, port) = Redis::start_over_tls(&certificates);
    let authority = || Some(certificates.authority());
    let url = |host: &str| format!("rediss://{host}:{port}");
    works(&SessionStore::open(settings(url("localhost"), authority()))).await;

    let other = Certificates::of(&["localhost"]);
    for stranger in [Some(other.authority()), None] {
        let settings = settings(url("localhost"), stranger);
        says(&SessionStore::open(settings), "not trusted here", true).await;
    }
    says(
        &SessionStore::open(settings(url("127.0.0.1"), authority())),
        "another name",
        true,
    )
    .await;
    redis.tell(&["CONFIG SET tls-auth-clients yes"]);
    let settings = |url: String| settings(url, authority());
    says(
        &SessionStore::open(settings(url("localhost"))),
        "tls-auth-clients",
        true,
    )
    .await;

    let plain = StoreSettings {
        tls: None,
        ..settings(format!("redis://localhost:{port}"))
    };
    says(&SessionStore::open(plain), "such as TLS (rediss://)", false).await;
    // Nothing listens on the port of tcpmux.
    let nobody = settings("rediss://127.0.0.1:1".to_owned());
    says(&SessionStore::open(nobody), "nothing listens", false).await;
}

#[tokio::test]
async fn sentinels_and_the_primary_that_they_name_are_spoken_to_over_tls() {
    let certificates = Certificates::of(&["localhost", "127.0.0.1"]);
    let (_redis, port) = Redis::start_over_tls(&certificates);
    let sentinel = TlsSentinel::start(&certificates, port);
    let settings = |url: String| settings(url, Some(certificates.authority()));
    let store = SessionStore::open(settings(sentinel.url()));
    works(&store).await;
    let id = log_in(&store).await.unwrap();
    assert!(store.read(&id, NOW, None).await.unwrap().is_some());

    let plain = StoreSettings {
        tls: None,
        ..settings(sentinel.url().replace("rediss", "redis"))
    };
    says(&SessionStore::open(plain), "such as TLS (rediss://)", false).await;
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let certificates = Certificates::of(&["localhost"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut server = Command::new("redis-server")
        .args(["--save", "", "--bind", "127.0.0.1", "--port"])
        .arg(port.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("rediss://localhost:{port}");
    let settings = settings(url, Some(certificates.authority()));
    says(&SessionStore::open(settings), "write redis://", false).await;
    server.kill().unwrap();
    server.wait().unwrap();
}
