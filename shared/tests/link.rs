//! The connection to a real redis-server that is demoted, closes connections, is full, or refuses us.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod login {
    pub(crate) mod record;
    pub(crate) mod store;
}

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::symlink,
    path::PathBuf,
    thread,
    time::Duration,
};

use redis::{Cmd, Connection, FromRedisValue};
use shared::session::{Fault, SessionId, SessionStore, StoreError, StoreSettings};
use tempfile::TempDir;
use testkit::{eventually, redis::Redis};

use login::{
    record::NOW,
    store::{log_in, works},
};

fn settings(url: &str) -> StoreSettings {
    StoreSettings {
        url: url.parse().unwrap(),
        tls: None,
        timeout: Duration::from_millis(500),
    }
}

/// A connection of an operator, once the server answers.
async fn operator(redis: &Redis) -> Operator {
    let client = redis::Client::open(redis.url()).unwrap();
    eventually(async || {
        let connection = client.get_connection();
        connection.is_ok_and(|mut connection| Cmd::ping().exec(&mut connection).is_ok())
    })
    .await;
    Operator(client.get_connection().unwrap())
}

struct Operator(Connection);

impl Operator {
    fn run<T: FromRedisValue>(&mut self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        cmd.query(&mut self.0).unwrap()
    }

    fn tell(&mut self, command: &str) {
        self.run::<redis::Value>(command);
    }

    /// Makes the server a replica of a server that is not there.
    fn demote(&mut self) {
        self.tell("REPLICAOF 127.0.0.1 1");
    }

    /// Closes the connections of everybody else.
    fn close_all(&mut self) -> u64 {
        self.run("CLIENT KILL TYPE normal SKIPME yes")
    }
}

/// A name that leads to one server after another, as one in DNS does.
struct Name(TempDir);

impl Name {
    fn of(redis: &Redis) -> Self {
        let name = Self(tempfile::tempdir().unwrap());
        name.lead_to(redis);
        name
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("name.sock")
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.path().display())
    }

    fn lead_to(&self, redis: &Redis) {
        let socket = redis.url();
        let next = self.0.path().join("next.sock");
        symlink(socket.strip_prefix("redis+unix://").unwrap(), &next).unwrap();
        std::fs::rename(next, self.path()).unwrap();
    }
}

/// The fault of a store that cannot be used.
async fn fault(store: &SessionStore) -> Option<Fault> {
    match store.usable().await {
        Err(StoreError::Down(fault)) => Some(fault),
        Ok(fault) => fault,
        Err(_) => None,
    }
}

/// Waits until a store says why it cannot be used, with these words.
#[track_caller]
fn says(store: &SessionStore, words: &str, lasting: bool) -> impl Future<Output = ()> {
    let (store, words) = (store.clone(), words.to_owned());
    eventually(async move || {
        let Some(fault) = fault(&store).await else {
            return false;
        };
        fault.to_string().contains(&words) && fault.is_lasting() == lasting
    })
}

#[tokio::test]
async fn a_login_after_a_failover_reaches_the_new_primary_at_once() {
    let (old, new) = (Redis::start(), Redis::start());
    let (mut operator_of_old, _) = (operator(&old).await, operator(&new).await);
    let name = Name::of(&old);
    let store = SessionStore::open(settings(&name.url()));
    log_in(&store).await.unwrap();

    name.lead_to(&new);
    operator_of_old.demote();

    let id = log_in(&store).await.unwrap();
    let there = SessionStore::open(settings(&new.url()));
    assert!(there.read(&id, NOW, None).await.unwrap().is_some());
}

#[tokio::test]
async fn a_service_that_only_reads_leaves_a_demoted_server_too() {
    let (old, new) = (Redis::start(), Redis::start());
    let (mut operator_of_old, _) = (operator(&old).await, operator(&new).await);
    let name = Name::of(&old);
    let store = SessionStore::open_to_check(settings(&name.url()));
    works(&store).await;
    let id = log_in(&SessionStore::open(settings(&new.url())))
        .await
        .unwrap();
    assert_eq!(store.read(&id, NOW, None).await, Ok(None));

    name.lead_to(&new);
    operator_of_old.demote();

    eventually(async || matches!(store.read(&id, NOW, None).await, Ok(Some(_)))).await;
}

#[tokio::test]
async fn a_server_that_stays_a_replica_is_an_error_on_every_path_until_it_is_a_primary_again() {
    let redis = Redis::start();
    let mut operator = operator(&redis).await;
    let store = SessionStore::open(settings(&redis.url()));
    let id = log_in(&store).await.unwrap();
    operator.demote();

    let refused = log_in(&store).await.unwrap_err();
    assert!(refused.to_string().contains("READONLY"), "{refused}");
    for outcome in [
        store.end(&id, None).await.map(drop),
        store.end_all("u1", None, NOW, None).await.map(drop),
        store.set_roles("u1", &[], NOW, None).await.map(drop),
        store.write_cart(&id, 0, "{}", None).await.map(drop),
        store.read(&id, NOW, None).await.map(drop),
        store.read_cart(&id, None).await.map(drop),
        store.list("u1", NOW, None).await.map(drop),
        store.ping().await,
    ] {
        assert!(matches!(outcome, Err(StoreError::Down(_))), "{outcome:?}");
    }
    says(&store, "READONLY", false).await;

    operator.tell("REPLICAOF NO ONE");
    works(&store).await;
    log_in(&store).await.unwrap();
}

