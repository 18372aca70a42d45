//! In a roll two versions run at once and after a roll the new one finds what the old one left: records
//! as version 0.1.0 wrote them are read by what is built now.
//!
//! | in `records/` | is |
//! | --- | --- |
//! | `session.json` | the commands by which a session with a cart is in Redis |
//! | `publish.lua` | the script by which an auth-service added to the revocation feed |
//! | `users.sqlite` | a database with a user and a signing key, sealed under [`KEY_ENCRYPTION_KEY`] |
//!
//! They are never renewed. A format that changes gets files of its own beside these.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use loadtest::subject::stack::{Role, StackOptions};
use serde_json::{Value, json};
use system_tests::{Cluster, cluster::answer, eventually};

const SESSION: &str = include_str!("records/session.json");
const PUBLISH: &str = include_str!("records/publish.lua");
const USERS: &[u8] = include_bytes!("records/users.sqlite");

/// What `users.sqlite` was made with, and what it holds.
const KEY_ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const KEY_ID: &str = "WLiLJMfOqMZbAn3JfGlBvPO-6SixdNTHBGH_CcTl2n8";
const USER_ID: &str = "tm_5uOigSRYGBlu-O_2fwg";

/// Of the session in `session.json`.
const SESSION_ID: &str = "Kn4Hq7Iou92SupL1AwAgoMBiN3xpLlzJeoAZO1_Dd4Q";
const SUBJECT: &str = "UZdBhxrNpdrjiroVsdAc5A";

/// Where the feed is: its head, its entries, what is current.
const FEED: [&str; 3] = [
    "statewise:revocations",
    "statewise:revocations:stream",
    "statewise:revocations:current",
];

fn start(strategies: &[&str]) -> Cluster {
    Cluster::with(StackOptions {
        strategies: strategies.iter().map(|&name| name.to_owned()).collect(),
        ..StackOptions::default()
    })
}

fn redis_of(cluster: &Cluster) -> redis::Connection {
    let client = redis::Client::open(cluster.stack.redis_url.as_str()).unwrap();
    client.get_connection().unwrap()
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

/// Writes the session of `session.json`, begun now, with these further members of its record.
fn write_session(cluster: &Cluster, more: &str) {
    let now = now();
    let text = SESSION
        .replace("LATER", &(now + 3_600).to_string())
        .replace("NOW", &now.to_string())
        .replace("\\\"idle_seconds", &format!("{more}\\\"idle_seconds"));
    let commands: Vec<Vec<String>> = serde_json::from_str(&text).unwrap();
    let mut redis = redis_of(cluster);
    for command in commands {
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).exec(&mut redis).unwrap();
    }
}

#[test]
fn a_session_of_the_version_before_is_read_by_every_strategy_and_ended() {
    let opaque = ["session", "session-cached", "introspection", "phantom"];
    let cluster = start(&opaque);
    write_session(&cluster, "");
    for strategy in ["session", "session-cached"] {
        let me = cluster.get_as(&format!("/{strategy}/me"), SESSION_ID);
        assert_eq!(me.status, 200, "{me:?}");
        assert_eq!(me.json["subject"], SUBJECT, "{me:?}");
        assert_eq!(me.json["roles"], json!(["user"]), "{me:?}");
    }
    for strategy in ["introspection", "phantom"] {
        let me = cluster.get_as(&format!("/{strategy}/me"), SESSION_ID);
        assert_eq!((me.status, &me.json["subject"]), (200, &json!(SUBJECT)));
    }
    let cart = cluster.get_as("/session/cart", SESSION_ID);
    assert_eq!(cart.json["items"][0]["sku"], "tea", "{cart:?}");
    let out = cluster.post("/auth/logout", &Value::Null);
    let out = answer(out.bearer_auth(SESSION_ID));
    assert!(matches!(out.status, 200..=204), "{out:?}");
    let me = cluster.get_as("/session/me", SESSION_ID);
    assert_eq!(me.status, 401, "{me:?}");
}

#[test]
fn an_end_of_all_logins_ends_sessions_of_the_version_before_as_those_of_this_one() {
    let cluster = start(&["session"]);
    write_session(&cluster, "");
    cluster.register("ada");
    let session = cluster.session("ada");
    let statuses = || [SESSION_ID, &session].map(|id| cluster.get_as("/session/me", id).status);
    assert_eq!(statuses(), [200, 200]);
    let root = cluster.session("root");
    let all = cluster.post("/auth/revocations", &json!({"kind": "all"}));
    let ended = answer(all.bearer_auth(&root));
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(statuses(), [401, 401]);
}

