//! Clients that keep a login alive as clients do: each holds an access token and a refresh token, asks
//! for new ones ahead of need, asks again after a refusal, and waits longer each time that fails.
//!
//! A few hundred requests a second, at moments fixed beforehand, on one thread with timers of a
//! millisecond: what counts here is which answer came, not how many microseconds it took.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use reqwest::{Client as Http, StatusCode};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    load::{Outcome, Slice},
    stats::{histogram::micros, random::Random},
    subject::{
        login::{Users, refreshing},
        strategy::Credential,
    },
};

/// Share of its life after which a client renews its token.
pub(super) const REFRESH_AT: f64 = 0.8;
/// How long a client waits after its first refresh that failed; twice as long each further time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// It never waits longer.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long it waits for the answer to a refresh or a login.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often an interruption is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// All clients of one strategy.
pub(super) struct Fleet {
    strategy: String,
    me: Url,
    token: Url,
    clients: Vec<Arc<Mutex<Login>>>,
}

/// What a client holds.
struct Login {
    credential: String,
    /// What it is renewed with; a session has nothing.
    renewal: Option<Renewal>,
}

struct Renewal {
    refresh_token: String,
    obtained: Instant,
    life: Duration,
    /// From this age on it is renewed.
    due_at: Duration,
    not_before: Instant,
    pause: Duration,
    under_way: bool,
    /// It was refused for good: the login is over.
    over: bool,
}

/// What one fleet saw.
pub(super) struct Seen {
    pub(super) strategy: String,
    pub(super) timeline: Vec<Slice>,
    /// When requests were meant to be sent that were refused although the token had not ended, or though
    /// there was no token.
    pub(super) undue_refusals: Vec<Duration>,
    /// Clients whose login is over.
    pub(super) lost: u64,
}

/// How long, how often, how finely.
pub(super) struct Course {
    pub(super) duration: Duration,
    /// Requests per second of one client.
    pub(super) rate: f64,
    pub(super) deadline: Duration,
    pub(super) slice: Duration,
    pub(super) seed: u64,
    pub(super) interrupt: CancellationToken,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
    session_id: Option<String>,
}

/// The thread's runtime and its connections.
pub(super) struct Crowd {
    runtime: tokio::runtime::Runtime,
    http: Http,
}

impl Crowd {
    pub(super) fn new(deadline: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let http = Http::builder()
            .no_proxy()
            .connect_timeout(deadline)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { runtime, http })
    }

    /// Logs every user in for a strategy.
    pub(super) fn log_in(
        &self,
        gateway: &Url,
        strategy: &str,
        credential: Credential,
        users: &Users,
    ) -> io::Result<Fleet> {
        let at = |path: &str| {
            let mut url = gateway.clone();
            url.set_path(path);
            url
        };
        let mut clients = Vec::new();
        for user in 0..users.count() {
            let body = users.login_body(user, credential);
            let asked = Instant::now();
            let granted = self.runtime.block_on(async {
                let request = self
                    .http
                    .post(at("/auth/login"))
                    .header("content-type", "application/json")
                    .timeout(PATIENCE)
                    .body(body);
                let answer = request.send().await?.error_for_status()?;
                answer.json::<Granted>().await
            });
            let login = Login::of(granted.map_err(io::Error::other)?, asked)
                .ok_or_else(|| io::Error::other("the answer to a login has no credential"))?;
            clients.push(Arc::new(Mutex::new(login)));
        }
        Ok(Fleet {
            strategy: strategy.to_owned(),
            me: at(&crate::subject::found::path(strategy)),
            token: at("/auth/oauth/token"),
            clients,
        })
    }

    /// Lets all clients ask until the time is over. `origin` is moment 0 of the timelines.
    pub(super) fn run(&self, fleets: Vec<Fleet>, origin: Instant, course: &Course) -> Vec<Seen> {
        let mut random = Random::new(course.seed);
        let mut logs = Vec::new();
        let mut tasks = Vec::new();
        let period = Duration::from_secs_f64(1.0 / course.rate);
        for fleet in &fleets {
            let log = Arc::new(Mutex::new(Log::new(course)));
            for login in &fleet.clients {
                locked(login).spread(random.unit());
                let client = Client {
                    http: self.http.clone(),
                    me: fleet.me.clone(),
                    token: fleet.token.clone(),
                    login: Arc::clone(login),
                    log: Arc::clone(&log),
                    deadline: course.deadline,
                };
                let first = period.mul_f64(random.unit());
                let until = course.duration;
                let interrupt = course.interrupt.clone();
                tasks.push(self.runtime.spawn(async move {
                    let ask = client.ask_until(origin, first, period, until);
                    interrupt.run_until_cancelled(ask).await;
                }));
            }
            logs.push(log);
        }
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            std::thread::sleep(LOOK);
        }
        // Answers that are still under way have until their deadline.
        std::thread::sleep(course.deadline);
        let over = |login: &Arc<Mutex<Login>>| {
            let login = locked(login);
            login.renewal.as_ref().is_some_and(|renewal| renewal.over)
        };
        fleets
            .into_iter()
            .zip(logs)
            .map(|(fleet, log)| {
                let mut log = locked(&log);
                Seen {
                    timeline: std::mem::take(&mut log.timeline),
                    undue_refusals: std::mem::take(&mut log.undue_refusals),
                    lost: fleet.clients.iter().filter(|one| over(one)).count() as u64,
                    strategy: fleet.strategy,
                }
            })
            .collect()
    }
}

