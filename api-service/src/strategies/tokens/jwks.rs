//! An issuer's key set: fetched before ready, renewed ahead of need, kept while the issuer is gone.
//!
//! One task fetches; requests read a snapshot without a lock. A request with an unknown key id asks
//! the task for a newer set and waits for the outcome. However many ask, one fetch serves them all,
//! and for the cool-down after it, whether it succeeded or failed, its outcome answers for them:
//!
//! | the last fetch | an unknown key id then is |
//! | --- | --- |
//! | succeeded | nobody's: 401. An issuer announces a key before it signs with it |
//! | failed | undecidable: 503 |
//!
//! Fetches on schedule begin no cool-down, so that a key announced just after one is still found.

mod clocks;
mod discovery;
mod fetch;
mod observe;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use shared::{
    background::supervised,
    clock::Clock,
    shutdown::CancellationToken,
    telemetry::{
        outage::{Observer, Outage},
        trace::Unasked,
    },
    token::KeySet,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub use self::discovery::{Discovery, KeySource};
pub(super) use self::observe::Observed;
use self::{
    clocks::{Clocks, Moment},
    fetch::{Fetched, Source},
};
use crate::strategies::http_client::{Authorities, ClientError};

/// Pause after the first failed fetch in a row; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest pause after a failed fetch.
const LAST_RETRY: Duration = Duration::from_secs(2);
/// The longest until the issuer's clock is looked at again when it and ours differ.
const CLOCK_RETRY: Duration = Duration::from_secs(5);
/// How often our own clock is looked at: when it was set, the issuer's is asked for at once, and not
/// when keys are due.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// A request waits no longer for newer keys than one fetch under way and one of its own may take.
const WAIT_LIMIT: Duration = fetch::TIMEOUT.saturating_mul(2);

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksSettings {
    /// Whose they are, in metrics and logs.
    pub issuer: String,
    /// Where they are.
    pub keys: KeySource,
    /// Who is trusted besides the machine's authorities, where they are fetched over https.
    pub authorities: Authorities,
    /// How often they are fetched ahead of need.
    pub refresh: Duration,
    /// How long after a fetch an unknown key id causes no other.
    pub cooldown: Duration,
    /// How far the issuer's clock and ours may differ.
    pub leeway: Duration,
}

/// A handle on the key set; clones share it.
#[derive(Clone)]
pub(super) struct Jwks {
    keys: Arc<ArcSwap<KeySet>>,
    wanted: Arc<Notify>,
    last: watch::Receiver<Last>,
    cooldown: Duration,
    clocks: Arc<Clocks>,
}

/// How the last fetch ended.
#[derive(Clone, Default)]
struct Last {
    /// Why it gave no keys, when it gave none. `None`: none has ended yet.
    ended: Option<Result<(), Arc<str>>>,
    /// When the last fetch that a request asked for ended.
    asked_for: Option<Instant>,
}

impl Last {
    fn cools_down(&self, cooldown: Duration) -> bool {
        self.asked_for.is_some_and(|at| at.elapsed() < cooldown)
    }

    fn outcome(&self) -> Renewal {
        match self.ended {
            Some(Ok(())) => Renewal::Fresh,
            Some(Err(_)) | None => Renewal::Failed,
        }
    }
}

/// What asking for newer keys came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The set is the issuer's of now, or of no longer ago than the cool-down.
    Fresh,
    /// The issuer did not give a usable set.
    Failed,
}

impl Jwks {
    /// Starts the fetching task, which ends with `stop`.
    pub(super) fn start(
        settings: &JwksSettings,
        clock: &Clock,
        observed: &Observed,
        fetches: Unasked,
        stop: &CancellationToken,
    ) -> Result<Self, ClientError> {
        let source = Source::new(settings)?;
        let JwksSettings {
            issuer,
            refresh,
            cooldown,
            leeway,
            ..
        } = settings.clone();
        let (publish, last) = watch::channel(Last::default());
        let jwks = Self {
            keys: Arc::default(),
            wanted: Arc::default(),
            last,
            cooldown,
            clocks: Arc::new(Clocks::new(issuer.clone(), leeway)),
        };
        let outage = Outage::of(format!("the key set of {issuer}"));
        let fetcher = Fetcher {
            issuer,
            source,
            observer: Arc::new(outage.observer()),
            refresh,
            cooldown,
            keys: Arc::clone(&jwks.keys),
            wanted: Arc::clone(&jwks.wanted),
            publish,
            clock: clock.clone(),
            clocks: Arc::clone(&jwks.clocks),
            observed: observed.clone(),
            fetches,
            failures: 0,
        };
        let fetching = supervised("key fetching", move || fetcher.clone().run());
        tokio::spawn(stop.clone().run_until_cancelled_owned(fetching));
        Ok(jwks)
    }

