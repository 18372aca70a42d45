//! A small authorization server on a real socket: it answers introspection, counts how often it is
//! asked, and can answer anything, hang, or be gone.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web,
};
use api_service::{AnswerProfile, Authorities, Introspection, Required, StrategyConfig};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::net::{self, AddressFamily, SocketType, sockopt};
use serde_json::{Value, json};
use shared::{config::Secret, session::SessionId, token::RolesClaim};
use tokio::sync::Semaphore;

use crate::{
    eventually,
    service::NOW,
    signer::{AUDIENCE, ISSUER},
};

pub(crate) const CLIENT: &str = "statewise-api";
pub(crate) const SECRET: &str = "a+secret/of: more%than&32=characters==";
/// The same in a form, RFC 6749 appendix B.
const SECRET_ENCODED: &str = "a%2Bsecret%2Fof%3A+more%25than%2632%3Dcharacters%3D%3D";
/// Deadline of each call in tests.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// What the server does when it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// Says what is true.
    Honest,
    Other(u16, String),
    Elsewhere(String),
    Never,
    /// Says what is true once [`Authority::let_go`] was called for each call.
    Held,
}

struct State {
    mood: Mutex<Mood>,
    active: Mutex<HashMap<String, Value>>,
    asked: AtomicUsize,
    held: Semaphore,
}

pub(crate) struct Authority {
    address: SocketAddr,
    /// Bound and never listening: keeps the port ours while the server is gone.
    _port: OwnedFd,
    state: Arc<State>,
    server: Option<ServerHandle>,
}

impl Authority {
    pub(crate) fn start() -> Self {
        let port = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&port, true).unwrap();
        net::bind(&port, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut authority = Self {
            address: net::getsockname(&port).unwrap().try_into().unwrap(),
            _port: port,
            state: Arc::new(State {
                mood: Mutex::new(Mood::Honest),
                active: Mutex::default(),
                asked: AtomicUsize::new(0),
                held: Semaphore::new(0),
            }),
            server: None,
        };
        authority.resume();
        authority
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}/oauth/introspect", self.address)
            .parse()
            .unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The introspection strategy with this server.
    pub(crate) fn strategy(&self, cache: Duration) -> StrategyConfig {
        self.settings(SECRET, cache).into()
    }

    /// The same, with a secret that the server does not know.
    pub(crate) fn impostor(&self) -> StrategyConfig {
        self.settings("not-the-secret", Duration::ZERO).into()
    }

    /// The same, with the endpoint elsewhere.
    pub(crate) fn strategy_at(&self, url: url::Url) -> StrategyConfig {
        StrategyConfig::from(Introspection {
            url,
            ..self.settings(SECRET, Duration::ZERO)
        })
    }

    /// The same over https, with these authorities trusted.
    pub(crate) fn strategy_over_https(
        &self,
        url: url::Url,
        authorities: Authorities,
    ) -> StrategyConfig {
        StrategyConfig::from(Introspection {
            url,
            authorities,
            ..self.settings(SECRET, Duration::ZERO)
        })
    }

    fn settings(&self, secret: &str, cache: Duration) -> Introspection {
        Introspection {
            profile: AnswerProfile {
                issuer: ISSUER.to_owned(),
                audience: AUDIENCE.to_owned(),
                leeway: Duration::from_secs(30),
                roles: RolesClaim::default(),
                required: Required::parse("aud|token_type"),
            },
            url: self.url(),
            authorities: Authorities::default(),
            client_id: CLIENT.to_owned(),
            client_secret: Secret::new(secret.to_owned()),
            timeout: TIMEOUT,
            cache,
        }
    }

    /// A session from now on for 15 minutes.
    pub(crate) fn log_in(&self, roles: &[&str]) -> String {
        let id = SessionId::generate("nobody").expose().to_owned();
        let answer = json!({
            "active": true, "sub": "u-1", "username": "ada", "roles": roles, "sid": "s-1",
            "client_id": "statewise", "token_type": "Bearer", "iat": NOW, "exp": NOW + 900,
            "iss": ISSUER, "aud": AUDIENCE,
        });
        self.says(&id, answer);
        id
    }

    /// What it says of a credential from now on, while it is honest.
    pub(crate) fn says(&self, credential: &str, answer: Value) {
        let mut active = self.state.active.lock().unwrap();
        active.insert(credential.to_owned(), answer);
    }

    pub(crate) fn log_out(&self, id: &str) {
        self.state.active.lock().unwrap().remove(id);
    }

    /// How often it was asked, but for the questions of readiness, which name nobody.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Lets so many held calls go.
    pub(crate) fn let_go(&self, calls: usize) {
        self.state.held.add_permits(calls);
    }

    /// Closes the socket and every connection.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(false).await;
            // That does not wait for the thread which answers; it has our state until it ends.
            eventually(async || Arc::strong_count(&self.state) == 1).await;
        }
    }

    /// Listens, on the same port as before.
    pub(crate) fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let state = Arc::clone(&self.state);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::from(Arc::clone(&state)))
                .route("/oauth/introspect", web::post().to(introspect))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        self.server = Some(server.handle());
        tokio::spawn(server);
    }
}

async fn introspect(request: HttpRequest, body: String, state: web::Data<State>) -> HttpResponse {
    let expected = format!(
        "Basic {}",
        STANDARD.encode(format!("{CLIENT}:{SECRET_ENCODED}"))
    );
    if request.headers().get("authorization").unwrap() != expected.as_str() {
        return HttpResponse::Unauthorized().json(json!({"error": "invalid_client"}));
    }
    let form: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).collect();
    let known = state.active.lock().unwrap().get(&*form["token"]).cloned();
    if known.is_some() {
        state.asked.fetch_add(1, Ordering::SeqCst);
    }
    let mood = state.mood.lock().unwrap().clone();
    match mood {
        Mood::Honest => {}
        Mood::Held => state.held.acquire().await.unwrap().forget(),
        Mood::Other(status, body) => {
            return HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body);
        }
        Mood::Elsewhere(url) => {
            return HttpResponse::TemporaryRedirect()
                .insert_header(("location", url))
                .finish();
        }
        Mood::Never => std::future::pending().await,
    }
    HttpResponse::Ok().json(known.unwrap_or_else(|| json!({"active": false})))
}