#[tokio::test]
async fn a_look_up_is_sent_again_when_the_connection_is_closed_under_it() {
    let redis = Redis::start();
    let mut operator = operator(&redis).await;
    let store = SessionStore::open(settings(&redis.url()));
    let id = log_in(&store).await.unwrap();
    for _ in 0..50 {
        assert_eq!(operator.close_all(), 1);
        assert!(store.read(&id, NOW, None).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_closed_connection_is_made_anew_without_a_command() {
    let redis = Redis::start();
    let mut operator = operator(&redis).await;
    let store = SessionStore::open(settings(&redis.url()));
    log_in(&store).await.unwrap();
    assert_eq!(operator.close_all(), 1);
    eventually(async || operator.run::<String>("CLIENT LIST").lines().count() == 2).await;
    log_in(&store).await.unwrap();
}

#[tokio::test]
async fn a_session_in_use_goes_on_while_redis_is_full() {
    let redis = Redis::start();
    let mut operator = operator(&redis).await;
    let store = SessionStore::open(settings(&redis.url()));
    let id = log_in(&store).await.unwrap();
    let keys: Vec<String> = operator.run("KEYS statewise:{*}:session:*");
    operator.tell(&format!("EXPIRE {} 50", keys[0]));
    operator.tell("CONFIG SET maxmemory 1");

    let refused = log_in(&store).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("OOM"), "{refused}");
    assert_eq!(
        fault(&store).await.map(|fault| fault.is_lasting()),
        Some(false)
    );
    store.read(&id, NOW + 50, None).await.unwrap().unwrap();
    eventually(async || operator.run::<u64>(&format!("TTL {}", keys[0])) > 90).await;

    operator.tell("CONFIG SET maxmemory 0");
    log_in(&store).await.unwrap();
    works(&store).await;
}

#[tokio::test]
async fn a_command_that_is_not_permitted_is_named_before_anybody_needs_it() {
    let redis = Redis::start();
    let mut operator = operator(&redis).await;
    let all = SessionStore::open(settings(&redis.url()));
    let some = SessionStore::open_to_check(settings(&redis.url()));
    works(&all).await;
    works(&some).await;

    operator.tell("ACL SETUSER default -zadd");
    says(&all, "ZADD", true).await;
    works(&some).await;
    operator.tell("ACL SETUSER default +zadd -expire");
    says(&some, "EXPIRE", true).await;
    let id = SessionId::generate("u1");
    assert_eq!(some.read(&id, NOW, None).await, Ok(None), "reading works");
    operator.tell("ACL SETUSER default +expire -eval");
    says(&some, "EVAL", true).await;
    operator.tell("ACL SETUSER default +eval resetkeys ~other:*");
    says(&some, "statewise:*", true).await;
    operator.tell("ACL SETUSER default allkeys");
    works(&all).await;
    works(&some).await;
}

#[tokio::test]
async fn the_reason_why_there_is_no_connection_is_told() {
    let redis = Redis::start();
    let mut operator = operator(&redis).await;
    let open = |url: &str| SessionStore::open(settings(url));
    says(
        &open(&format!("{}?db=99", redis.url())),
        "no database",
        true,
    )
    .await;

    operator.tell("CONFIG SET requirepass right");
    let url = redis.url();
    says(&open(&url), "NOAUTH", true).await;
    says(&open(&format!("{url}?pass=wrong")), "WRONGPASS", true).await;
    works(&open(&format!("{url}?pass=right"))).await;

    says(&open("redis://127.0.0.1:1"), "nothing listens", false).await;
    says(
        &open("redis+unix:///nowhere/at.all"),
        "nothing listens",
        false,
    )
    .await;
    says(&open("redis://no.such.host.invalid"), "no address", false).await;
}

#[tokio::test]
async fn another_protocol_and_silence_on_the_port_are_told() {
    let speaks = |answer: Option<&'static [u8]>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        // Ends with the process.
        thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut asked = [0; 1024];
                if stream.read(&mut asked).is_ok()
                    && let Some(answer) = answer
                {
                    drop(stream.write_all(answer));
                } else {
                    open.push(stream);
                }
            }
        });
        SessionStore::open(settings(&url))
    };
    let web = speaks(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    says(&web, "does not speak the protocol of Redis", true).await;
    says(&speaks(Some(b"")), "closes new connections", false).await;
    says(&speaks(None), "does not answer", false).await;
}
