//! Several services on one database: one succession of keys, none of them readable at rest, and an
//! honest answer while it cannot be read.

use std::time::Duration;

use auth_service::{
    keys::{Algorithm, KeyRing, KeySource, Lifetimes, SealingKeys, SealingSource},
    storage::{Database, UnixSeconds},
};
use serde_json::{Value, json};

use crate::{
    keys::{kids, signer as signed_by, with_admin},
    logout::logout,
    on_both_databases, postgres,
    service::{Backend, Builder, PASSWORD, Service, answered, eventually, header, problem},
};

/// Some 32 bytes in base64url.
pub(crate) const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER_ENCRYPTION_KEY: &str = "HxECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const ANNOUNCE: Duration = Duration::from_secs(600);
const RETAIN: Duration = Duration::from_secs(930);

const LIFETIMES: Lifetimes = Lifetimes {
    announce: ANNOUNCE,
    retain: RETAIN,
    rotate_every: Duration::ZERO,
    longest_token: Duration::from_secs(900),
};

on_both_databases!(
    two_services_on_one_database_make_one_key_and_switch_together,
    keys_follow_each_other_on_schedule_and_two_services_make_one_a_period,
    services_that_start_together_on_an_empty_database_make_one_key,
    a_key_that_is_given_later_opens_what_the_file_sealed,
    another_encryption_key_is_refused_with_the_remedy_and_several_open,
);

fn rotating(backend: Backend) -> Builder {
    with_admin(backend)
        .option(&format!("--key-encryption-key={ENCRYPTION_KEY}"))
        .option("--key-announce=600s")
        .option("--key-retain=930s")
        .option("--key-rotate-every=0s")
}

/// Another service on the same database and by the same clock.
fn beside(service: &Service, backend: Backend) -> Builder {
    let builder = rotating(backend).with_clock(&service.clock);
    match &service.database_url {
        Some(url) => builder.existing_database(url),
        None => {
            let file = service.data().join("users.sqlite");
            builder.option(&format!("--database-url=sqlite:{}", file.display()))
        }
    }
}

fn given(service: &Service) -> SealingSource {
    SealingSource::Given {
        keys: SealingKeys::parse(ENCRYPTION_KEY).unwrap(),
        earlier: service.data().join("key-encryption.key"),
    }
}

async fn token(service: &Service) -> String {
    let login = service.logged_in("root", "token").await;
    login["access_token"].as_str().unwrap().to_owned()
}

async fn signer(service: &Service) -> String {
    signed_by(&token(service).await)
}

async fn rotate(service: &Service) -> Value {
    let token = token(service).await;
    let request = service.request("POST", "/keys/rotate").bearer_auth(token);
    let response = answered(request).await;
    assert_eq!(response.status(), 202);
    response.json().await.unwrap()
}

