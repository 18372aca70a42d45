//! A stack of real processes with verbs for its public API.

use std::time::Duration;

use loadtest::{
    load::{self, Arm, Arrivals, Load, Options, Running, Variant},
    subject::stack::{Role, Stack, StackOptions},
};
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};

/// The password of every user of a test.
pub const PASSWORD: &str = "correct horse battery staple";

/// A variable with the URL of a Redis that the services use in place of the stack's own: sentinels or a
/// cluster, for the tests that do not break it.
const REDIS_URL: &str = "STATEWISE_TEST_REDIS_URL";

/// A running system and a client of its gateway.
pub struct Cluster {
    /// The processes.
    pub stack: Stack,
    /// A client without retries, redirects or cookies.
    pub client: Client,
}

/// What a request was answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: reqwest::header::HeaderMap,
    /// The body, `null` when it is not JSON.
    pub json: Value,
}

impl Answer {
    /// A header field; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Fails unless this is the answer for "cannot be decided": 503, when to come back, and
    /// nothing that tells a client to drop its credential.
    #[track_caller]
    pub fn assert_undecided(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert!(!self.header("retry-after").is_empty(), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("www-authenticate"), "", "{self:?}");
        assert_eq!(self.header("set-cookie"), "", "{self:?}");
    }
}

impl Cluster {
    /// Starts the default stack: `jwt` and `session`, this many replicas each.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[must_use]
    pub fn start(replicas: usize) -> Self {
        Self::with(StackOptions {
            replicas,
            ..StackOptions::default()
        })
    }

    /// Starts a stack. An administrator called `root` is made with it.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[must_use]
    pub fn with(options: StackOptions) -> Self {
        let options = options
            // A disk that is busy with other tests fails none.
            .variable(Role::Auth, "AUTH_DATABASE_TIMEOUT", "20s")
            .variable(Role::Auth, "AUTH_ADMIN_USERNAME", "root")
            .variable(Role::Auth, "AUTH_ADMIN_PASSWORD", PASSWORD);
        let options = match std::env::var(REDIS_URL) {
            Ok(url) => options
                .variable(Role::Auth, "AUTH_REDIS_URL", &url)
                .variable(Role::Api, "API_REDIS_URL", &url),
            Err(_) => options,
        };
        let stack = Stack::start(options).unwrap_or_else(|error| panic!("{error}"));
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .expect("a client without special wishes can be built");
        Self { stack, client }
    }

    /// A request to the gateway.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.stack.gateway_url))
    }

    /// A request with a JSON body to the gateway.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("{}{path}", self.stack.gateway_url);
        self.client.post(url).json(body)
    }

    /// Presents a bearer credential at the gateway.
    #[must_use]
    #[track_caller]
    pub fn get_as(&self, path: &str, credential: &str) -> Answer {
        answer(self.get(path).bearer_auth(credential))
    }

    /// Registers a user.
    #[track_caller]
    pub fn register(&self, username: &str) -> Answer {
        let body = json!({"username": username, "password": PASSWORD});
        let found = answer(self.post("/auth/register", &body));
        assert_eq!(found.status, 201, "{found:?}");
        found
    }

    /// Tries to log in; `credential` is `token` or `session`.
    #[must_use]
    #[track_caller]
    pub fn log_in(&self, username: &str, credential: &str) -> Answer {
        let body = json!({"username": username, "password": PASSWORD, "credential": credential});
        answer(self.post("/auth/login", &body))
    }

    /// Logs in and returns the access token.
    #[must_use]
    #[track_caller]
    pub fn token(&self, username: &str) -> String {
        self.credential(username, "token", "access_token")
    }

    /// Logs in and returns the session id.
    #[must_use]
    #[track_caller]
    pub fn session(&self, username: &str) -> String {
        self.credential(username, "session", "session_id")
    }

    #[track_caller]
    fn credential(&self, username: &str, kind: &str, field: &str) -> String {
        let found = self.log_in(username, kind);
        assert_eq!(found.status, 200, "{found:?}");
        let text = found.json[field].as_str();
        text.expect("a login returns a credential").to_owned()
    }

    /// Begins an open load on `/jwt/me` and `/session/me` at the same time, `rate` requests a second
    /// each, for `duration`.
    #[must_use]
    #[track_caller]
    pub fn load(&self, token: &str, session: &str, rate: f64, duration: Duration) -> Running {
        let arm = |name: &str, credential: &str| Arm {
            name: name.to_owned(),
            url: format!("{}/{name}/me", self.stack.gateway_url)
                .parse()
                .expect("the gateway has a valid URL"),
            variants: vec![Variant::bearer(credential)],
            load: Load::Open {
                rate,
                arrivals: Arrivals::Uniform,
            },
        };
        let options = Options {
            duration,
            drain: Duration::from_secs(5),
            ..Options::default()
        };
        load::start(options, vec![arm("jwt", token), arm("session", session)])
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// How many upstreams the gateway does not use at the moment.
    #[must_use]
    #[track_caller]
    pub fn missing_upstreams(&self) -> usize {
        let url = format!("{}/pools", self.stack.gateway_admin_url);
        let pools = answer(self.client.get(url)).json;
        let pools = pools["pools"]
            .as_object()
            .expect("the gateway lists its pools");
        let upstreams = pools.values().flat_map(|pool| pool["upstreams"].as_array());
        upstreams
            .flatten()
            .filter(|upstream| upstream["healthy"] != true || upstream["ejected"] == true)
            .count()
    }

    /// Where a process is reached, such as `api-jwt-1`.
    ///
    /// # Panics
    ///
    /// There is none of this name.
    #[must_use]
    #[track_caller]
    pub fn url(&self, name: &str) -> String {
        let mut all = self.stack.processes_info().into_iter();
        let found = all.find(|process| process.name == name);
        found.expect("the process is of this stack").url
    }

    /// What one process has written so far.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        let path = self.stack.log_path(name);
        path.ok()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default()
    }

    /// What all processes have written so far.
    #[must_use]
    pub fn logs(&self) -> String {
        let processes = self.stack.processes_info();
        processes.iter().map(|one| self.log(&one.name)).collect()
    }
}

/// Sends a request and reads its answer.
///
/// # Panics
///
/// There is no answer: a system that answers nothing fails every test.
#[must_use]
#[track_caller]
pub fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().unwrap_or_else(|error| panic!("{error:?}"));
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.bytes().unwrap_or_else(|error| panic!("{error:?}"));
    Answer {
        status,
        headers,
        json: serde_json::from_slice(&body).unwrap_or_default(),
    }
}
