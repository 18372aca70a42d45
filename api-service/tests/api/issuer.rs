//! A small issuer on a real socket: it publishes a key set and metadata, counts how often it is asked,
//! and can answer anything, hang, or be gone.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web,
};
use rustix::net::{self, AddressFamily, SocketType, sockopt};

use crate::eventually;

/// What the issuer does when it is asked for its keys.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Keys(String),
    Other(u16, String),
    Elsewhere(String),
    Never,
}

#[derive(Debug)]
struct State {
    answer: Mutex<Answer>,
    /// What its clock says, when it says anything.
    clock: Mutex<Option<SystemTime>>,
    asked: AtomicUsize,
    /// What it answers at other paths than that of its keys; without an entry, 404.
    elsewhere: Mutex<HashMap<String, Answer>>,
    asked_elsewhere: AtomicUsize,
}

pub(crate) struct Issuer {
    address: SocketAddr,
    /// Bound and never listening: keeps the port ours while the issuer is gone.
    _port: OwnedFd,
    state: Arc<State>,
    server: Option<ServerHandle>,
}

impl Issuer {
    pub(crate) fn start(answer: Answer) -> Self {
        let mut issuer = Self::absent(answer);
        issuer.resume();
        issuer
    }

    /// An address where connections are refused until [`Issuer::resume`].
    pub(crate) fn absent(answer: Answer) -> Self {
        let port = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&port, true).unwrap();
        net::bind(&port, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self {
            address: net::getsockname(&port).unwrap().try_into().unwrap(),
            _port: port,
            state: Arc::new(State {
                answer: Mutex::new(answer),
                clock: Mutex::default(),
                asked: AtomicUsize::new(0),
                elsewhere: Mutex::default(),
                asked_elsewhere: AtomicUsize::new(0),
            }),
            server: None,
        }
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("{}/jwks.json", self.base()).parse().unwrap()
    }

    /// Its address without a path.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often the keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// How often it was asked for anything else.
    pub(crate) fn asked_elsewhere(&self) -> usize {
        self.state.asked_elsewhere.load(Ordering::SeqCst)
    }

    /// What it answers at another path than that of its keys.
    pub(crate) fn answers_at(&self, path: &str, answer: Answer) {
        let mut elsewhere = self.state.elsewhere.lock().unwrap();
        elsewhere.insert(path.to_owned(), answer);
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    /// From now on its answers have this date. They have none that can be read otherwise.
    pub(crate) fn clock_says(&self, now: SystemTime) {
        *self.state.clock.lock().unwrap() = Some(now);
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
                .route("/jwks.json", web::get().to(jwks))
                .default_service(web::get().to(elsewhere))
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

async fn jwks(state: web::Data<State>) -> HttpResponse {
    state.asked.fetch_add(1, Ordering::SeqCst);
    let answer = state.answer.lock().unwrap().clone();
    give(&state, answer).await
}

async fn elsewhere(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    state.asked_elsewhere.fetch_add(1, Ordering::SeqCst);
    let answer = state.elsewhere.lock().unwrap().get(request.path()).cloned();
    let none = Answer::Other(404, String::new());
    give(&state, answer.unwrap_or(none)).await
}

async fn give(state: &State, answer: Answer) -> HttpResponse {
    let clock = *state.clock.lock().unwrap();
    match answer {
        Answer::Keys(document) => HttpResponse::Ok()
            .content_type("application/jwk-set+json")
            .insert_header((
                "date",
                clock.map_or_else(|| "unknown".to_owned(), httpdate::fmt_http_date),
            ))
            .body(document),
        Answer::Other(status, body) => {
            HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body)
        }
        Answer::Elsewhere(url) => HttpResponse::Found()
            .insert_header(("location", url))
            .finish(),
        Answer::Never => std::future::pending().await,
    }
}
