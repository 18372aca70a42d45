//! Active health checks: `GET /readyz` (or another path) on each upstream at an interval.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Response, StatusCode};
use shared::{problem, telemetry::outage::with_causes};

use super::{
    health::Readiness,
    pool::{Endpoint, Pool},
};

/// Active health checks.
#[derive(Clone, Debug)]
pub struct HealthSettings {
    /// Time between two checks of one upstream.
    pub interval: Duration,
    /// Time for one check.
    pub timeout: Duration,
    /// Path that is asked for.
    pub path: String,
    /// Port that is asked; `None`: the one of requests.
    pub port: Option<u16>,
    /// Failures in a row that take an upstream out.
    pub fall: usize,
    /// Successes in a row that bring it back.
    pub rise: usize,
}

impl HealthSettings {
    /// Where an upstream is asked how it is, by where it takes requests.
    pub(crate) fn asked(&self, upstream: SocketAddr) -> SocketAddr {
        SocketAddr::new(upstream.ip(), self.port.unwrap_or(upstream.port()))
    }
}

/// The most of an answer that is read for its reason, in bytes.
const REASON_LIMIT_BYTES: usize = 4 * 1024;

/// Held by whoever has not yet looked at its part of the pools for the first time.
pub(crate) type FirstLook = tokio::sync::mpsc::Sender<()>;

/// The client of all checks; its idle connections are kept for `idle`.
///
/// # Errors
///
/// It could not be built.
pub(crate) fn client(
    settings: &HealthSettings,
    idle: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(idle)
        // They go over http only, and a machine without certificates of authorities is fine for that.
        .tls_certs_only([])
        .build()
}

/// Asks one upstream again and again until it leaves its pool. `first` is dropped after the first
/// answer, or when none came in time.
pub(crate) async fn watch(
    pool: Arc<Pool>,
    endpoint: Arc<Endpoint>,
    settings: HealthSettings,
    client: reqwest::Client,
    mut first: Option<FirstLook>,
) {
    let asked = settings.asked(endpoint.address);
    let url = format!("http://{asked}{}", settings.path);
    let mut count = Consecutive::default();
    let mut interval = tokio::time::interval(settings.interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // The first tick is at once, so a member that joins waits for one answer only.
        tokio::select! {
            _ = interval.tick() => {}
            () = endpoint.left.cancelled() => return,
        }
        let report = ask(&client, &url).await;
        if let Some(now) = count.add(&report, &settings)
            && let Some(before) = endpoint.health.checked(now)
        {
            tell(&pool.name, &endpoint, before, &report);
        }
        drop(first.take());
    }
}

/// Logs that an upstream is otherwise than `before`.
fn tell(pool: &str, endpoint: &Endpoint, before: Readiness, report: &Report) {
    let upstream = endpoint.address;
    match (before, report) {
        (_, Report::Ready) => tracing::info!(pool, %upstream, "an upstream is ready"),
        (_, Report::Ending) => tracing::info!(pool, %upstream, "an upstream is ending"),
        (Readiness::Ending, Report::Failed(_)) => {
            tracing::info!(pool, %upstream, "an upstream has ended");
        }
        (_, Report::NotReady(reason) | Report::Failed(reason)) => {
            tracing::warn!(pool, %upstream, reason, "an upstream is not ready");
        }
    }
}

/// What one check brought.
#[derive(Debug)]
enum Report {
    Ready,
    /// It was told to end, and answers until then.
    Ending,
    /// It says so itself, which needs no second opinion, and why.
    NotReady(String),
    /// Another status, or no answer.
    Failed(String),
}

async fn ask(client: &reqwest::Client, url: &str) -> Report {
    match client.get(url).send().await {
        Ok(response) if response.status().is_success() => Report::Ready,
        Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
            not_ready(response).await
        }
        Ok(response) => Report::Failed(format!("it answered {}", response.status())),
        Err(error) => Report::Failed(with_causes(&error.without_url())),
    }
}

/// What an upstream says that is not ready, by its problem (RFC 9457).
async fn not_ready(mut response: Response) -> Report {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await
        && body.len() < REASON_LIMIT_BYTES
    {
        body.extend_from_slice(&chunk);
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = problem["type"]
        .as_str()
        .and_then(|kind| kind.strip_prefix(problem::TYPE_PREFIX));
    if code == Some(problem::ENDING) {
        return Report::Ending;
    }
    let reason = problem["detail"].as_str();
    Report::NotReady(reason.unwrap_or("it does not say why").to_owned())
}

/// Results in a row.
#[derive(Debug, Default)]
struct Consecutive {
    passed: usize,
    failed: usize,
}

impl Consecutive {
    /// The verdict, once enough results in a row agree.
    fn add(&mut self, report: &Report, settings: &HealthSettings) -> Option<Readiness> {
        match report {
            Report::Ready => {
                self.failed = 0;
                self.passed = self.passed.saturating_add(1);
                (self.passed >= settings.rise).then_some(Readiness::Ready)
            }
            Report::NotReady(_) => {
                self.passed = 0;
                Some(Readiness::NotReady)
            }
            Report::Ending => {
                *self = Self::default();
                Some(Readiness::Ending)
            }
            Report::Failed(_) => {
                self.passed = 0;
                self.failed = self.failed.saturating_add(1);
                (self.failed >= settings.fall).then_some(Readiness::NotReady)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_no_counts_at_once_and_silence_only_in_a_row() {
        let settings = HealthSettings {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            path: "/readyz".to_owned(),
            port: None,
            fall: 2,
            rise: 2,
        };
        let mut count = Consecutive::default();
        let mut add = |report| count.add(&report, &settings);
        let failed = || Report::Failed(String::new());
        let not_ready = || Report::NotReady(String::new());
        assert_eq!(add(Report::Ready), None);
        assert_eq!(add(Report::Ready), Some(Readiness::Ready));
        assert_eq!(add(failed()), None);
        assert_eq!(add(Report::Ready), None);
        assert_eq!(add(failed()), None);
        assert_eq!(add(failed()), Some(Readiness::NotReady));
        assert_eq!(add(not_ready()), Some(Readiness::NotReady));
        assert_eq!(add(Report::Ending), Some(Readiness::Ending));
        assert_eq!(add(failed()), None);
        assert_eq!(add(failed()), Some(Readiness::NotReady));
    }
}