impl Login {
    fn of(granted: Granted, obtained: Instant) -> Option<Self> {
        if let Some(session) = granted.session_id {
            return Some(Self {
                credential: session,
                renewal: None,
            });
        }
        let life = Duration::from_secs(granted.expires_in?);
        Some(Self {
            credential: granted.access_token?,
            renewal: Some(Renewal {
                refresh_token: granted.refresh_token?,
                obtained,
                life,
                due_at: life.mul_f64(REFRESH_AT),
                not_before: obtained,
                pause: FIRST_PAUSE,
                under_way: false,
                over: false,
            }),
        })
    }

    /// Moves the first renewal to a share of the time that is left, so that those of many clients are
    /// as far apart as if they had come one after the other. All of them logged in just before.
    fn spread(&mut self, share: f64) {
        if let Some(renewal) = &mut self.renewal {
            let age = renewal.obtained.elapsed();
            let rest = renewal.life.saturating_sub(age).min(renewal.due_at);
            renewal.due_at = age + rest.mul_f64(share);
        }
    }

    /// Whether its end may be why it was refused; times in tokens are whole seconds.
    fn may_have_ended(&self, at: Instant) -> bool {
        self.renewal.as_ref().is_some_and(|renewal| {
            at.duration_since(renewal.obtained) + Duration::from_secs(1) >= renewal.life
        })
    }
}

/// One client at work.
#[derive(Clone)]
struct Client {
    http: Http,
    me: Url,
    token: Url,
    login: Arc<Mutex<Login>>,
    log: Arc<Mutex<Log>>,
    deadline: Duration,
}

impl Client {
    async fn ask_until(self, origin: Instant, first: Duration, period: Duration, until: Duration) {
        let mut due = first;
        while due < until {
            tokio::time::sleep_until((origin + due).into()).await;
            self.renew(false);
            // In a task of its own: an answer that does not come delays no other request.
            let one = self.clone();
            tokio::spawn(async move { one.ask(origin, due).await });
            due += period;
        }
    }

