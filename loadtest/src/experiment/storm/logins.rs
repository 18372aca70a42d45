//! Many users who log in at the same time, and again as soon as they can.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use reqwest::{StatusCode, header};
use url::Url;

use crate::stats::histogram::LatencyHistogram;

/// A login waits in a queue, and a hash takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who is sent away without being told for how long, comes back after this.
const COME_BACK: Duration = Duration::from_secs(1);

/// What became of the logins.
#[derive(Clone, Debug, Default)]
pub(super) struct Logins {
    /// Answers by status; 0 stands for none.
    pub(super) answers: BTreeMap<u16, u64>,
    /// From sending to the answer, of those that succeeded.
    pub(super) time: LatencyHistogram,
    /// From the first that was sent to the last answer.
    pub(super) lasted: Duration,
}

impl Logins {
    pub(super) fn merge(&mut self, other: &Self) {
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        self.time.merge(&other.time);
        self.lasted += other.lasted;
    }
}

/// A storm that goes on until it is told to end.
pub(super) struct Storm {
    began: Instant,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Logins>,
}

impl Storm {
    /// One user for each of `bodies`; all begin at `moment`.
    pub(super) fn begin(
        gateway: &Url,
        bodies: &[String],
        moment: Instant,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let url = format!("{}/auth/login", gateway.as_str().trim_end_matches('/'));
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(std::io::Error::other)?;
        let end = Arc::new(AtomicBool::new(false));
        let (ending, bodies) = (Arc::clone(&end), bodies.to_vec());
        let thread = std::thread::Builder::new()
            .name("logins".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::time::sleep_until(moment.into()).await;
                    let users: Vec<_> = bodies
                        .into_iter()
                        .map(|body| {
                            tokio::spawn(user(client.clone(), url.clone(), body, ending.clone()))
                        })
                        .collect();
                    let mut all = Logins::default();
                    for user in users {
                        all.merge(&user.await.unwrap_or_default());
                    }
                    all
                })
            })?;
        Ok(Self {
            began: moment,
            end,
            thread,
        })
    }

    /// Begins no login any more, and waits for those that were begun.
    pub(super) fn end(self) -> Logins {
        self.end.store(true, Ordering::Relaxed);
        let mut logins = self.thread.join().unwrap_or_default();
        logins.lasted = self.began.elapsed();
        logins
    }
}

async fn user(client: reqwest::Client, url: String, body: String, end: Arc<AtomicBool>) -> Logins {
    let mut seen = Logins::default();
    while !end.load(Ordering::Relaxed) {
        let began = Instant::now();
        let request = client
            .post(&url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.clone());
        let answer = request.send().await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        *seen.answers.entry(status).or_default() += 1;
        if status == StatusCode::OK.as_u16() {
            seen.time.record(began.elapsed());
            continue;
        }
        // As a well-behaved client: it comes back when it is told to.
        let told = answer.ok().and_then(|answer| {
            let value = answer.headers().get(header::RETRY_AFTER)?;
            value.to_str().ok()?.parse().ok()
        });
        pause(told.map_or(COME_BACK, Duration::from_secs), &end).await;
    }
    seen
}

/// Waits, in steps short enough to notice the end.
async fn pause(length: Duration, end: &AtomicBool) {
    let until = Instant::now() + length;
    while Instant::now() < until && !end.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100).min(length)).await;
    }
}
