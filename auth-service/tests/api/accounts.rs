//! What an administrator sees and changes of users.

use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    on_both_databases,
    revocations::Replica,
    service::{Backend, Builder, PASSWORD, Service, answered, problem},
};

on_both_databases!(
    other_roles_are_in_sessions_at_once_and_in_tokens_after_a_refresh,
    asvs_7_4_2_disabling_a_user_ends_everything_of_the_user,
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
        json!({"roles": vec!["role"; 33]}),
        json!({"disabled": "yes"}),
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
        // Credentials, which would be written to the log and not be ended.
        json!({"kind": "session", "id": "A".repeat(43)}),
        json!({"kind": "token", "id": "A".repeat(43)}),
    ] {
        let refused = root.post(&service, "/revocations", &body).await;
        assert_eq!(refused.status(), 400, "{body}");
    }
    let nobody = json!({"kind": "user", "id": "nobody"});
    assert_eq!(
        root.post(&service, "/revocations", &nobody).await.status(),
        404
    );
    service.stop().await;
}
