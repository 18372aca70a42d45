//! What is revoked is revoked everywhere: three replicas of `jwt-revocable`, three of
//! `session`, and what becomes of it when Redis forgets or is gone.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::time::{Duration, Instant};

use loadtest::subject::stack::{Role, StackOptions};
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::{Answer, Cluster, cluster::answer, eventually, within};

/// The promise: so long after the answer to an end, no replica accepts what has ended.
const PROMISE: Duration = Duration::from_secs(1);
/// How old the knowledge of a replica may be in these tests.
const MAX_AGE: Duration = Duration::from_secs(2);

fn start(replicas: usize, when_stale: &str) -> Cluster {
    let options = StackOptions {
        strategies: vec!["jwt-revocable".to_owned(), "session".to_owned()],
        replicas,
        ..StackOptions::default()
    }
    .variable(Role::Api, "API_REVOCATION_MAX_AGE", "2s")
    .variable(Role::Api, "API_REVOCATION_STALE", when_stale);
    let cluster = Cluster::with(options);
    for user in ["ada", "eve"] {
        cluster.register(user);
    }
    // The feed is made by the auth-service as soon as it has reached Redis.
    let probe = cluster.token("eve");
    eventually("every replica of tokens decides", || {
        let all = replicas_of(&cluster, "jwt-revocable");
        all.iter()
            .all(|url| me(&cluster, url, &probe).status == 200)
            .then_some(())
    });
    cluster
}

fn replicas_of(cluster: &Cluster, strategy: &str) -> Vec<String> {
    let prefix = format!("api-{strategy}-");
    let processes = cluster.stack.processes_info().into_iter();
    processes
        .filter(|process| process.name.starts_with(&prefix))
        .map(|process| process.url)
        .collect()
}

/// Asks one replica, past the gateway.
fn me(cluster: &Cluster, replica: &str, credential: &str) -> Answer {
    answer(
        cluster
            .client
            .get(format!("{replica}/me"))
            .bearer_auth(credential),
    )
}

fn call(cluster: &Cluster, method: Method, path: &str, credential: &str, body: &Value) -> Answer {
    let url = format!("{}/auth{path}", cluster.stack.gateway_url);
    let request = cluster.client.request(method, url).bearer_auth(credential);
    answer(if body.is_null() {
        request
    } else {
        request.json(body)
    })
}

/// A login of each kind.
struct Logins {
    token: String,
    refresh: String,
    session: String,
}

impl Logins {
    fn of(cluster: &Cluster, user: &str) -> Self {
        let login = cluster.log_in(user, "token");
        let text = |name: &str| login.json[name].as_str().unwrap().to_owned();
        Self {
            token: text("access_token"),
            refresh: text("refresh_token"),
            session: cluster.session(user),
        }
    }

    /// The statuses of both on every replica of its strategy.
    fn on_all(&self, cluster: &Cluster) -> (Vec<u16>, Vec<u16>) {
        let ask = |strategy: &str, credential: &str| {
            let replicas = replicas_of(cluster, strategy);
            let statuses = replicas
                .iter()
                .map(|url| me(cluster, url, credential).status);
            statuses.collect::<Vec<_>>()
        };
        (
            ask("jwt-revocable", &self.token),
            ask("session", &self.session),
        )
    }

    fn refreshed(&self, cluster: &Cluster) -> Answer {
        let form = format!("grant_type=refresh_token&refresh_token={}", self.refresh);
        let url = format!("{}/auth/oauth/token", cluster.stack.gateway_url);
        let request = cluster.client.post(url).body(form);
        answer(request.header("content-type", "application/x-www-form-urlencoded"))
    }
}