    /// The keys as of now; empty before the first successful fetch.
    pub(super) fn current(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Why nothing is decided by time now.
    pub(super) fn clock_fault(&self) -> Option<String> {
        self.clocks.fault()
    }

    /// Whether it is not yet clear if there are keys: the first fetch is under way.
    pub(super) fn begins(&self) -> bool {
        self.last.borrow().ended.is_none()
    }

    /// Why the last fetch gave no keys, as far as one has ended and did not.
    pub(super) fn fault(&self) -> Option<Arc<str>> {
        self.last.borrow().ended.clone()?.err()
    }

    /// Asks for a set that may hold an unknown key, and waits until one was fetched or it is clear
    /// that none will be.
    pub(super) async fn renew(&self) -> Renewal {
        let asked = Instant::now();
        let mut updates = self.last.clone();
        let last = updates.borrow().clone();
        if last.cools_down(self.cooldown) {
            return last.outcome();
        }
        self.wanted.notify_one();
        // A fetch on schedule that is under way may have begun before the key was announced.
        let answered = updates.wait_for(|last| last.asked_for.is_some_and(|at| at >= asked));
        match tokio::time::timeout(WAIT_LIMIT, answered).await {
            Ok(Ok(last)) => last.outcome(),
            // The task has ended or the issuer keeps it waiting.
            Ok(Err(_)) | Err(_) => Renewal::Failed,
        }
    }
}

#[derive(Clone)]
struct Fetcher {
    issuer: String,
    source: Source,
    observer: Arc<Observer>,
    refresh: Duration,
    cooldown: Duration,
    keys: Arc<ArcSwap<KeySet>>,
    wanted: Arc<Notify>,
    publish: watch::Sender<Last>,
    clock: Clock,
    clocks: Arc<Clocks>,
    observed: Observed,
    fetches: Unasked,
    /// Failed fetches in a row.
    failures: u32,
}

impl Fetcher {
    async fn run(mut self) {
        let mut asked_for = false;
        loop {
            let ended = Some(self.fetch().await);
            let previous = self.publish.borrow().asked_for;
            self.publish.send_replace(Last {
                ended,
                asked_for: if asked_for {
                    Some(Instant::now())
                } else {
                    previous
                },
            });
            asked_for = self.wait().await;
        }
    }

    /// Why the issuer gave no usable set, if it did not, which changes nothing: a bad answer of the
    /// issuer must not refuse callers whose keys are in the set.
    async fn fetch(&mut self) -> Result<(), Arc<str>> {
        let issuer = self.issuer.as_str();
        let (asked, began) = (self.clock.now(), std::time::Instant::now());
        match self.source.fetch().await {
            Ok(Fetched { keys, date }) => {
                self.clocks.compare(date, asked, self.clock.now());
                self.observer.recovered();
                self.fetches.succeeded();
                if self.keys.load().is_empty() {
                    tracing::info!(issuer, keys = keys.len(), "an issuer's keys are fetched");
                }
                self.failures = 0;
                self.observed
                    .succeeded(issuer, keys.len(), self.clocks.ahead());
                self.keys.store(Arc::new(keys));
                Ok(())
            }
            Err(error) => {
                self.observer.failed(&error);
                if let Some(tracing) = self.fetches.failed() {
                    error.describe(&mut tracing.call_since("GET", began));
                }
                self.failures = self.failures.saturating_add(1);
                self.observed.failed(issuer, error.outcome());
                Err(error.to_string().into())
            }
        }
    }

    /// Until the next fetch is due, our clock was set, or a request asks for a fetch outside the
    /// cool-down; whether that was it.
    async fn wait(&self) -> bool {
        let due = tokio::time::sleep(self.pause());
        tokio::pin!(due);
        let began = Moment::now(&self.clock);
        let mut look = tokio::time::interval(CLOCK_LOOK);
        loop {
            tokio::select! {
                () = &mut due => return false,
                _ = look.tick() => {
                    if self.clocks.was_set(began, Moment::now(&self.clock)) {
                        return false;
                    }
                }
                () = self.wanted.notified() => {
                    // Who asked before the last fetch ended was served by it.
                    if !self.publish.borrow().cools_down(self.cooldown) {
                        return true;
                    }
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        match self.failures.checked_sub(1) {
            None if self.clocks.fault().is_some() => jittered(self.refresh.min(CLOCK_RETRY)),
            None => jittered(self.refresh),
            Some(doublings) => {
                let pause = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(doublings));
                jittered(pause.min(LAST_RETRY).min(self.refresh))
            }
        }
    }
}

/// Between four fifths and the whole of a period, so that replicas started together do not ask
/// together.
fn jittered(period: Duration) -> Duration {
    // Without randomness the replicas ask together, which is a pity and no fault.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    period.mul_f64(0.8 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_a_period_and_by_a_fifth_at_most() {
        let period = Duration::from_secs(300);
        for _ in 0..1_000 {
            let jittered = jittered(period);
            assert!(
                (Duration::from_secs(240)..=period).contains(&jittered),
                "{jittered:?}"
            );
        }
    }
}
