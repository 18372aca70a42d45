//! What an administrator sees and changes of users.

use std::{process::Command, time::Duration};

use auth_service::{
    credentials::Username,
    storage::{At, Database, UnixSeconds},
    users::Users,
};
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};

use crate::{
    on_both_databases,
    revocations::Replica,
    service::{Backend, Builder, PASSWORD, Service, answered, cheap_options, problem},
};

on_both_databases!(
    other_roles_are_in_sessions_at_once_and_in_tokens_after_a_refresh,
    as_many_roles_as_a_user_may_have_fit_into_a_token,
    asvs_7_4_2_disabling_a_user_ends_everything_of_the_user,
    of_two_administrators_who_end_each_other_one_is_left,
    users_whose_name_is_no_part_of_a_path_are_found_and_banned,
    a_name_that_is_the_id_of_another_shields_nobody,
    an_operator_restores_an_administrator_who_was_locked_out,
);

/// Someone with a credential.
pub(crate) enum Caller {
    Token(String),
    Session(String),
}

impl Caller {
    pub(crate) async fn token(service: &Service, user: &str) -> Self {
        let login = service.logged_in(user, "token").await;
        Self::Token(login["access_token"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn session(service: &Service, user: &str) -> Self {
        let login = service.logged_in(user, "session").await;
        Self::Session(login["session_id"].as_str().unwrap().to_owned())
    }

    pub(crate) fn credential(&self) -> &str {
        match self {
            Self::Token(text) | Self::Session(text) => text,
        }
    }

    pub(crate) async fn get(&self, service: &Service, path: &str) -> Response {
        answered(service.request("GET", path).bearer_auth(self.credential())).await
    }

    pub(crate) async fn delete(&self, service: &Service, path: &str) -> Response {
        answered(
            service
                .request("DELETE", path)
                .bearer_auth(self.credential()),
        )
        .await
    }

    pub(crate) async fn post(&self, service: &Service, path: &str, body: &Value) -> Response {
        let request = service.request("POST", path).json(body);
        answered(request.bearer_auth(self.credential())).await
    }

    async fn patch(&self, service: &Service, path: &str, body: &Value) -> Response {
        let request = service.request("PATCH", path).json(body);
        answered(request.bearer_auth(self.credential())).await
    }
}

/// A service with an administrator.
pub(crate) fn with_admin(backend: Backend) -> Builder {
    Builder::new(backend)
        .option("--admin-username=root")
        .option(&format!("--admin-password={PASSWORD}"))
}

pub(crate) async fn admin(service: &Service) -> Caller {
    Caller::token(service, "root").await
}

async fn other_roles_are_in_sessions_at_once_and_in_tokens_after_a_refresh(backend: Backend) {
    let service = with_admin(backend).with_redis().start().await;
    service.register("ada").await;
    let replica = Replica::of(&service).await;
    let root = admin(&service).await;
    let session = Caller::session(&service, "ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = Caller::Token(login["access_token"].as_str().unwrap().to_owned());
    let old = service.claims(token.credential()).await;
    assert_eq!(session.get(&service, "/users/root").await.status(), 403);

    let body = json!({"roles": ["user", "admin", "user"]});
    let changed = root.patch(&service, "/users/ADA", &body).await;
    assert_eq!(changed.status(), 200);
    let shown: Value = changed.json().await.unwrap();
    assert_eq!(shown["roles"], json!(["user", "admin"]));
    assert_eq!(shown["revocation"], "published");
    assert_eq!(
        session.get(&service, "/users/root").await.status(),
        200,
        "the session goes on"
    );
    replica.hears_of(&old).await;
    assert_eq!(
        token.get(&service, "/sessions").await.status(),
        401,
        "it says the old roles"
    );

    let renewed = service
        .refresh(login["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(renewed.status(), 200, "the login goes on");
    let renewed: Value = renewed.json().await.unwrap();
    let new = service
        .claims(renewed["access_token"].as_str().unwrap())
        .await;
    assert_eq!(new.roles, ["user", "admin"]);
    assert!(!replica.refuses(&new));

    let taken = root
        .patch(&service, "/users/ada", &json!({"roles": []}))
        .await;
    assert_eq!(taken.status(), 200);
    assert_eq!(session.get(&service, "/users/root").await.status(), 403);
    replica.hears_of(&new).await;
    let record = crate::login::stored(&service, session.credential()).await;
    assert!(record.expect("a session").record.roles.is_empty());
    service.stop().await;
}

async fn as_many_roles_as_a_user_may_have_fit_into_a_token(backend: Backend) {
    let service = with_admin(backend).start().await;
    service.register("ada").await;
    let root = admin(&service).await;
    let roles: Vec<String> = (0..100).map(|number| format!("{number:0>32}")).collect();
    let body = json!({ "roles": roles });
    let changed = root.patch(&service, "/users/ada", &body).await;
    assert!(changed.status().is_success(), "{}", changed.status());
    let token = Caller::token(&service, "ada").await;
    // Many servers take a header field of 8 KB at most, and verifiers here a token of 8 KiB.
    let bytes = token.credential().len();
    assert!(bytes < 6 * 1024, "{bytes}");
    assert_eq!(service.claims(token.credential()).await.roles, roles);
    service.stop().await;
}

async fn asvs_7_4_2_disabling_a_user_ends_everything_of_the_user(backend: Backend) {
    let service = with_admin(backend).with_redis().start().await;
    service.register("ada").await;
    service.register("eve").await;
    let replica = Replica::of(&service).await;
    let root = admin(&service).await;
    let session = Caller::session(&service, "ada").await;
    let login = service.logged_in("ada", "token").await;
    let token = Caller::Token(login["access_token"].as_str().unwrap().to_owned());
    let claims = service.claims(token.credential()).await;
    let refresh = login["refresh_token"].as_str().unwrap();
    let bystander = Caller::session(&service, "eve").await;

    let disabled = root
        .patch(&service, "/users/ada", &json!({"disabled": true}))
        .await;
    assert_eq!(disabled.status(), 200);
    let shown: Value = root.get(&service, "/users/ada").await.json().await.unwrap();
    assert_eq!(shown["disabled"], true);
    replica.hears_of(&claims).await;
    for caller in [&session, &token] {
        assert_eq!(caller.get(&service, "/sessions").await.status(), 401);
    }
    assert_eq!(service.refresh(refresh).await.status(), 400);
    for credential in ["token", "session"] {
        let refused = service.login("ada", PASSWORD, credential).await;
        assert_eq!(refused.status(), 403);
        assert_eq!(
            problem(refused).await["type"],
            "urn:problem-type:statewise:account-disabled"
        );
        let guessed = service.login("ada", "another password", credential).await;
        assert_eq!(guessed.status(), 401, "who guesses learns nothing");
    }
    assert_eq!(bystander.get(&service, "/sessions").await.status(), 200);

    let enabled = root
        .patch(&service, "/users/ada", &json!({"disabled": false}))
        .await;
    assert_eq!(enabled.status(), 200);
    for caller in [&session, &token] {
        assert_eq!(
            caller.get(&service, "/sessions").await.status(),
            401,
            "over is over"
        );
    }
    assert_eq!(service.refresh(refresh).await.status(), 400);
    let again = Caller::token(&service, "ada").await;
    assert_eq!(again.get(&service, "/sessions").await.status(), 200);
    service.stop().await;
}

async fn of_two_administrators_who_end_each_other_one_is_left(backend: Backend) {
    let service = with_admin(backend).start().await;
    service.register("ada").await;
    let promoted = json!({"roles": ["user", "admin"]});
    for (body, back) in [
        (json!({"roles": ["user"]}), promoted.clone()),
        (json!({"disabled": true}), json!({"disabled": false})),
    ] {
        let root = admin(&service).await;
        root.patch(&service, "/users/ada", &promoted).await;
        for round in 0..8 {
            service.clock.advance(Duration::from_secs(5));
            let root = admin(&service).await;
            let ada = Caller::token(&service, "ada").await;
            let (one, other) = tokio::join!(
                root.patch(&service, "/users/ada", &body),
                ada.patch(&service, "/users/root", &body),
            );
            // There is no Redis to publish it.
            let won = |response: &Response| response.status() == 202;
            assert!(won(&one) != won(&other), "round {round}, {body}");
            let lost = if won(&one) { &other } else { &one };
            // Who lost was told so by the credential or by the change, whichever came later.
            assert!(
                [401, 403].contains(&lost.status().as_u16()),
                "{}",
                lost.status()
            );
            let (name, loser) = if won(&one) {
                ("root", "ada")
            } else {
                ("ada", "root")
            };
            service.clock.advance(Duration::from_secs(5));
            let winner = Caller::token(&service, name).await;
            let path = format!("/users/{loser}");
            assert_eq!(
                winner.patch(&service, &path, &back).await.status().as_u16() / 100,
                2
            );
            let all = winner.patch(&service, &path, &promoted).await;
            assert_eq!(all.status().as_u16() / 100, 2);
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn only_an_administrator_sees_and_changes_users_and_nobody_locks_themselves_out() {
    let service = with_admin(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let root = admin(&service).await;
    for caller in [
        Caller::token(&service, "ada").await,
        Caller::session(&service, "ada").await,
    ] {
        let body = json!({"roles": ["admin"]});
        for refused in [
            caller.get(&service, "/users/ada").await,
            caller.patch(&service, "/users/ada", &body).await,
            caller
                .post(&service, "/revocations", &json!({"kind": "all"}))
                .await,
        ] {
            assert_eq!(refused.status(), 403);
            problem(refused).await;
        }
    }
    assert_eq!(
        answered(service.request("GET", "/users/ada"))
            .await
            .status(),
        401
    );
    for body in [json!({"disabled": true}), json!({"roles": ["user"]})] {
        let refused = root.patch(&service, "/users/root", &body).await;
        assert_eq!(refused.status(), 409, "{body}");
    }
    assert_eq!(root.get(&service, "/users/nobody").await.status(), 404);
    assert_eq!(root.get(&service, "/users/no%20body").await.status(), 404);
    for body in [
        json!({}),
        json!({"roles": "admin"}),
        json!({"roles": ["two words"]}),
        json!({"roles": [1]}),
        json!({"roles": vec!["role"; 101]}),
        json!({"disabled": "yes"}),
        // What cannot be changed here is not silently left as it is.
        json!({"disabled": true, "username": "eve"}),
        json!({"disabled": true, "role": ["user"]}),
        json!({"Disabled": true}),
    ] {
        let refused = root.patch(&service, "/users/ada", &body).await;
        assert_eq!(refused.status(), 400, "{body}");
    }
    for body in [
        json!({}),
        json!({"kind": "user"}),
        json!({"kind": "planet", "id": "x"}),
        // Whoever names one does not mean all.
        json!({"kind": "all", "id": "ada"}),
        json!({"kind": "all", "ID": "ada"}),
        json!({"kind": "user", "id": "a\u{0}b"}),
        json!({"kind": "user", "id": "ada", "username": "root"}),
        json!({"kind": "session", "id": "ada", "except": "bob"}),
        // Credentials, which would be written to the log and not be ended.
        json!({"kind": "session", "id": "A".repeat(43)}),
        json!({"kind": "token", "id": "A".repeat(43)}),
    ] {
        let refused = root.post(&service, "/revocations", &body).await;
        assert_eq!(refused.status(), 400, "{body}");
    }
    for nobody in [
        json!({"kind": "user", "id": "nobody"}),
        json!({"kind": "user", "username": "nobody"}),
    ] {
        let missing = root.post(&service, "/revocations", &nobody).await;
        assert_eq!(missing.status(), 404, "{nobody}");
    }
    for path in ["/users/by-id/nobody", "/users?username=nobody"] {
        assert_eq!(root.get(&service, path).await.status(), 404, "{path}");
    }
    for path in [
        "/users",
        "/users?name=ada",
        "/users?username=ada&username=root",
    ] {
        assert_eq!(root.get(&service, path).await.status(), 400, "{path}");
    }
    service.stop().await;
}

/// Adds a user of a name that cannot be registered any more.
async fn add_earlier(service: &Service, name: &str) -> String {
    let database = Database::open(&service.database_settings()).await.unwrap();
    let users = Users::new(database.clone());
    let donor = Username::parse("ada").unwrap();
    let at = At::untraced(UnixSeconds::now(&service.clock));
    let hash = users
        .by_name(&donor, at)
        .await
        .unwrap()
        .unwrap()
        .password_hash;
    let id = format!("id-of-{}", name.len());
    let added = sqlx::query(
        "INSERT INTO users (id, username, username_key, password_hash, roles, created_at) \
         VALUES ($1, $2, $3, $4, 'user', 0)",
    )
    .bind(&id)
    .bind(name)
    .bind(name.to_lowercase())
    .bind(hash);
    let mut connection = beside(service).await;
    added.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    database.close().await;
    id
}

async fn users_whose_name_is_no_part_of_a_path_are_found_and_banned(backend: Backend) {
    let service = with_admin(backend).start().await;
    service.register("ada").await;
    let root = admin(&service).await;
    for name in [".", "..", "-._@"] {
        let registration = json!({"username": name, "password": PASSWORD});
        let refused = service.post("/register", &registration).await;
        assert_eq!(refused.status(), 400, "{name}");
        let detail = problem(refused).await["detail"].to_string();
        assert!(detail.contains("username: must have a letter"), "{detail}");
    }
    for name in [".", ".."] {
        let id = add_earlier(&service, name).await;
        let found = root.get(&service, &format!("/users?username={name}")).await;
        assert_eq!(found.status(), 200);
        let found: Value = found.json().await.unwrap();
        assert_eq!(found["id"], id);
        let path = format!("/users/by-id/{id}");
        let banned = root
            .patch(&service, &path, &json!({"disabled": true}))
            .await;
        assert_eq!(banned.status(), 202);
        let shown: Value = root.get(&service, &path).await.json().await.unwrap();
        assert_eq!(shown["disabled"], true);
        let refused = service.login(name, PASSWORD, "token").await;
        assert_eq!(refused.status(), 403, "{name}");
    }
    service.stop().await;
}

async fn a_name_that_is_the_id_of_another_shields_nobody(backend: Backend) {
    let service = with_admin(backend).start().await;
    let ada = service.register("ada").await["user_id"].clone();
    let root = admin(&service).await;
    let registration = json!({"username": ada, "password": PASSWORD});
    assert_eq!(service.post("/register", &registration).await.status(), 409);

    // One who was registered earlier.
    let name = ada.as_str().unwrap();
    add_earlier(&service, name).await;
    let ada = Caller::token(&service, "ada").await;
    let eve = Caller::token(&service, name).await;
    let either = json!({"kind": "user", "id": name});
    let unclear = root.post(&service, "/revocations", &either).await;
    assert_eq!(unclear.status(), 409);
    assert_eq!(
        problem(unclear).await["type"],
        "urn:problem-type:statewise:ambiguous-user"
    );
    let by_name = json!({"kind": "user", "username": name});
    let ended = root.post(&service, "/revocations", &by_name).await;
    assert_eq!(ended.status(), 202);
    assert_eq!(eve.get(&service, "/sessions").await.status(), 401);
    assert_ne!(ada.get(&service, "/sessions").await.status(), 401);

    let path = format!("/users/by-id/{name}");
    let banned = root
        .patch(&service, &path, &json!({"disabled": true}))
        .await;
    assert_eq!(banned.status(), 202);
    assert_eq!(ada.get(&service, "/sessions").await.status(), 401);
    service.stop().await;
}

async fn an_operator_restores_an_administrator_who_was_locked_out(backend: Backend) {
    let service = with_admin(backend).start().await;
    let old = admin(&service).await;
    let login = service.logged_in("root", "token").await;
    execute(
        &service,
        "UPDATE users SET roles = 'user extra', disabled_at = 1",
    )
    .await;
    assert_eq!(service.login("root", PASSWORD, "token").await.status(), 403);

    let mut options = cheap_options(service.data());
    options.extend(
        service
            .database_url
            .iter()
            .map(|url| format!("--database-url={url}")),
    );
    let restored = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .arg("restore-administrator")
        .args(options)
        .args(["--admin-username=Root", "--admin-password=a way back in"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&restored.stderr);
    assert!(restored.status.success(), "{text}");
    assert!(text.contains("restored the administrator"), "{text}");

    // The clock of the service stands still, and the program's goes on.
    service.clock.advance(Duration::from_secs(60));
    assert_eq!(service.login("root", PASSWORD, "token").await.status(), 401);
    assert_eq!(old.get(&service, "/sessions").await.status(), 401);
    let refresh_token = login["refresh_token"].as_str().unwrap();
    assert_eq!(service.refresh(refresh_token).await.status(), 400);
    let again = service.login("root", "a way back in", "token").await;
    assert_eq!(again.status(), 200);
    let again: Value = again.json().await.unwrap();
    let again = Caller::Token(again["access_token"].as_str().unwrap().to_owned());
    let shown = again.get(&service, "/users/root").await;
    let shown: Value = shown.json().await.unwrap();
    assert_eq!(shown["roles"], json!(["user", "extra", "admin"]));
    service.stop().await;
}

/// Runs a statement beside the service.
async fn execute(service: &Service, statement: &'static str) {
    let mut connection = beside(service).await;
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn beside(service: &Service) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let url = match &service.database_url {
        Some(url) => url.clone(),
        None => format!("sqlite://{}", service.data().join("users.sqlite").display()),
    };
    AnyConnection::connect(&url).await.unwrap()
}
