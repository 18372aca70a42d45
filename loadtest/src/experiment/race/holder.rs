//! Those who hold the tokens of a login, and renew them when a request is refused.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use futures_util::future::join_all;
use reqwest::{Client, StatusCode, header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::tally::Tally;
use crate::{
    results::Holders,
    subject::login::{LoggedIn, refreshing},
};

/// How long an answer is awaited.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// A request that was refused so often although its token was new is given up, and so is a refresh
/// without a verdict.
const ATTEMPTS: u32 = 6;
/// How long after its last second a token is presented: clocks of one machine agree.
const AFTER: Duration = Duration::from_millis(20);
/// Who is not answered, or not told how long to wait, asks again after this.
const PAUSE: Duration = Duration::from_millis(200);

/// The tokens of a login, as one holder has them.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    access: String,
    refresh: String,
}

/// What all requests of a login share where they do.
struct Held {
    pair: Pair,
    /// Its refresh was refused for good.
    over: bool,
}

/// Where requests go, and who holds the tokens.
#[derive(Clone)]
pub(super) struct Contest {
    http: Client,
    me: Url,
    token: Url,
    holders: Holders,
    requests: u32,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: String,
}

enum Renewal {
    Granted(Pair),
    /// For good.
    Refused,
    /// No verdict; ask again after this time.
    Undecided(Duration),
}

