//! What a password may be, and in which forms it is the same one.

use argon2::Params;
use auth_service::{
    credentials::Username,
    metrics::AuthMetrics,
    passwords::{Asker, HashSettings, Kind, Passwords},
    storage::{At, Database, UnixSeconds},
    users::Users,
};
use serde_json::json;
use shared::{config::Secret, network::Network};

use crate::{
    on_both_databases,
    service::{Backend, Builder, problem},
};

const COMPOSED: &str = "Müllers Café über alles";
const DECOMPOSED: &str = "Mu\u{308}llers Cafe\u{301} u\u{308}ber alles";
const OF_FULL_WIDTH: &str = "Ｍüllers Café über alles";

on_both_databases!(
    a_password_is_the_same_however_it_is_typed,
    a_hash_of_what_was_typed_goes_on_and_is_renewed,
);

async fn a_password_is_the_same_however_it_is_typed(backend: Backend) {
    let service = Builder::new(backend).start().await;
    for (name, chosen) in [("ada", COMPOSED), ("eve", DECOMPOSED)] {
        let registration = json!({"username": name, "password": chosen});
        assert_eq!(service.post("/register", &registration).await.status(), 201);
        for typed in [COMPOSED, DECOMPOSED, OF_FULL_WIDTH] {
            let login = service.login(name, typed, "token").await;
            assert_eq!(login.status(), 200, "{typed} of {name}");
        }
        for other in ["Mullers Cafe uber alles", "müllers café über alles"] {
            let login = service.login(name, other, "token").await;
            assert_eq!(login.status(), 401, "{other} of {name}");
        }
    }
    service.stop().await;
}

async fn a_hash_of_what_was_typed_goes_on_and_is_renewed(backend: Backend) {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let database = Database::open(&service.database_settings()).await.unwrap();
    let users = Users::new(database.clone());
    let at = At::untraced(UnixSeconds::now(&service.clock));
    let ada = Username::parse("ada").unwrap();
    let account = users.by_name(&ada, at).await.unwrap().unwrap();
    let settings = HashSettings {
        parameters: Params::new(64, 1, 1, None).unwrap(),
        concurrency: 1,
        queue: 1,
    };
    let passwords = Passwords::new(&settings, AuthMetrics::default()).unwrap();
    let asker = Asker {
        kind: Kind::Registration,
        network: Network::LOCAL,
    };
    let turn = passwords.turn(asker).await.unwrap();
    let typed = Secret::new(DECOMPOSED.to_owned());
    let as_typed = turn.hash(typed, None).await.unwrap();
    users.renew_hash(&account, &as_typed, at).await.unwrap();

    for (typed, status) in [
        (OF_FULL_WIDTH, 401),
        (DECOMPOSED, 200),
        (COMPOSED, 200),
        (OF_FULL_WIDTH, 200),
        (DECOMPOSED, 200),
        ("Mullers Cafe uber alles", 401),
    ] {
        let login = service.login("ada", typed, "token").await;
        assert_eq!(login.status(), status, "{typed}");
    }
    let renewed = users.by_name(&ada, at).await.unwrap().unwrap();
    assert_ne!(renewed.password_hash, as_typed);
    database.close().await;
    service.stop().await;
}

#[tokio::test]
async fn what_a_guesser_tries_first_cannot_be_chosen() {
    let service = Builder::new(Backend::Sqlite).start().await;
    for (name, password) in [
        ("ada", "password"),
        ("ada", "12345678"),
        ("ada", "Sunshine"),
        ("ada.lovelace", "ada.lovelace"),
        ("ada", "ADA-2026!"),
    ] {
        let registration = json!({"username": name, "password": password});
        let refused = service.post("/register", &registration).await;
        assert_eq!(refused.status(), 400, "{password}");
        let detail = problem(refused).await["detail"].to_string();
        assert!(detail.contains("password: "), "{detail}");
    }
    let passphrase = "my password is a walk of twelve sunny miles from ada's house";
    let registration = json!({"username": "ada", "password": passphrase});
    assert_eq!(service.post("/register", &registration).await.status(), 201);
    assert_eq!(
        service.login("ada", passphrase, "token").await.status(),
        200
    );
    service.stop().await;
}
