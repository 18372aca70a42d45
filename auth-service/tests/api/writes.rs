//! What was acknowledged is kept, and what cannot be written is never the caller's fault.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::{Client, Response, StatusCode};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::{
    accounts::{Caller, admin, with_admin},
    on_both_databases, postgres,
    service::{Backend, Builder, PASSWORD, Service, cheap_options, eventually, problem},
};

on_both_databases!(everything_can_be_ended_while_others_write);

/// The program, with a data folder whose disk can be made to refuse every write.
struct Program {
    process: Child,
    url: String,
    client: Client,
}

impl Program {
    fn start(data: &Path) -> Self {
        // A write beyond the limit of a file's size ends a process by default.
        let mut process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_auth-service"))
            .args(cheap_options(data))
            .args(["--listen=127.0.0.1:0", "--log-format=json"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        let serving = lines.find(|line| line.contains("\"serving\"")).unwrap();
        let (_, rest) = serving.split_once("\"127.0.0.1:").unwrap();
        let (port, _) = rest.split_once('"').unwrap();
        let url = format!("http://127.0.0.1:{port}");
        // Read on, so that the program never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            url,
            client: Client::new(),
        }
    }

    /// No file of the program can be written, or all can.
    fn disk_is_full(&self, full: bool) {
        let limit = Rlimit {
            current: full.then_some(1),
            maximum: None,
        };
        let pid = Pid::from_child(&self.process);
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    }

    async fn ready(&self) -> Response {
        let request = self.client.get(format!("{}/readyz", self.url));
        request.send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        request.send().await.unwrap()
    }

    async fn register(&self, name: &str) -> StatusCode {
        let body = json!({"username": name, "password": PASSWORD});
        self.post("/register", &body).await.status()
    }

    async fn login(&self, name: &str, password: &str) -> (StatusCode, Option<String>) {
        let body = json!({"username": name, "password": password, "credential": "token"});
        renewable(self.post("/login", &body).await).await
    }

    async fn refresh(&self, token: &str) -> (StatusCode, Option<String>) {
        let request = self
            .client
            .post(format!("{}/oauth/token", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=refresh_token&refresh_token={token}"));
        renewable(request.send().await.unwrap()).await
    }
}

/// Ends it as a loss of power does.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The status and the refresh token of an answer.
async fn renewable(response: Response) -> (StatusCode, Option<String>) {
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["refresh_token"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn after_a_full_disk_nothing_is_acknowledged_that_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path());
    assert_eq!(program.register("ada").await, 201);
    let (_, token) = program.login("ada", PASSWORD).await;
    let token = token.unwrap();
    assert_eq!(program.ready().await.status(), 200);

    program.disk_is_full(true);
    for round in 0..10 {
        let eve = format!("eve{round}");
        // Several at once, on as many connections.
        let (registered, right, wrong, refreshed) = tokio::join!(
            program.register(&eve),
            program.login("ada", PASSWORD),
            program.login("ada", "wrong password"),
            program.refresh(&token),
        );
        assert_eq!(registered, 503);
        assert_eq!(right.0, 503);
        assert_eq!(wrong.0, 503, "a guess that is not counted is not answered");
        assert_eq!(refreshed.0, 503);
    }
    let response = program.ready().await;
    assert_eq!(response.status(), 503);
    let detail = problem(response).await["detail"].to_string();
    assert!(detail.contains("database: its disk fails"), "{detail}");

    program.disk_is_full(false);
    eventually("the service is ready again", async || {
        program.ready().await.status() == 200
    })
    .await;
    let mut kept = Vec::new();
    let mut token = token;
    for round in 0..10 {
        let names = [0, 1, 2].map(|one| format!("bob{round}-{one}"));
        let (first, second, third, refreshed) = tokio::join!(
            program.register(&names[0]),
            program.register(&names[1]),
            program.register(&names[2]),
            program.refresh(&token),
        );
        assert_eq!([first, second, third], [StatusCode::CREATED; 3]);
        assert_eq!(refreshed.0, 200);
        token = refreshed.1.unwrap();
        let (status, login) = program.login(&names[0], PASSWORD).await;
        assert_eq!(status, 200, "who has just registered");
        kept.extend(names.map(|name| (name, None)));
        kept.push(("ada".to_owned(), login));
    }
    drop(program);

    let program = Program::start(data.path());
    assert_eq!(program.refresh(&token).await.0, 200);
    for (name, login) in kept {
        assert_eq!(program.login(&name, PASSWORD).await.0, 200, "{name}");
        if let Some(login) = login {
            assert_eq!(program.refresh(&login).await.0, 200, "a login of {name}");
        }
    }
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_left_as_soon_as_there_is_a_primary() {
    let service = Builder::new(Backend::Postgres).start().await;
    service.register("ada").await;
    let login = service.logged_in("ada", "token").await;
    let refresh_token = login["refresh_token"].as_str().unwrap();
    let url = service.database_url.clone().expect("PostgreSQL");
    postgres::read_only(&url, true).await;

    let registration = json!({"username": "eve", "password": PASSWORD});
    for response in [
        service.post("/register", &registration).await,
        service.login("ada", PASSWORD, "token").await,
        service.login("ada", "wrong password", "token").await,
        service.refresh(refresh_token).await,
    ] {
        assert_eq!(response.status(), 503);
    }
    let response = service.get("/readyz").await;
    assert_eq!(response.status(), 503);
    let detail = problem(response).await["detail"].to_string();
    assert!(detail.contains("database: it can only be read"), "{detail}");

    // Connections that were made meanwhile go on leading to the replica.
    postgres::read_only(&url, false).await;
    eventually("the service is ready again", async || {
        service.get("/readyz").await.status() == 200
    })
    .await;
    for round in 0..20 {
        service.register(&format!("bob{round}")).await;
    }
    assert_eq!(service.refresh(refresh_token).await.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn what_is_acknowledged_while_connections_are_killed_is_kept() {
    let service = Builder::new(Backend::Postgres).start().await;
    service.register("ada").await;
    let url = service.database_url.clone().expect("PostgreSQL");
    let (mut users, mut tokens) = (Vec::new(), Vec::new());
    for round in 0..40 {
        let name = format!("bob{round}");
        let registration = json!({"username": name, "password": PASSWORD});
        let (registered, login, ()) = tokio::join!(
            service.post("/register", &registration),
            service.login("ada", PASSWORD, "token"),
            postgres::kill_connections(&url),
        );
        match registered.status().as_u16() {
            201 => users.push(name),
            status => assert_eq!(status, 503),
        }
        let (status, token) = renewable(login).await;
        match status.as_u16() {
            200 => tokens.extend(token),
            status => assert_eq!(status, 503, "a right password"),
        }
    }
    for name in users {
        let login = service.login(&name, PASSWORD, "token").await;
        assert_eq!(login.status(), 200, "{name}");
    }
    for token in tokens {
        assert_eq!(service.refresh(&token).await.status(), 200);
    }
    service.stop().await;
}

async fn everything_can_be_ended_while_others_write(backend: Backend) {
    let service = with_admin(backend).start().await;
    for writer in 0..4 {
        service.register(&format!("writer{writer}")).await;
    }
    let writing = std::cell::Cell::new(true);
    let writer = async |writer: i32| {
        let name = format!("writer{writer}");
        let mut round = 0;
        while writing.get() {
            round += 1;
            service.register(&format!("{name}-{round}")).await;
            service.logged_in(&name, "token").await;
        }
    };
    let ending = async {
        for _ in 0..15 {
            let root = admin(&service).await;
            end(&service, &root, json!({"kind": "all"})).await;
            service.clock.advance(std::time::Duration::from_secs(2));
            let root = admin(&service).await;
            end(&service, &root, json!({"kind": "user", "id": "writer1"})).await;
        }
        writing.set(false);
    };
    tokio::join!(ending, writer(0), writer(1), writer(2), writer(3));
    service.stop().await;
}

async fn end(service: &Service, root: &Caller, what: Value) {
    let ended = root.post(service, "/revocations", &what).await;
    // There is no Redis to publish it.
    assert_eq!(ended.status(), 202, "{what}");
}