/// `kid` and `stage` of each key that an administrator sees.
async fn states(service: &Service) -> Vec<(String, String)> {
    let token = token(service).await;
    let response = answered(service.request("GET", "/keys").bearer_auth(token)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let body: Value = response.json().await.unwrap();
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let keys = body["keys"].as_array().unwrap().iter();
    keys.map(|key| (text(key, "kid"), text(key, "stage")))
        .collect()
}

async fn two_services_on_one_database_make_one_key_and_switch_together(backend: Backend) {
    let one = rotating(backend).start().await;
    let two = beside(&one, backend).start().await;
    assert_eq!(kids(&one).await, kids(&two).await);
    let old = signer(&one).await;
    assert_eq!(signer(&two).await, old);

    let (first, second) = tokio::join!(rotate(&one), rotate(&two));
    assert_eq!(first["kid"], second["kid"]);
    assert_eq!(kids(&one).await.len(), 2);
    assert_eq!(kids(&one).await, kids(&two).await);

    one.clock.advance(ANNOUNCE);
    let new = first["kid"].as_str().unwrap();
    let (of_one, of_two) = (token(&one).await, token(&two).await);
    assert_eq!([signed_by(&of_one), signed_by(&of_two)], [new, new]);
    let ended = logout(&two, "authorization", &format!("Bearer {of_one}")).await;
    // 202: there is no Redis to tell of it.
    assert_eq!(ended.status(), 202, "each accepts the other's tokens");

    // A key that one announces is seen by the other without being asked for.
    rotate(&one).await;
    let expected = kids(&one).await;
    assert_eq!(expected.len(), 3);
    eventually("the other service publishes it too", async || {
        kids(&two).await == expected
    })
    .await;
    two.stop().await;
    one.stop().await;
}

async fn keys_follow_each_other_on_schedule_and_two_services_make_one_a_period(backend: Backend) {
    let schedule = "--key-rotate-every=1h";
    let one = rotating(backend).option(schedule).start().await;
    let two = beside(&one, backend).option(schedule).start().await;
    for _ in 0..3 {
        let old = signer(&one).await;
        one.clock.advance(Duration::from_secs(3600) - ANNOUNCE);
        eventually("the next key is announced by both", async || {
            let announced = async |service: &Service| {
                let states = states(service).await;
                states
                    .iter()
                    .filter(|(_, state)| state == "announced")
                    .count()
            };
            let counts = (announced(&one).await, announced(&two).await);
            assert!(counts.0 <= 1 && counts.1 <= 1, "{counts:?}");
            counts == (1, 1)
        })
        .await;
        assert_eq!(signer(&one).await, old);
        // The time that was planned, not that of the announcement.
        one.clock.advance(ANNOUNCE);
        let new = signer(&one).await;
        assert_ne!(new, old);
        assert_eq!(signer(&two).await, new);
    }
    two.stop().await;
    one.stop().await;
}

async fn services_that_start_together_on_an_empty_database_make_one_key(backend: Backend) {
    let service = Builder::new(backend).start().await;
    let settings = service.database_settings();
    let database = Database::open(&settings).await.unwrap();
    let source = KeySource::Database {
        sealing: given(&service),
        lifetimes: LIFETIMES,
    };
    // The tables are there, and no key.
    empty(&service).await;
    let now = UnixSeconds::now(&service.clock);
    let open = || KeyRing::open(&source, Algorithm::EdDsa, &database, now);
    let opened = tokio::join!(open(), open(), open(), open());
    let rings = [opened.0, opened.1, opened.2, opened.3];
    let mut found = Vec::new();
    for ring in rings {
        let keys = ring.unwrap().statuses(now);
        assert_eq!(keys.len(), 1);
        found.push(keys[0].kid.clone());
    }
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
    database.close().await;
    service.stop().await;
}

async fn a_key_that_is_given_later_opens_what_the_file_sealed(backend: Backend) {
    let service = with_admin(backend).start().await;
    let kid = signer(&service).await;
    let database = Database::open(&service.database_settings()).await.unwrap();
    let source = KeySource::Database {
        sealing: given(&service),
        lifetimes: LIFETIMES,
    };
    let now = UnixSeconds::now(&service.clock);
    let ring = KeyRing::open(&source, Algorithm::EdDsa, &database, now).await;
    let kids: Vec<_> = ring
        .unwrap()
        .statuses(now)
        .into_iter()
        .map(|key| key.kid)
        .collect();
    assert!(kids.contains(&kid), "{kids:?}");
    database.close().await;
    service.stop().await;
}

async fn another_encryption_key_is_refused_with_the_remedy_and_several_open(backend: Backend) {
    let service = rotating(backend).start().await;
    let kid = signer(&service).await;
    let refused = beside(&service, backend)
        .option(&format!("--key-encryption-key={OTHER_ENCRYPTION_KEY}"))
        .refused()
        .await
        .to_string();
    for part in [&kid, "AUTH_KEY_ENCRYPTION_KEY", "signing_keys"] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
    for key in [ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY] {
        assert!(!refused.contains(key), "{refused}");
    }
    let both = format!("--key-encryption-key={OTHER_ENCRYPTION_KEY},{ENCRYPTION_KEY}");
    let other = beside(&service, backend).option(&both).start().await;
    assert_eq!(signer(&other).await, kid);
    other.stop().await;
    service.stop().await;
}

/// The database cannot be read for so long that another replica's keys may sign by now.
#[tokio::test]
async fn a_service_that_cannot_read_the_keys_says_so_and_never_calls_a_token_bad() {
    let service = Builder::new(Backend::Postgres)
        .option("--key-announce=2s")
        .option("--access-token-ttl=60s")
        .option("--key-retain=90s")
        .option("--key-rotate-every=0s")
        .start()
        .await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = login["access_token"].as_str().unwrap();
    // By a key that this service does not know and another one may have made.
    let (_, rest) = token.split_once('.').unwrap();
    let foreign = format!("{}.{rest}", foreign_header());
    let end =
        async |token: &str| logout(&service, "authorization", &format!("Bearer {token}")).await;
    assert_eq!(end(&foreign).await.status(), 401);

    let url = service.database_url.clone().unwrap();
    postgres::shut(&url).await;
    eventually("the keys are too old", async || {
        let response = service.get("/readyz").await;
        response.status() == 503
            && problem(response).await["detail"]
                .to_string()
                .contains("keys")
    })
    .await;
    let response = end(&foreign).await;
    assert_eq!(response.status(), 503);
    assert!(!header(&response, "retry-after").is_empty());
    let published = service.get("/.well-known/jwks.json").await;
    assert_eq!(published.status(), 200);
    assert_eq!(header(&published, "cache-control"), "public, max-age=0");

    postgres::reopen(&url).await;
    eventually("the keys are read again", async || {
        service.get("/readyz").await.status() == 200
    })
    .await;
    assert_eq!(end(&foreign).await.status(), 401);
    assert_eq!(service.login("ada", PASSWORD, "token").await.status(), 200);
    service.stop().await;
}

fn foreign_header() -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = json!({"alg": "EdDSA", "kid": "another-replica", "typ": "at+jwt"});
    URL_SAFE_NO_PAD.encode(header.to_string())
}

/// Removes every key.
async fn empty(service: &Service) {
    let statement = "DELETE FROM signing_keys";
    match &service.database_url {
        Some(url) => {
            let pool = sqlx::PgPool::connect(url).await.unwrap();
            sqlx::query(statement).execute(&pool).await.unwrap();
            pool.close().await;
        }
        None => {
            let url = format!("sqlite:{}", service.data().join("users.sqlite").display());
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            sqlx::query(statement).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }
}
