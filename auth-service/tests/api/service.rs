//! Starting the service and speaking to it.

use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use auth_service::{Config, Error, config::Args, run, storage::DatabaseSettings};
use clap::Parser;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    config::Faults,
    shutdown::CancellationToken,
    token::{AccessClaims, AccessTokenProfile, KeySet, RolesClaim, TokenAlgorithms, TokenTypes},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use testkit::redis::Redis;

use crate::postgres;

pub(crate) const PASSWORD: &str = "correct horse battery";
/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which user store.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A running service with everything it needs.
pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) redis: Option<Redis>,
    /// Only with PostgreSQL.
    pub(crate) database_url: Option<String>,
    data: TempDir,
    url: String,
    client: Client,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

/// What to start.
pub(crate) struct Builder {
    backend: Backend,
    redis: bool,
    data: Option<TempDir>,
    database_url: Option<String>,
    clock: Option<Clock>,
    options: Vec<String>,
}

impl Builder {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            redis: false,
            data: None,
            database_url: None,
            clock: None,
            options: Vec::new(),
        }
    }

    /// With a redis-server of its own.
    pub(crate) fn with_redis(mut self) -> Self {
        self.redis = true;
        self
    }

    /// With the data of an earlier service.
    pub(crate) fn with_data(mut self, data: TempDir) -> Self {
        self.data = Some(data);
        self
    }

    /// With the database of an earlier service instead of a new one.
    pub(crate) fn existing_database(mut self, url: &str) -> Self {
        self.database_url = Some(url.to_owned());
        self
    }

    /// By the clock of another service.
    pub(crate) fn with_clock(mut self, clock: &Clock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    pub(crate) fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    pub(crate) async fn start(self) -> Service {
        let service = self.begin().await;
        service.wait_until_ready().await;
        service
    }

    /// Starts a service that is expected to end by itself, and gives the reason.
    pub(crate) async fn refused(self) -> Error {
        let service = self.begin().await;
        let outcome = service.running.await.expect("the service did not panic");
        outcome.expect_err("the service did start")
    }

    async fn begin(self) -> Service {
        let data = self
            .data
            .unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"));
        let redis = self.redis.then(Redis::start);
        let database_url = match (self.backend, self.database_url) {
            (Backend::Sqlite, _) => None,
            (Backend::Postgres, Some(url)) => Some(url),
            (Backend::Postgres, None) => Some(postgres::new_database().await),
        };
        let mut options = cheap_options(data.path());
        options.push(match &redis {
            Some(redis) => format!("--redis-url={}", redis.url()),
            // Nothing listens on the discard port.
            None => "--redis-url=redis://127.0.0.1:9".to_owned(),
        });
        options.extend(
            database_url
                .iter()
                .map(|url| format!("--database-url={url}")),
        );
        for option in self.options {
            // What a test says takes the place of what is said for all.
            let name = option.split('=').next().unwrap_or_default().to_owned() + "=";
            options.retain(|other| !other.starts_with(&name));
            options.push(option);
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let clock = self
            .clock
            .unwrap_or_else(|| Clock::manual(SystemTime::now()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run_and_tell(
            config(&options),
            listener,
            clock.clone(),
            shutdown.clone(),
        ));
        Service {
            clock,
            redis,
            database_url,
            data,
            url,
            client: Client::new(),
            shutdown,
            running,
        }
    }
}

/// Runs the service and says in the test's output why it ended.
#[expect(clippy::print_stderr, reason = "what a test says of itself")]
async fn run_and_tell(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let outcome = run(config, listener, clock, shutdown).await;
    if let Err(error) = &outcome {
        eprintln!("auth-service: {error}");
    }
    outcome
}

/// A configuration of these options.
pub(crate) fn config(options: &[String]) -> Config {
    let program = "auth-service".to_owned();
    let args = Args::try_parse_from(std::iter::once(&program).chain(options))
        .unwrap_or_else(|error| panic!("{error}"));
    let mut faults = Faults::default();
    Config::check(args, &mut faults).unwrap_or_else(|| panic!("{faults}"))
}

/// The options of a service whose hashes and keys cost little and which stops at once.
pub(crate) fn cheap_options(data: &Path) -> Vec<String> {
    let mut options = vec![format!("--data-dir={}", data.display())];
    options.extend(
        [
            "--workers=1",
            "--algorithm=EdDSA",
            "--argon2-memory-kib=64",
            "--argon2-iterations=1",
            "--drain-grace=0s",
            // A disk that is busy with other tests fails none.
            "--database-timeout=20s",
            // Limits that a test can name.
            "--session-ttl-jitter=0",
        ]
        .map(str::to_owned),
    );
    options
}

/// Waits until something is so, asking again and again.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !so().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Service {
    async fn wait_until_ready(&self) {
        eventually("the service is ready", async || {
            assert!(!self.running.is_finished(), "the service did not start");
            let answer = self.client.get(self.at("/readyz")).send().await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        if self.redis.is_some() {
            // The first connection is made in the background; a session login shows it.
            self.register("prober").await;
            eventually("sessions can be made", async || {
                self.login("prober", PASSWORD, "session").await.status() == StatusCode::OK
            })
            .await;
            eventually("there is a feed of revocations", async || {
                self.metric("auth_revocation_feed_rebuilds_total").await > 0
            })
            .await;
        }
    }

    /// Stops the service as SIGTERM would and gives its data for another one.
    pub(crate) async fn stop(self) -> TempDir {
        drop(self.client);
        self.shutdown.cancel();
        self.running
            .await
            .expect("the service did not panic")
            .expect("the service ends well");
        self.data
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// How to open the service's database beside it.
    pub(crate) fn database_settings(&self) -> DatabaseSettings {
        let mut options = cheap_options(self.data());
        options.extend(
            self.database_url
                .iter()
                .map(|url| format!("--database-url={url}")),
        );
        config(&options).database
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, self.at(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        answered(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        answered(self.request("POST", path).json(body)).await
    }

    /// Registers a user with [`PASSWORD`].
    pub(crate) async fn register(&self, username: &str) -> Value {
        let body = json!({"username": username, "password": PASSWORD});
        let response = self.post("/register", &body).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json().await.expect("JSON")
    }

    pub(crate) async fn login(&self, username: &str, password: &str, credential: &str) -> Response {
        let body = json!({
            "username": username, "password": password, "credential": credential
        });
        self.post("/login", &body).await
    }

    /// Logs in with [`PASSWORD`], for a token or a session.
    pub(crate) async fn logged_in(&self, username: &str, credential: &str) -> Value {
        let response = self.login(username, PASSWORD, credential).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.expect("JSON")
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Response {
        self.form(&format!(
            "grant_type=refresh_token&refresh_token={refresh_token}"
        ))
        .await
    }

    /// Posts a form to the token endpoint.
    pub(crate) async fn form(&self, body: &str) -> Response {
        let request = self
            .request("POST", "/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned());
        answered(request).await
    }

    /// The claims of a token, checked against the published keys.
    pub(crate) async fn claims(&self, token: &str) -> AccessClaims {
        let jwks = self
            .get("/.well-known/jwks.json")
            .await
            .bytes()
            .await
            .expect("a body");
        let keys = KeySet::from_jwks(&jwks).expect("a key set");
        let profile = AccessTokenProfile {
            issuer: "http://127.0.0.1:8080/auth".to_owned(),
            audience: "statewise-api".to_owned(),
            // That of a resource server: after an end of all logins `iat` is a second ahead.
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(3600),
            types: TokenTypes::default(),
            algorithms: TokenAlgorithms::default(),
            roles: RolesClaim::default(),
        };
        profile
            .verify(token, &keys, self.clock.unix_seconds())
            .expect("a token of this service")
    }

    /// The value of one line of the metrics; zero when it is not there yet.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let text = self.get("/metrics").await.text().await.expect("text");
        text.lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
            .unwrap_or_default()
    }
}

pub(crate) async fn answered(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// The body of a problem, after checking that it is one.
pub(crate) async fn problem(response: Response) -> Value {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let status = response.status();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["status"], status.as_u16());
    body
}

/// One header as text; empty when it is absent.
pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("text"))
}