/// Waits until every replica refuses a token, and no longer than is promised.
#[expect(clippy::print_stderr, reason = "what a test says of itself")]
fn refused_everywhere(cluster: &Cluster, what: &str, token: &str) {
    let since = Instant::now();
    let replicas = replicas_of(cluster, "jwt-revocable");
    for replica in &replicas {
        within(PROMISE, what, || {
            (me(cluster, replica, token).status == 401).then_some(())
        });
    }
    eprintln!(
        "{what}: refused by {} replicas after {:?}",
        replicas.len(),
        since.elapsed()
    );
}

#[test]
fn each_kind_of_revocation_reaches_every_replica_within_a_second() {
    let cluster = start(3, "refuse");
    let bystander = Logins::of(&cluster, "eve");
    for kind in ["token", "session", "user", "all"] {
        let root = cluster.token("root");
        let victim = Logins::of(&cluster, "ada");
        assert_eq!(victim.on_all(&cluster), (vec![200; 3], vec![200; 3]));
        // What a client reads of its own token without verifying it.
        let claims = claims_of(&victim.token);
        let body = match kind {
            "token" => json!({"kind": kind, "id": claims["jti"]}),
            "session" => json!({"kind": kind, "id": claims["sid"]}),
            "user" => json!({"kind": kind, "id": claims["sub"]}),
            _ => json!({"kind": kind}),
        };
        let ended = call(&cluster, Method::POST, "/revocations", &root, &body);
        assert_eq!(ended.status, 200, "{ended:?}");
        refused_everywhere(&cluster, kind, &victim.token);
        let sessions = if ["user", "all"].contains(&kind) {
            401
        } else {
            200
        };
        assert_eq!(
            victim.on_all(&cluster),
            (vec![401; 3], vec![sessions; 3]),
            "{kind}"
        );
        let others = if kind == "all" { 401 } else { 200 };
        assert_eq!(
            bystander.on_all(&cluster),
            (vec![others; 3], vec![others; 3]),
            "{kind}"
        );
        let again = Logins::of(&cluster, "ada");
        assert_eq!(
            again.on_all(&cluster),
            (vec![200; 3], vec![200; 3]),
            "{kind}: a new login"
        );
    }
}

#[test]
fn everywhere_but_here_a_ban_and_other_roles_reach_every_replica() {
    let cluster = start(3, "refuse");
    let root = cluster.token("root");
    let (here, there) = (Logins::of(&cluster, "ada"), Logins::of(&cluster, "ada"));
    let ended = call(
        &cluster,
        Method::DELETE,
        "/sessions",
        &here.token,
        &Value::Null,
    );
    assert_eq!(ended.status, 200, "{ended:?}");
    refused_everywhere(&cluster, "everywhere but here", &there.token);
    assert_eq!(there.on_all(&cluster), (vec![401; 3], vec![401; 3]));
    assert_eq!(
        here.on_all(&cluster),
        (vec![200; 3], vec![401; 3]),
        "the session is elsewhere"
    );

    let ada = Logins::of(&cluster, "ada");
    let admin = json!({"roles": ["user", "admin"]});
    let changed = call(&cluster, Method::PATCH, "/users/ada", &root, &admin);
    assert_eq!(changed.status, 200, "{changed:?}");
    for replica in replicas_of(&cluster, "session") {
        let roles = &me(&cluster, &replica, &ada.session).json["roles"];
        assert_eq!(
            *roles,
            json!(["user", "admin"]),
            "a session has them at once"
        );
    }
    refused_everywhere(&cluster, "other roles", &ada.token);
    let renewed = ada.refreshed(&cluster);
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let renewed = renewed.json["access_token"].as_str().unwrap();
    for replica in replicas_of(&cluster, "jwt-revocable") {
        let roles = &me(&cluster, &replica, renewed).json["roles"];
        assert_eq!(
            *roles,
            json!(["user", "admin"]),
            "a token has them after a refresh"
        );
    }

    let ban = json!({"disabled": true});
    let banned = call(&cluster, Method::PATCH, "/users/ada", &root, &ban);
    assert_eq!(banned.status, 200, "{banned:?}");
    refused_everywhere(&cluster, "a ban", renewed);
    let ada = Logins {
        token: renewed.to_owned(),
        ..ada
    };
    assert_eq!(ada.on_all(&cluster), (vec![401; 3], vec![401; 3]));
    assert_eq!(ada.refreshed(&cluster).status, 400);
    assert_eq!(cluster.log_in("ada", "session").status, 403);
}

