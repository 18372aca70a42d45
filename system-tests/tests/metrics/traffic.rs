//! What clients of all kinds do, as long as this lives: good and bad requests to every strategy, and
//! logins of their own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use reqwest::blocking::Client;
use serde_json::{Value, json};
use system_tests::{Cluster, cluster::PASSWORD};

/// Every strategy, and whether it is presented with a session id.
pub(crate) const STRATEGIES: [(&str, bool); 6] = [
    ("jwt", false),
    ("jwt-revocable", false),
    ("session", true),
    ("session-cached", true),
    ("introspection", true),
    ("phantom", true),
];

/// Between two rounds: some hundred requests a second, which leave the machine rest.
const PAUSE: Duration = Duration::from_millis(40);
/// Between two logins of each kind.
const BETWEEN_LOGINS: Duration = Duration::from_millis(250);

/// Ends with this value.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Caller {
    client: Client,
    gateway: String,
    stop: Arc<AtomicBool>,
    /// The newest token: keys rotate.
    token: Arc<Mutex<String>>,
    session: String,
}

impl Traffic {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        cluster.register("ada");
        cluster.register("grace");
        let caller = Caller {
            client: cluster.client.clone(),
            gateway: cluster.stack.gateway_url.clone(),
            stop: Arc::default(),
            token: Arc::new(Mutex::new(cluster.token("ada"))),
            session: cluster.session("ada"),
        };
        let repeat = |round: fn(&Caller), pause: Duration| {
            let caller = caller.clone();
            thread::spawn(move || {
                while !caller.stop.load(Ordering::Relaxed) {
                    round(&caller);
                    thread::sleep(pause);
                }
            })
        };
        Self {
            threads: vec![
                repeat(Caller::ask_everybody, PAUSE),
                repeat(Caller::log_in, BETWEEN_LOGINS),
            ],
            stop: caller.stop.clone(),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            drop(thread.join());
        }
    }
}

impl Caller {
    /// What is answered does not matter here: parts of the system are killed meanwhile.
    fn get(&self, path: &str, credential: Option<&str>) {
        let mut request = self.client.get(format!("{}{path}", self.gateway));
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        drop(request.send());
    }

    fn post(&self, path: &str, body: &Value) -> Option<Value> {
        let request = self.client.post(format!("{}{path}", self.gateway));
        request.json(body).send().ok()?.json().ok()
    }

    fn ask_everybody(&self) {
        let token = self.token.lock().unwrap().clone();
        for (strategy, takes_session) in STRATEGIES {
            let credential = if takes_session { &self.session } else { &token };
            self.get(&format!("/{strategy}/me"), Some(credential));
            self.get(&format!("/{strategy}/me"), None);
            self.get(&format!("/{strategy}/me"), Some("wrong"));
        }
        self.get("/session/cart", Some(&self.session));
        self.get("/jwt/public", None);
        self.get("/nowhere", None);
    }

    fn log_in(&self) {
        let login = |name: &str, password: &str, kind: &str| {
            let body = json!({"username": name, "password": password, "credential": kind});
            self.post("/auth/login", &body)
        };
        login("grace", "wrong", "token");
        if let Some(found) = login("grace", PASSWORD, "session")
            && let Some(session) = found["session_id"].as_str()
        {
            let logout = format!("{}/auth/logout", self.gateway);
            drop(self.client.post(logout).bearer_auth(session).send());
        }
        let Some(found) = login("ada", PASSWORD, "token") else {
            return;
        };
        if let Some(refresh) = found["refresh_token"].as_str() {
            let asked = self
                .client
                .post(format!("{}/auth/oauth/token", self.gateway))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("grant_type=refresh_token&refresh_token={refresh}"));
            drop(asked.send());
        }
        if let Some(token) = found["access_token"].as_str() {
            token.clone_into(&mut self.token.lock().unwrap());
        }
    }
}