impl Contest {
    pub(super) fn new(
        gateway: &Url,
        strategy: &str,
        holders: Holders,
        requests: u32,
    ) -> io::Result<Self> {
        let at = |path: &str| {
            let mut url = gateway.clone();
            url.set_path(path);
            url
        };
        let http = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            http,
            me: at(&crate::subject::found::path(strategy)),
            token: at("/auth/oauth/token"),
            holders,
            requests,
        })
    }

    /// The race of one login, from before its token runs out to the trial of the newest refresh token.
    pub(super) async fn race(self, login: LoggedIn) -> Tally {
        let first = Pair {
            access: login.credential,
            refresh: login.refresh_token.unwrap_or_default(),
        };
        // Opens a connection for each request, and shows that the token is good.
        join_all((0..self.requests).map(|_| self.ask(&first.access))).await;
        tokio::time::sleep(until(ends_at(&first.access)) + AFTER).await;
        let held = Arc::new(Mutex::new(Held {
            pair: first.clone(),
            over: false,
        }));
        let mut requests = Vec::new();
        for _ in 0..self.requests {
            let (one, held, pair) = (self.clone(), Arc::clone(&held), first.clone());
            requests.push(tokio::spawn(async move { one.request(&held, pair).await }));
        }
        let mut tally = Tally::default();
        let mut newest = first;
        for ended in join_all(requests).await {
            match ended {
                Ok((part, pair)) => {
                    tally.merge(part);
                    newest = pair.unwrap_or(newest);
                }
                Err(_) => tally.given_up += 1,
            }
        }
        if !self.is_alive(&newest).await {
            tally.logins_lost = 1;
        }
        tally
    }

    /// One request, until it is answered with 200 or given up; and the tokens that it got, if any.
    async fn request(&self, held: &Mutex<Held>, first: Pair) -> (Tally, Option<Pair>) {
        let mut tally = Tally::default();
        let mut pair = first.clone();
        let began = Instant::now();
        for attempt in 0..ATTEMPTS {
            match self.ask(&pair.access).await {
                Some(StatusCode::OK) => {
                    tally.recovered = 1;
                    tally.recovery_time.record(began.elapsed());
                    break;
                }
                Some(StatusCode::UNAUTHORIZED) => {
                    tally.unauthorized += u64::from(attempt == 0);
                    match self.renewed(held, &pair, &mut tally).await {
                        Some(next) => pair = next,
                        None => break,
                    }
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        tally.given_up = 1 - tally.recovered;
        let got = (pair != first).then_some(pair);
        (tally, got)
    }

    /// Other tokens than these; `None` when there are none any more.
    async fn renewed(&self, held: &Mutex<Held>, pair: &Pair, tally: &mut Tally) -> Option<Pair> {
        match self.holders {
            Holders::Each => self.refreshed(pair, tally).await,
            Holders::Shared => {
                // Whoever waits here finds what the one before got.
                let mut held = held.lock().await;
                if held.over {
                    return None;
                }
                if held.pair == *pair {
                    match self.refreshed(pair, tally).await {
                        Some(next) => held.pair = next,
                        None => held.over = true,
                    }
                }
                (!held.over).then(|| held.pair.clone())
            }
        }
    }

    /// Asks for new tokens until there is a verdict.
    async fn refreshed(&self, pair: &Pair, tally: &mut Tally) -> Option<Pair> {
        for _ in 0..ATTEMPTS {
            let began = Instant::now();
            tally.refreshes_sent += 1;
            match self.refresh(&pair.refresh).await {
                Renewal::Granted(next) => {
                    tally.renewed += 1;
                    tally.refresh_time.record(began.elapsed());
                    let successors = tally.successors.entry(pair.refresh.clone());
                    successors.or_default().insert(next.refresh.clone());
                    return Some(next);
                }
                Renewal::Refused => {
                    tally.refused += 1;
                    return None;
                }
                Renewal::Undecided(pause) => {
                    tally.undecided += 1;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        None
    }

    /// Whether the login goes on: its newest refresh token gives one more, and that access is good.
    async fn is_alive(&self, newest: &Pair) -> bool {
        // What it does is no part of the race.
        let mut tally = Tally::default();
        match self.refreshed(newest, &mut tally).await {
            Some(next) => self.ask(&next.access).await == Some(StatusCode::OK),
            None => false,
        }
    }

    /// Who is calling? `None` without an answer.
    async fn ask(&self, access: &str) -> Option<StatusCode> {
        let request = self.http.get(self.me.clone()).bearer_auth(access);
        let answer = request.send().await.ok()?;
        let status = answer.status();
        // The connection is used again once the body was read.
        answer.bytes().await.ok()?;
        Some(status)
    }

    async fn refresh(&self, refresh_token: &str) -> Renewal {
        let (form, body) = refreshing(refresh_token);
        let request = self
            .http
            .post(self.token.clone())
            .header(header::CONTENT_TYPE, form)
            .body(body);
        let Ok(answer) = request.send().await else {
            return Renewal::Undecided(PAUSE);
        };
        if answer.status() == StatusCode::BAD_REQUEST {
            return Renewal::Refused;
        }
        let waiting = answer.headers().get(header::RETRY_AFTER).and_then(|value| {
            let seconds = value.to_str().ok()?.parse().ok()?;
            Some(Duration::from_secs(seconds))
        });
        if answer.status() != StatusCode::OK {
            return Renewal::Undecided(waiting.unwrap_or(PAUSE));
        }
        match answer.json::<Granted>().await {
            Ok(granted) => Renewal::Granted(Pair {
                access: granted.access_token,
                refresh: granted.refresh_token,
            }),
            Err(_) => Renewal::Undecided(PAUSE),
        }
    }
}

/// The second from which on a token is refused, by its own words (RFC 7519 §4.1.4). A token that does not
/// say it is over.
fn ends_at(access: &str) -> SystemTime {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let read = || {
        let payload = access.split('.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        Some(serde_json::from_slice::<Claims>(&claims).ok()?.exp)
    };
    SystemTime::UNIX_EPOCH + Duration::from_secs(read().unwrap_or_default())
}

/// From now on; nothing for what is past.
fn until(moment: SystemTime) -> Duration {
    moment.duration_since(SystemTime::now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_ends() {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"ada","exp":1700000000}"#);
        let token = format!("e30.{payload}.c2ln");
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(ends_at(&token), expected);
        assert_eq!(ends_at("no token"), SystemTime::UNIX_EPOCH);
        assert_eq!(until(SystemTime::UNIX_EPOCH), Duration::ZERO);
    }
}