    async fn ask(self, origin: Instant, due: Duration) {
        let (credential, ended) = {
            let login = locked(&self.login);
            (
                login.credential.clone(),
                login.may_have_ended(Instant::now()),
            )
        };
        let rest = (origin + due + self.deadline).saturating_duration_since(Instant::now());
        let request = self
            .http
            .get(self.me.clone())
            .bearer_auth(credential)
            .timeout(rest);
        let outcome = match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                // The connection is used again once the body was read.
                match answer.bytes().await {
                    Ok(_) => Outcome::Status(status),
                    Err(_) => Outcome::Reset,
                }
            }
            Err(error) if error.is_timeout() => Outcome::Timeout,
            Err(error) if error.is_connect() => Outcome::Connect,
            Err(_) => Outcome::Reset,
        };
        let undue = outcome == Outcome::Status(401) && !ended;
        locked(&self.log).add(due, origin.elapsed().saturating_sub(due), outcome, undue);
        if outcome == Outcome::Status(401) {
            self.renew(true);
        }
    }

    /// Begins to renew the token, when it is time and nobody does already.
    fn renew(&self, refused: bool) {
        let mut login = locked(&self.login);
        let Some(renewal) = &mut login.renewal else {
            return;
        };
        let now = Instant::now();
        let wanted = refused || now.duration_since(renewal.obtained) >= renewal.due_at;
        if !wanted || renewal.under_way || renewal.over || now < renewal.not_before {
            return;
        }
        renewal.under_way = true;
        let client = self.clone();
        let refresh_token = renewal.refresh_token.clone();
        tokio::spawn(async move { client.refresh(refresh_token).await });
    }

    async fn refresh(self, refresh_token: String) {
        let asked = Instant::now();
        let (form, body) = refreshing(&refresh_token);
        let request = self
            .http
            .post(self.token.clone())
            .header("content-type", form)
            .timeout(PATIENCE)
            .body(body);
        let granted = match request.send().await {
            Ok(answer) if answer.status() == StatusCode::BAD_REQUEST => Err(true),
            Ok(answer) if answer.status().is_success() => {
                answer.json::<Granted>().await.map_err(|_| false)
            }
            _ => Err(false),
        };
        let mut login = locked(&self.login);
        let Some(renewal) = &mut login.renewal else {
            return;
        };
        renewal.under_way = false;
        match granted {
            Ok(Granted {
                access_token: Some(access_token),
                refresh_token: Some(refresh_token),
                expires_in: Some(life),
                ..
            }) => {
                renewal.refresh_token = refresh_token;
                renewal.obtained = asked;
                renewal.life = Duration::from_secs(life);
                renewal.due_at = renewal.life.mul_f64(REFRESH_AT);
                renewal.pause = FIRST_PAUSE;
                login.credential = access_token;
            }
            Err(true) => renewal.over = true,
            _ => {
                renewal.not_before = Instant::now() + renewal.pause;
                renewal.pause = (renewal.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Answers over time.
struct Log {
    slice: Duration,
    timeline: Vec<Slice>,
    undue_refusals: Vec<Duration>,
}

impl Log {
    fn new(course: &Course) -> Self {
        let count = course.duration.as_nanos() / course.slice.as_nanos().max(1);
        let slice = |index: u32| Slice {
            at: course.slice * index,
            outcomes: std::collections::BTreeMap::new(),
            response_us: Histogram::new(2).expect("two digits are possible"),
        };
        Self {
            slice: course.slice,
            timeline: (0..u32::try_from(count).unwrap_or(u32::MAX))
                .map(slice)
                .collect(),
            undue_refusals: Vec::new(),
        }
    }

    fn add(&mut self, due: Duration, took: Duration, outcome: Outcome, undue: bool) {
        let index = (due.as_nanos() / self.slice.as_nanos().max(1)) as usize;
        if let Some(slice) = self.timeline.get_mut(index) {
            *slice.outcomes.entry(outcome).or_default() += 1;
            // It grows as needed.
            let _ = slice.response_us.record(micros(took));
        }
        if undue {
            self.undue_refusals.push(due);
        }
    }
}

fn locked<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is changed in steps that leave it whole.
    one.lock().unwrap_or_else(PoisonError::into_inner)
}
