//! The verdict contract: one table of cases, run for every strategy.

use std::{sync::Arc, time::Duration};

use api_service::{Jwt, Phantom, StrategyConfig, TokenSettings};
use serde_json::json;
use shared::{
    revocation::WhenStale,
    session::{Creation, SessionId, SessionRecord, SessionStore},
};

use crate::{
    authority::Authority,
    cached::cached,
    issuer::{Answer, Issuer},
    redis::{Redis, RedisCluster, Sessions},
    revocable,
    service::{self, Header, NEVER, NOW, Service},
    signer::{Signer, claims},
};

/// A service of one strategy and credentials for it.
struct Arm {
    service: Service,
    strategy: &'static str,
    user: String,
    admin: String,
    expired: String,
    unknown: String,
    /// A good credential of the other strategy.
    foreign: String,
    _backend: Backend,
}

/// Kept running as long as the service.
enum Backend {
    Issuer(Issuer),
    Redis(#[expect(dead_code, reason = "held, not read")] Redis),
    Cluster(#[expect(dead_code, reason = "held, not read")] Arc<RedisCluster>),
    Authority(#[expect(dead_code, reason = "held, not read")] Authority),
    Both(
        #[expect(dead_code, reason = "held, not read")] Issuer,
        #[expect(dead_code, reason = "held, not read")] Redis,
    ),
}

const BARE: &str = "Bearer realm=\"statewise\"";
const INVALID_TOKEN: &str = "Bearer realm=\"statewise\", error=\"invalid_token\"";
const INVALID_REQUEST: &str = "Bearer realm=\"statewise\", error=\"invalid_request\"";
const INSUFFICIENT_SCOPE: &str = "Bearer realm=\"statewise\", error=\"insufficient_scope\"";

#[derive(Clone)]
struct Case {
    what: &'static str,
    path: String,
    headers: Vec<Header>,
    status: u16,
    challenge: Option<&'static str>,
}

#[rustfmt::skip]
fn cases(arm: &Arm) -> Vec<Case> {
    let bearer = |credential: &str| vec![("authorization", format!("Bearer {credential}"))];
    let case = |what, path: &str, headers, status, challenge| Case {
        what, path: path.to_owned(), headers, status, challenge,
    };
    let twice = [bearer(&arm.user), bearer(&arm.user)].concat();
    vec![
        case("good", "/me", bearer(&arm.user), 200, None),
        case("good, scheme in other case", "/me", vec![("authorization", format!("bEARER {}", arm.user))], 200, None),
        case("good, more than one space", "/me", vec![("authorization", format!("Bearer   {}", arm.user))], 200, None),
        case("good and allowed", "/admin", bearer(&arm.admin), 200, None),
        case("good and not allowed", "/admin", bearer(&arm.user), 403, Some(INSUFFICIENT_SCOPE)),
        case("missing", "/me", vec![], 401, Some(BARE)),
        case("missing where a role is needed", "/admin", vec![], 401, Some(BARE)),
        case("another scheme", "/me", vec![("authorization", "Basic YTpi".to_owned())], 401, Some(BARE)),
        case("in the query", &format!("/me?access_token={}", arm.user), vec![], 401, Some(BARE)),
        case("empty", "/me", vec![("authorization", "Bearer".to_owned())], 401, Some(INVALID_TOKEN)),
        case("malformed", "/me", bearer("nonsense"), 401, Some(INVALID_TOKEN)),
        case("two tokens in one header", "/me", bearer(&format!("{0}, {0}", arm.user)), 401, Some(INVALID_TOKEN)),
        case("cut short", "/me", bearer(&arm.user[..arm.user.len() - 1]), 401, Some(INVALID_TOKEN)),
        case("too long", "/me", bearer(&"a".repeat(9_000)), 401, Some(INVALID_TOKEN)),
        case("expired", "/me", bearer(&arm.expired), 401, Some(INVALID_TOKEN)),
        case("unknown", "/me", bearer(&arm.unknown), 401, Some(INVALID_TOKEN)),
        case("invalid where a role is needed", "/admin", bearer(&arm.unknown), 401, Some(INVALID_TOKEN)),
        case("of the other strategy", "/me", bearer(&arm.foreign), 401, Some(INVALID_TOKEN)),
        case("twice", "/me", twice, 400, Some(INVALID_REQUEST)),
        case("wrong where nobody asks", "/public", bearer(&arm.unknown), 200, None),
    ]
}

/// Twice, since what a strategy remembers of the first time must change nothing.
async fn the_contract_holds(arm: &Arm) {
    for case in [cases(arm), cases(arm)].concat() {
        let answer = arm.service.get(&case.path, &case.headers).await;
        let what = format!("{}, {}: {answer:?}", arm.strategy, case.what);
        assert_eq!(answer.status, case.status, "{what}");
        assert_eq!(answer.header("www-authenticate"), case.challenge, "{what}");
        assert_eq!(answer.header("set-cookie"), None, "{what}");
        if case.path != "/public" {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        }
        if case.status >= 400 {
            assert_eq!(answer.json()["status"], case.status, "{what}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{what}"
            );
            for credential in [&arm.user, &arm.expired, &arm.unknown, &arm.foreign] {
                assert!(!answer.body.contains(credential.as_str()), "{what}");
            }
        }
    }
}

/// Tokens by the strategy that also follows revocations.
async fn revocable_tokens(remembered: usize) -> Arm {
    let mut arm = token_arm("jwt", remembered).await;
    let Backend::Issuer(issuer) = arm._backend else {
        panic!("tokens have an issuer")
    };
    let redis = Redis::start();
    revocable::feed(&redis).await;
    let strategy = revocable::strategy(&issuer, &redis, WhenStale::Refuse, remembered);
    arm.service = Service::ready(strategy).await;
    arm.strategy = "jwt-revocable";
    arm._backend = Backend::Both(issuer, redis);
    arm
}

async fn tokens() -> Arm {
    token_arm("jwt", 0).await
}

/// A strategy that takes tokens, with so many remembered.
async fn token_arm(strategy: &'static str, remembered: usize) -> Arm {
    let (signer, stranger) = (Signer::rs256("k1"), Signer::rs256("k1"));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let mut expired = claims(NOW - 1_000, &["user"]);
    expired["exp"] = json!(NOW - 30);
    let settings = TokenSettings {
        remembered,
        ..service::tokens(&issuer, NEVER, NEVER)
    };
    let config = match strategy {
        "phantom" => StrategyConfig::from(Phantom(settings)),
        _ => StrategyConfig::from(Jwt(settings)),
    };
    Arm {
        service: Service::ready(config).await,
        strategy,
        user: signer.sign(&claims(NOW, &["user"])),
        admin: signer.sign(&claims(NOW, &["user", "admin"])),
        expired: signer.sign(&expired),
        unknown: stranger.sign(&claims(NOW, &["admin"])),
        foreign: SessionId::generate("nobody").expose().to_owned(),
        _backend: Backend::Issuer(issuer),
    }
}

async fn sessions() -> Arm {
    session_arm("session", Redis::start(), Backend::Redis).await
}

/// A strategy that knows sessions from Redis.
async fn session_arm<R: Sessions>(
    strategy: &'static str,
    redis: R,
    backend: impl FnOnce(R) -> Backend,
) -> Arm {
    let store = redis.store().await;
    let config = match strategy {
        "session-cached" => cached(redis.settings(), Duration::ZERO),
        _ => service::session(redis.settings()),
    };
    Arm {
        service: Service::ready(config).await,
        strategy,
        user: log_in(&store, &["user"], NOW + 900).await,
        admin: log_in(&store, &["user", "admin"], NOW + 900).await,
        expired: log_in(&store, &["user"], NOW).await,
        unknown: SessionId::generate("nobody").expose().to_owned(),
        foreign: Signer::eddsa("k1").sign(&claims(NOW, &["user"])),
        _backend: backend(redis),
    }
}

/// Introspection, with answers kept for so long.
async fn introspection_arm(keep: Duration) -> Arm {
    let authority = Authority::start();
    let expired = authority.log_in(&["user"]);
    authority.log_out(&expired);
    Arm {
        service: Service::ready(authority.strategy(keep)).await,
        strategy: "introspection",
        user: authority.log_in(&["user"]),
        admin: authority.log_in(&["user", "admin"]),
        expired,
        unknown: SessionId::generate("nobody").expose().to_owned(),
        foreign: Signer::eddsa("k1").sign(&claims(NOW, &["user"])),
        _backend: Backend::Authority(authority),
    }
}

/// Every strategy, with and without what it may remember.
async fn all() -> Vec<Arm> {
    // It takes a while, in which a service would close connections that nobody uses.
    let cluster = Arc::new(RedisCluster::start(3, false));
    vec![
        tokens().await,
        token_arm("jwt", 100).await,
        revocable_tokens(0).await,
        revocable_tokens(100).await,
        token_arm("phantom", 0).await,
        token_arm("phantom", 100).await,
        sessions().await,
        session_arm("session", Arc::clone(&cluster), Backend::Cluster).await,
        session_arm("session-cached", Redis::start(), Backend::Redis).await,
        session_arm("session-cached", cluster, Backend::Cluster).await,
        introspection_arm(Duration::ZERO).await,
        introspection_arm(NEVER).await,
    ]
}

/// A session that began 100 s ago.
pub(crate) async fn log_in(store: &SessionStore, roles: &[&str], expires_at: u64) -> String {
    let id = SessionId::generate("u-1");
    let record = SessionRecord {
        sid: SessionRecord::new_sid(NOW),
        subject: "u-1".to_owned(),
        username: "ada".to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        created_at: NOW - 100,
        expires_at,
        idle_seconds: 600,
        generation: None,
    };
    let creation = store.create(&id, &record, NOW - 100, None).await.unwrap();
    assert_eq!(creation, Creation::Created);
    id.expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_for_tokens() {
    the_contract_holds(&tokens().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_for_sessions() {
    the_contract_holds(&sessions().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_for_every_strategy_whatever_it_remembers() {
    for arm in all().await {
        the_contract_holds(&arm).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_principal_is_the_same_by_either_strategy() {
    for arm in all().await {
        let mut answer = arm.service.me(&arm.user).await.json();
        let known = answer.as_object_mut().unwrap().remove("known").unwrap();
        assert_eq!(
            answer,
            json!({
                "subject": "u-1", "username": "ada", "roles": ["user"],
                "strategy": arm.strategy, "replica": "replica-1",
            })
        );
        assert_eq!(known["carried_by_client"]["bytes"], arm.user.len());
        let by_server = json!(match arm.strategy {
            "session" | "session-cached" => vec!["subject", "username", "roles", "cart"],
            "introspection" => vec!["subject", "username", "roles"],
            _ => vec![],
        });
        assert_eq!(known["by_server"]["holds"], by_server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_ends_when_its_time_is_over() {
    let arms = [
        tokens().await,
        token_arm("jwt", 100).await,
        sessions().await,
        session_arm("session-cached", Redis::start(), Backend::Redis).await,
    ];
    for arm in arms {
        assert_eq!(arm.service.me(&arm.user).await.status, 200);
        arm.service
            .clock
            .advance(std::time::Duration::from_secs(899));
        assert_eq!(
            arm.service.me(&arm.user).await.status,
            200,
            "{}",
            arm.strategy
        );
        // The leeway of 30 s is for the clocks of two machines, so it is added for tokens.
        arm.service
            .clock
            .advance(std::time::Duration::from_secs(31));
        assert_eq!(
            arm.service.me(&arm.user).await.status,
            401,
            "{}",
            arm.strategy
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_is_counted_and_timed() {
    for arm in all().await {
        arm.service.me(&arm.user).await;
        arm.service.me(&arm.unknown).await;
        arm.service.get("/me", &[]).await;
        for outcome in ["valid", "invalid", "missing"] {
            let line = format!(
                "statewise_verdicts_total{{strategy=\"{}\",outcome=\"{outcome}\"}} 1",
                arm.strategy
            );
            assert!(arm.service.measures(&line).await, "{line}");
        }
        // Why, for whoever runs it and not for the caller.
        let line = format!(
            "statewise_refusals_total{{strategy=\"{}\",reason=\"",
            arm.strategy
        );
        assert!(arm.service.measures(&line).await, "{line}");
        // What was missing took no verification to time.
        let line = "statewise_verification_duration_seconds_count 2";
        assert!(arm.service.measures(line).await, "{line}");
    }
}

// Cookies: for sessions only.

fn cookie(id: &str) -> Header {
    ("cookie", format!("theme=dark; __Host-sid={id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_come_by_cookie() {
    let arm = sessions().await;
    let by_cookie = arm.service.get("/me", &[cookie(&arm.user)]).await;
    assert_eq!(by_cookie.status, 200);
    let unknown = arm.service.get("/me", &[cookie(&arm.unknown)]).await;
    assert_eq!(unknown.header("www-authenticate"), Some(INVALID_TOKEN));
    let malformed = arm.service.get("/me", &[cookie("\"quoted\"")]).await;
    assert_eq!(malformed.header("www-authenticate"), Some(INVALID_TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_token_next_to_a_session_cookie_is_ignored() {
    let arm = sessions().await;
    let token = ("authorization", format!("Bearer {}", arm.foreign));
    let answer = arm.service.get("/me", &[token, cookie(&arm.user)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_by_bearer_goes_before_one_by_cookie() {
    let arm = sessions().await;
    let bearer = ("authorization", format!("Bearer {}", arm.unknown));
    let answer = arm.service.get("/me", &[bearer, cookie(&arm.user)]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_session_cookies_are_refused_unless_they_are_equal() {
    let arm = sessions().await;
    let both = |other: &str| [cookie(&arm.user), cookie(other)];
    let differ = arm.service.get("/me", &both(&arm.admin)).await;
    assert_eq!(differ.status, 400, "{differ:?}");
    assert_eq!(differ.header("www-authenticate"), Some(INVALID_REQUEST));
    let equal = arm.service.get("/me", &both(&arm.user)).await;
    assert_eq!(equal.status, 200, "{equal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_session_cookie_is_ignored_by_the_token_strategy() {
    let arm = tokens().await;
    let alone = arm.service.get("/me", &[cookie(&arm.foreign)]).await;
    assert_eq!(alone.header("www-authenticate"), Some(BARE), "{alone:?}");
    let bearer = ("authorization", format!("Bearer {}", arm.user));
    let beside = arm.service.get("/me", &[bearer, cookie("nonsense")]).await;
    assert_eq!(beside.status, 200, "{beside:?}");
}