/// What `AUTH_SESSION_IDS=plain` is for: the version before looks for sessions here, and ends them so.
#[test]
fn with_plain_ids_sessions_are_where_the_version_before_has_them() {
    let options = StackOptions {
        strategies: vec!["session".to_owned()],
        ..StackOptions::default()
    };
    let cluster = Cluster::with(options.variable(Role::Auth, "AUTH_SESSION_IDS", "plain"));
    let user = cluster.register("ada");
    let session = cluster.session("ada");
    assert_eq!(session.len(), SESSION_ID.len());
    assert_eq!(cluster.get_as("/session/me", &session).status, 200);
    let index = format!(
        "statewise:sessions:{}",
        user.json["user_id"].as_str().unwrap()
    );
    let mut redis = redis_of(&cluster);
    let places: Vec<(String, String)> = redis::cmd("HGETALL").arg(index).query(&mut redis).unwrap();
    let [(_, digest)] = places.as_slice() else {
        panic!("one session: {places:?}")
    };
    let key = format!("statewise:session:{digest}");
    let ended: u64 = redis::cmd("DEL").arg(key).query(&mut redis).unwrap();
    assert_eq!(ended, 1);
    assert_eq!(cluster.get_as("/session/me", &session).status, 401);
}

/// What a version may add is passed over by the one before it.
#[test]
fn a_session_of_a_version_after_is_read_though_it_has_members_that_are_not_known() {
    let cluster = start(&["session", "session-cached"]);
    write_session(&cluster, "\\\"added_later\\\":{\\\"a\\\":[1]},");
    redis::cmd("HSET")
        .arg(&[
            "statewise:session:4ba5b7357128be3816de80b4b2aa5dbef3fc34b73cb1606be1fe91bad22f0923",
            "added_later",
            "1",
        ])
        .exec(&mut redis_of(&cluster))
        .unwrap();
    for strategy in ["session", "session-cached"] {
        let me = cluster.get_as(&format!("/{strategy}/me"), SESSION_ID);
        assert_eq!((me.status, &me.json["subject"]), (200, &json!(SUBJECT)));
    }
}

#[test]
fn what_an_auth_service_of_the_version_before_publishes_reaches_the_replicas() {
    let cluster = start(&["jwt-revocable"]);
    for user in ["ada", "bob"] {
        cluster.register(user);
    }
    let (token, other) = (cluster.token("ada"), cluster.token("bob"));
    let status = |token: &str| cluster.get_as("/jwt-revocable/me", token).status;
    eventually("the feed is followed", || {
        (status(&token) == 200 && status(&other) == 200).then_some(())
    });
    let claims = token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let until = claims["exp"].as_u64().unwrap() + 300;
    let entry = json!({"kind": "session", "id": claims["sid"], "until": until}).to_string();
    // Now, seconds to live, length of the stream; entry, until, tip.
    let arguments = [
        now().to_string(),
        "86400".to_owned(),
        "100000".to_owned(),
        entry,
        until.to_string(),
        "5ltSVllqObiM".to_owned(),
    ];
    let published: Option<(String, u64, String)> = redis::cmd("EVAL")
        .arg(PUBLISH)
        .arg(FEED.len())
        .arg(&FEED)
        .arg(&arguments)
        .query(&mut redis_of(&cluster))
        .unwrap();
    assert!(published.is_some(), "there is a feed");
    eventually("the token is refused", || {
        (status(&token) == 401).then_some(())
    });
    assert_eq!(status(&other), 200);
    // What follows in the feed is of the new version again.
    let out = cluster.post("/auth/logout", &Value::Null);
    let out = answer(out.bearer_auth(&other));
    assert!(matches!(out.status, 200..=204), "{out:?}");
    eventually("the other token too", || {
        (status(&other) == 401).then_some(())
    });
}

#[test]
fn users_and_keys_of_the_version_before_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.sqlite");
    std::fs::write(&file, USERS).unwrap();
    let url = format!("sqlite:{}", file.display());
    let options = StackOptions {
        strategies: vec!["jwt".to_owned()],
        ..StackOptions::default()
    };
    let options = [
        ("AUTH_DATABASE_URL", url.as_str()),
        ("AUTH_KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY),
        ("AUTH_ALGORITHM", "EdDSA"),
        // Whenever this runs, the key signs.
        ("AUTH_KEY_ROTATE_EVERY", "0s"),
    ]
    .into_iter()
    .fold(options, |options, (name, value)| {
        options.variable(Role::Auth, name, value)
    });
    let cluster = Cluster::with(options);
    let token = cluster.token("ada");
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
    let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
    assert_eq!(header["kid"], KEY_ID);
    let me = cluster.get_as("/jwt/me", &token);
    assert_eq!((me.status, &me.json["subject"]), (200, &json!(USER_ID)));
}