#[test]
fn what_was_revoked_stays_revoked_when_redis_forgets_everything() {
    let cluster = start(2, "refuse");
    let (victim, bystander) = (Logins::of(&cluster, "ada"), Logins::of(&cluster, "eve"));
    let ended = call(
        &cluster,
        Method::POST,
        "/logout",
        &victim.token,
        &Value::Null,
    );
    assert_eq!(ended.status, 200, "{ended:?}");
    refused_everywhere(&cluster, "a logout", &victim.token);

    let client = redis::Client::open(cluster.stack.redis_url.as_str()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    let since = Instant::now();
    while since.elapsed() < MAX_AGE {
        assert_eq!(victim.on_all(&cluster).0, [401; 2]);
        // The feed is made anew before the knowledge is too old.
        assert_eq!(bystander.on_all(&cluster).0, [200; 2]);
    }
    // A replica that has heard nothing before joins from the new feed.
    cluster.stack.kill9("api-jwt-revocable-1").unwrap();
    cluster.stack.restart("api-jwt-revocable-1").unwrap();
    cluster.stack.wait_ready("api-jwt-revocable-1").unwrap();
    assert_eq!(victim.on_all(&cluster).0, [401; 2]);
    assert_eq!(bystander.on_all(&cluster).0, [200; 2]);
    // And what is ended now is published as before.
    let ended = call(
        &cluster,
        Method::POST,
        "/logout",
        &bystander.token,
        &Value::Null,
    );
    assert_eq!(ended.status, 200, "{ended:?}");
    refused_everywhere(&cluster, "a logout after the loss", &bystander.token);
}

#[test]
fn without_redis_beyond_the_age_the_policy_decides() {
    for when_stale in ["refuse", "accept"] {
        let cluster = start(1, when_stale);
        let (victim, other) = (Logins::of(&cluster, "ada"), Logins::of(&cluster, "eve"));
        call(
            &cluster,
            Method::POST,
            "/logout",
            &victim.token,
            &Value::Null,
        );
        refused_everywhere(&cluster, "a logout", &victim.token);
        cluster.stack.kill9("redis").unwrap();
        let replica = &replicas_of(&cluster, "jwt-revocable")[0];
        let gone = Instant::now();
        while gone.elapsed() < MAX_AGE * 2 {
            let found = me(&cluster, replica, &other.token);
            // A token that was revoked is known to be, however old the knowledge.
            assert_eq!(me(&cluster, replica, &victim.token).status, 401);
            if found.status == 503 {
                found.assert_undecided();
                assert_eq!(when_stale, "refuse");
                // One look at the feed may have been under way.
                assert!(gone.elapsed() > MAX_AGE / 2, "{:?}", gone.elapsed());
            } else {
                assert_eq!(found.status, 200, "{found:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let found = me(&cluster, replica, &other.token).status;
        assert_eq!(found, if when_stale == "refuse" { 503 } else { 200 });

        // What is ended meanwhile is kept and published later.
        let ended = call(
            &cluster,
            Method::POST,
            "/logout",
            &other.token,
            &Value::Null,
        );
        assert_eq!(ended.status, 202, "{ended:?}");
        cluster.stack.restart("redis").unwrap();
        cluster.stack.wait_ready("redis").unwrap();
        eventually("the pending end is published", || {
            (me(&cluster, replica, &other.token).status == 401).then_some(())
        });
        assert_eq!(me(&cluster, replica, &victim.token).status, 401);
    }
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64(payload)).unwrap()
}

/// Base64url without padding (RFC 4648 §5).
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == byte).unwrap();
        bits = (bits << 6) | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes
}
