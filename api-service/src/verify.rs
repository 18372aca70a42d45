//! The strategies: from a request to a principal, a refusal, or "cannot be decided".
//!
//! A strategy is a file below this one that implements [`Strategy`], a variant of
//! [`StrategyConfig`], and a line in [`prepare`]. None knows handlers or status codes.

mod introspection;
mod jwks;
mod jwt;
mod jwt_revocable;
mod remembered;
mod session;
mod session_cached;
mod sources;
mod tokens;
mod verdicts;

use std::{collections::BTreeMap, pin::Pin, rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use shared::{
    clock::Clock,
    server::Missing,
    session::SessionStore,
    shutdown::CancellationToken,
    telemetry::{metrics::Metrics, trace::TraceHandle},
};

use self::sources::{OfProcess, OfThread};
pub(crate) use self::verdicts::Verdicts;
use crate::{StrategyConfig, error::Refusal, extract::Principal};

/// Who is calling, or why that is not known.
pub(crate) type Outcome = Result<Rc<Principal>, Refusal>;

/// A future of one worker thread.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One way to know who is calling, as one worker thread has it.
pub(crate) trait Strategy {
    /// The strategy's name.
    fn name(&self) -> &'static str;

    /// Decides about a request at the time `now` (Unix seconds).
    fn verify<'a>(
        &'a self,
        request: &'a HttpRequest,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome>;

    /// The sessions, of a strategy that asks their store itself: data of a login can be kept there.
    fn sessions(&self) -> Option<&SessionStore> {
        None
    }

    /// What is missing to decide anything now.
    fn missing(&self) -> Pending<'_, Option<Missing>>;
}

/// Opens a strategy on the calling worker thread, inside its runtime: connections made there are
/// driven by the thread that uses them.
type Open = Arc<dyn Fn(&mut OfThread) -> Rc<dyn Strategy> + Send + Sync>;

/// The strategies of a process, started: one that holds where no route says otherwise, and those
/// that routes have of their own.
#[derive(Clone)]
pub(crate) struct Strategies {
    /// Each of the process once.
    open: Vec<Open>,
    /// Index of the one that holds elsewhere.
    elsewhere: usize,
    /// Indices by route.
    routes: BTreeMap<&'static str, usize>,
}

/// The strategies of one worker thread.
pub(crate) struct Opened {
    elsewhere: Rc<dyn Strategy>,
    routes: BTreeMap<&'static str, Rc<dyn Strategy>>,
    /// Each once.
    all: Vec<Rc<dyn Strategy>>,
}

impl Strategies {
    /// Starts what the strategies need in the background, such as fetching keys; it ends with
    /// `stop`. What is configured alike is started once.
    pub(crate) fn start(
        strategy: StrategyConfig,
        routes: BTreeMap<&'static str, StrategyConfig>,
        clock: &Clock,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let mut process = OfProcess::new(clock, metrics, stop);
        let mut known: Vec<StrategyConfig> = Vec::new();
        let mut open = Vec::new();
        let mut index_of = |config: StrategyConfig| -> Result<usize, reqwest::Error> {
            if let Some(index) = known.iter().position(|other| *other == config) {
                return Ok(index);
            }
            open.push(prepare(&config, &mut process)?);
            known.push(config);
            Ok(known.len() - 1)
        };
        let elsewhere = index_of(strategy)?;
        let routes = routes
            .into_iter()
            .map(|(route, config)| Ok((route, index_of(config)?)))
            .collect::<Result<_, reqwest::Error>>()?;
        Ok(Self {
            open,
            elsewhere,
            routes,
        })
    }

    /// Opens every strategy on the calling worker thread.
    pub(crate) fn for_this_thread(&self) -> Opened {
        let mut thread = OfThread::default();
        let all: Vec<_> = self.open.iter().map(|open| open(&mut thread)).collect();
        Opened {
            elsewhere: Rc::clone(&all[self.elsewhere]),
            routes: self
                .routes
                .iter()
                .map(|(route, index)| (*route, Rc::clone(&all[*index])))
                .collect(),
            all,
        }
    }
}

impl Opened {
    /// The strategy of a route.
    pub(crate) fn of(&self, route: &str) -> Rc<dyn Strategy> {
        Rc::clone(self.routes.get(route).unwrap_or(&self.elsewhere))
    }

    /// Everything that is missing to decide about any request; what several strategies miss is
    /// named once.
    pub(crate) async fn missing(&self) -> Vec<Missing> {
        let mut missing: Vec<Missing> = Vec::new();
        for strategy in &self.all {
            if let Some(one) = strategy.missing().await
                && missing.iter().all(|known| known.name != one.name)
            {
                missing.push(one);
            }
        }
        missing
    }
}

/// Starts one strategy.
fn prepare(config: &StrategyConfig, process: &mut OfProcess<'_>) -> Result<Open, reqwest::Error> {
    Ok(match config {
        StrategyConfig::Jwt(settings) | StrategyConfig::Phantom(settings) => {
            jwt::prepare(config.name(), settings, process)?
        }
        StrategyConfig::JwtRevocable(settings) => jwt_revocable::prepare(settings, process)?,
        StrategyConfig::Session(settings) => session::prepare(settings),
        StrategyConfig::SessionCached(settings) => session_cached::prepare(settings, process),
        StrategyConfig::Introspection(settings) => introspection::prepare(settings, process)?,
    })
}
