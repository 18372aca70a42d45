//! Revocations: durable first, published to replicas, honoured here.

use std::time::Duration;

use auth_service::{
    credentials::Username,
    refresh::{Beginning, RefreshTokens},
    revocations::Revocations,
    storage::{At, Database, UnixSeconds},
    users::{User, Users},
};
use serde_json::{Value, json};
use shared::{
    revocation::{Claims, FollowerSettings, Revocations as Follower, TokenStatus, WhenStale},
    session::StoreSettings,
    shutdown::CancellationToken,
    telemetry::{Identity, metrics::Metrics},
    token::AccessClaims,
};

use crate::{
    accounts::{Caller, admin, with_admin},
    logout::logout,
    on_both_databases,
    service::{Backend, Builder, PASSWORD, Service, answered, eventually},
};

on_both_databases!(
    the_end_of_a_login_is_published_to_replicas_and_honoured_here,
    what_is_ended_without_redis_is_published_when_it_is_back,
    each_kind_ends_what_it_names_and_a_login_in_the_same_second_is_good,
    a_login_that_was_under_way_when_everything_ended_is_over,
    ends_without_number_push_no_token_into_the_future,
    what_was_issued_on_an_earlier_reading_is_over_whatever_its_time,
    a_token_that_is_given_back_again_and_again_is_one_entry,
);

/// A replica that follows the feed of a service.
pub(crate) struct Replica {
    follower: Follower,
    metrics: Metrics,
}

impl Replica {
    pub(crate) async fn of(service: &Service) -> Self {
        let metrics = Metrics::new(&Identity {
            service: "test".into(),
            version: "0",
            instance: "1".to_owned(),
        });
        let redis = service.redis.as_ref().expect("a Redis");
        let settings = FollowerSettings {
            store: StoreSettings {
                url: redis.url().parse().unwrap(),
                tls: None,
                timeout: Duration::from_millis(500),
            },
            max_age: Duration::from_secs(3_600),
            when_stale: WhenStale::Refuse,
        };
        let stop = CancellationToken::new();
        let follower = Follower::follow(settings, service.clock.clone(), &metrics, &stop);
        let replica = Self { follower, metrics };
        eventually("the replica follows", async || {
            replica.follower.missing().is_none()
        })
        .await;
        replica
    }

    pub(crate) fn refuses(&self, claims: &AccessClaims) -> bool {
        let named = Claims {
            jti: &claims.jti,
            sid: claims.sid.as_deref(),
            sub: &claims.sub,
            iat: claims.iat,
            generation: claims.generation,
        };
        self.follower.check(named) == TokenStatus::Revoked
    }

    /// How many entries it holds.
    fn entries(&self) -> u64 {
        let text = self.metrics.render();
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix("statewise_revocation_entries "));
        found.unwrap().parse().unwrap()
    }

    pub(crate) async fn hears_of(&self, claims: &AccessClaims) {
        eventually("the replica hears of it", async || self.refuses(claims)).await;
    }
}

async fn token_of(service: &Service, user: &str) -> (String, String, AccessClaims) {
    let login = service.logged_in(user, "token").await;
    let text = |name: &str| login[name].as_str().unwrap().to_owned();
    let token = text("access_token");
    let claims = service.claims(&token).await;
    (token, text("refresh_token"), claims)
}

async fn end(service: &Service, token: &str) -> (u16, Value) {
    let response = logout(service, "authorization", &format!("Bearer {token}")).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn the_end_of_a_login_is_published_to_replicas_and_honoured_here(backend: Backend) {
    let service = Builder::new(backend).with_redis().start().await;
    service.register("ada").await;
    let replica = Replica::of(&service).await;
    let (token, refresh, claims) = token_of(&service, "ada").await;
    let (other, _, other_claims) = token_of(&service, "ada").await;
    assert!(!replica.refuses(&claims));

    let (status, body) = end(&service, &token).await;
    assert_eq!((status, &body["revocation"]), (200, &json!("published")));
    replica.hears_of(&claims).await;
    assert!(!replica.refuses(&other_claims));
    assert!(
        Replica::of(&service).await.refuses(&claims),
        "who joins later"
    );

    assert_eq!(service.refresh(&refresh).await.status(), 400);
    assert_eq!(
        end(&service, &token).await.0,
        401,
        "it is no credential here any more"
    );
    let mine = Caller::Token(other);
    assert_eq!(mine.get(&service, "/sessions").await.status(), 200);
    service.stop().await;
}

async fn what_is_ended_without_redis_is_published_when_it_is_back(backend: Backend) {
    let mut service = with_admin(backend).with_redis().start().await;
    service.register("ada").await;
    let (token, refresh, claims) = token_of(&service, "ada").await;
    let (_, banned_refresh, banned) = token_of(&service, "root").await;
    service.redis.as_mut().unwrap().kill();

    let (status, body) = end(&service, &token).await;
    assert_eq!((status, &body["revocation"]), (202, &json!("pending")));
    assert_eq!(
        service.refresh(&refresh).await.status(),
        400,
        "that needs no Redis"
    );
    let root = admin(&service).await;
    let all = root
        .post(&service, "/revocations", &json!({"kind": "all"}))
        .await;
    assert_eq!(all.status(), 202);
    assert_eq!(service.refresh(&banned_refresh).await.status(), 400);
    eventually("it is counted", async || {
        service.metric("auth_revocations_pending").await == 2
    })
    .await;

    service.redis.as_mut().unwrap().restart();
    let replica = Replica::of(&service).await;
    replica.hears_of(&claims).await;
    replica.hears_of(&banned).await;
    eventually("nothing is left over", async || {
        service.metric("auth_revocations_pending").await == 0
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_when_redis_forgets_everything() {
    let mut service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let early = Replica::of(&service).await;
    let (token, _, claims) = token_of(&service, "ada").await;
    assert_eq!(end(&service, &token).await.0, 200);
    early.hears_of(&claims).await;
    let redis = service.redis.as_mut().unwrap();
    redis.kill();
    redis.restart();
    let late = Replica::of(&service).await;
    for replica in [&early, &late] {
        assert!(replica.refuses(&claims));
    }
    let (token, _, claims) = token_of(&service, "ada").await;
    eventually("what comes later is published as well", async || {
        end(&service, &token).await.0 != 202
    })
    .await;
    early.hears_of(&claims).await;
    late.hears_of(&claims).await;
    service.stop().await;
}

async fn each_kind_ends_what_it_names_and_a_login_in_the_same_second_is_good(backend: Backend) {
    let service = with_admin(backend).with_redis().start().await;
    let replica = Replica::of(&service).await;
    for name in ["ada", "eve"] {
        service.register(name).await;
    }
    // The clock stands: everything happens in the same second.
    for kind in ["token", "session", "user", "all"] {
        let root = admin(&service).await;
        let (token, refresh, claims) = token_of(&service, "ada").await;
        let (_, _, other) = token_of(&service, "eve").await;
        let session = Caller::session(&service, "ada").await;
        let body = match kind {
            "token" => json!({"kind": kind, "id": claims.jti}),
            "session" => json!({"kind": kind, "id": claims.sid}),
            "user" => json!({"kind": kind, "id": "ada"}),
            _ => json!({"kind": kind}),
        };
        let ended = root.post(&service, "/revocations", &body).await;
        assert_eq!(ended.status(), 200, "{kind}");
        replica.hears_of(&claims).await;
        let refused = Caller::Token(token).get(&service, "/sessions").await;
        assert_eq!(refused.status(), 401, "{kind}");
        assert_eq!(replica.refuses(&other), kind == "all", "{kind}");
        let renewed = service.refresh(&refresh).await.status().as_u16();
        assert_eq!(renewed, if kind == "token" { 200 } else { 400 }, "{kind}");
        let by_session = session.get(&service, "/sessions").await.status().as_u16();
        let ends_sessions = ["user", "all"].contains(&kind);
        assert_eq!(by_session, if ends_sessions { 401 } else { 200 }, "{kind}");

        let (token, _, claims) = token_of(&service, "ada").await;
        assert!(!replica.refuses(&claims), "{kind}");
        for caller in [Caller::Token(token), Caller::session(&service, "ada").await] {
            let good = caller.get(&service, "/sessions").await;
            assert_eq!(good.status(), 200, "{kind}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn an_end_that_cannot_be_finished_keeps_no_other_from_being_published() {
    let service = with_admin(Backend::Sqlite).with_redis().start().await;
    let redis = service.redis.as_ref().unwrap();
    let root = admin(&service).await;
    let mut indices = Vec::new();
    for name in ["ada", "eve"] {
        service.register(name).await;
        let (_, _, claims) = token_of(&service, name).await;
        let index = format!("statewise:sessions:{}", claims.sub);
        redis.tell(&[&format!("SET {index} none")]);
        let body = json!({"kind": "user", "id": name});
        let ended = root.post(&service, "/revocations", &body).await;
        assert_eq!(ended.status(), 202, "{name}");
        indices.push(index);
    }
    let pending = async |count| {
        eventually("it is counted", async || {
            service.metric("auth_revocations_pending").await == count
        })
        .await;
    };
    pending(2).await;
    // The other one comes first.
    indices.sort();
    redis.tell(&[&format!("DEL {}", indices[1])]);
    pending(1).await;
    service.stop().await;
}

#[tokio::test]
async fn a_session_is_ended_by_an_administrator_who_knows_its_public_id() {
    let service = with_admin(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = Caller::session(&service, "ada").await;
    let listed: Value = session
        .get(&service, "/sessions")
        .await
        .json()
        .await
        .unwrap();
    let sid = listed["sessions"][0]["id"].as_str().unwrap();
    let root = admin(&service).await;
    let body = json!({"kind": "session", "id": sid});
    assert_eq!(
        root.post(&service, "/revocations", &body).await.status(),
        200
    );
    assert_eq!(session.get(&service, "/sessions").await.status(), 401);
    service.stop().await;
}

async fn ends_without_number_push_no_token_into_the_future(backend: Backend) {
    let service = with_admin(backend).with_redis().start().await;
    service.register("ada").await;
    let replica = Replica::of(&service).await;
    let (token, _, _) = token_of(&service, "ada").await;
    let ada = Caller::Token(token);
    // The clock stands: everything happens in the same second.
    for _ in 0..120 {
        assert_eq!(ada.delete(&service, "/sessions").await.status(), 200);
    }
    let root = admin(&service).await;
    let all = json!({"kind": "all"});
    assert_eq!(
        root.post(&service, "/revocations", &all).await.status(),
        200
    );
    assert_eq!(ada.get(&service, "/sessions").await.status(), 401);
    let (token, refresh, claims) = token_of(&service, "ada").await;
    let ahead = claims.iat - service.clock.unix_seconds();
    assert!(ahead <= 1, "{ahead} s ahead of the clock");
    assert!(!replica.refuses(&claims));
    let good = Caller::Token(token).get(&service, "/sessions").await;
    assert_eq!(good.status(), 200);
    assert_eq!(service.refresh(&refresh).await.status(), 200);
    service.stop().await;
}

async fn what_was_issued_on_an_earlier_reading_is_over_whatever_its_time(backend: Backend) {
    let builder = with_admin(backend).with_redis();
    let clients = format!("--clients=gateway:{}:exchange", "s".repeat(43));
    let service = builder.option(&clients).start().await;
    service.register("ada").await;
    let replica = Replica::of(&service).await;
    let session = Caller::session(&service, "ada").await;
    let form = [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", session.credential()),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = service
        .request("POST", "/oauth/token")
        .basic_auth("gateway", Some("s".repeat(43)))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let exchanged: Value = answered(request).await.json().await.unwrap();
    let exchanged = service
        .claims(exchanged["access_token"].as_str().unwrap())
        .await;
    let (token, refresh, claims) = token_of(&service, "ada").await;

    // An end that took its time seconds before, and is committed only now.
    let database = Database::open(&service.database_settings()).await.unwrap();
    let revocations = Revocations::new(database, Duration::from_secs(900));
    let now = UnixSeconds::now(&service.clock);
    let early = At::untraced(now - Duration::from_secs(5));
    let ended = revocations.end_user(&claims.sub, early).await;
    assert!(ended.unwrap().is_some());
    replica.hears_of(&exchanged).await;
    replica.hears_of(&claims).await;
    let refused = Caller::Token(token).get(&service, "/sessions").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(service.refresh(&refresh).await.status(), 400);
    eventually("the session ends", async || {
        session.get(&service, "/sessions").await.status() == 401
    })
    .await;
    let (_, _, claims) = token_of(&service, "ada").await;
    assert!(!replica.refuses(&claims), "a login after it is good");
    service.stop().await;
}

async fn a_token_that_is_given_back_again_and_again_is_one_entry(backend: Backend) {
    let service = Builder::new(backend).with_redis().start().await;
    service.register("ada").await;
    let replica = Replica::of(&service).await;
    let give_back = async |token: &str| {
        let request = service
            .request("POST", "/oauth/revoke")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={token}&client_id=statewise-login"));
        assert_eq!(answered(request).await.status(), 200);
    };
    let (token, mut refresh, claims) = token_of(&service, "ada").await;
    let published = async || Replica::of(&service).await.entries();
    for _ in 0..40 {
        give_back(&token).await;
        service.clock.advance(Duration::from_millis(500));
    }
    assert_eq!(published().await, 1);
    replica.hears_of(&claims).await;

    // Renewed and given back for ever: then the login ends.
    let mut renewals = 0;
    let last = loop {
        let renewed = service.refresh(&refresh).await;
        if renewed.status() == 400 {
            break renewals;
        }
        let renewed: Value = renewed.json().await.unwrap();
        renewed["refresh_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut refresh);
        give_back(renewed["access_token"].as_str().unwrap()).await;
        renewals += 1;
        assert!(renewals < 100);
    };
    assert!(
        last >= 10,
        "a client that gives back now and then keeps its login: {last}"
    );
    assert!(published().await <= 18, "{}", published().await);
    service.stop().await;
}

fn beginning(user: &User) -> Beginning<'_> {
    Beginning {
        user_id: &user.id,
        client_id: "statewise-login",
        login_at: user.issue_at,
        generation: user.generation,
        expires_at: user.issue_at + Duration::from_secs(1_000),
        scope: None,
    }
}

async fn a_login_that_was_under_way_when_everything_ended_is_over(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let database = Database::open(&service.database_settings()).await.unwrap();
    let users = Users::new(database.clone());
    let refresh_tokens = RefreshTokens::new(database.clone(), Duration::ZERO, Duration::ZERO);
    let revocations = Revocations::new(database, Duration::from_secs(900));
    let now = UnixSeconds::now(&service.clock);
    let at = At::untraced(now);
    let later = At::untraced(now + Duration::from_secs(3));
    let ada = Username::parse("ada").unwrap();
    for everybody in [false, true] {
        let user = users.by_name(&ada, at).await.unwrap().unwrap().user;
        // The end comes while the password is checked, which takes three seconds.
        if everybody {
            revocations.end_everything(at).await.unwrap();
        } else {
            revocations.end_user(&user.id, at).await.unwrap();
        }
        let started = refresh_tokens.start(beginning(&user), at);
        let (_, token) = started.await.unwrap();
        let grant = refresh_tokens.find(&token, later).await.unwrap();
        assert!(grant.is_none(), "everybody: {everybody}");
        let user = users.by_name(&ada, at).await.unwrap().unwrap().user;
        let started = refresh_tokens.start(beginning(&user), at);
        let (_, token) = started.await.unwrap();
        let grant = refresh_tokens.find(&token, later).await.unwrap();
        assert!(
            grant.is_some(),
            "one that begins afterwards is good: {everybody}"
        );
    }
    assert_eq!(service.login("ada", PASSWORD, "token").await.status(), 200);
    service.stop().await;
}
