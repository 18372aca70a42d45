//! `loadtest run`: one stream of requests to any URL, with thresholds; and `loadtest merge`: several parts of
//! one stream, from several machines, as one.

mod judge;
mod merge;
mod result;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    load::{self, Arm, EngineError, Load, Options, SpanExport, Variant},
    subject::{
        login::{LoginError, Users},
        strategy::Credential,
    },
};
pub use judge::Limits;
pub use merge::{MergeError, merge};
pub use result::{RunResult, Shard};

/// Runs longer than this have a timeline in seconds.
const FINE_TIMELINE: Duration = Duration::from_secs(120);

/// What is driven, and what must hold.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What is requested. Credentials in it become an `Authorization` header (RFC 7617).
    pub url: Url,
    /// With which method.
    pub method: String,
    /// How many and when.
    pub load: Load,
    /// Header fields of every request.
    pub headers: Vec<(String, String)>,
    /// Body of every request; of no stated type unless a header names one.
    pub body: Option<Vec<u8>>,
    /// Who gets spans of the requests whose trace is kept.
    pub collector: Option<Url>,
    /// Logs users in for this strategy, through the server of the URL.
    pub login: Option<String>,
    /// How many users.
    pub users: usize,
    /// Time, deadline, seed and the like.
    pub engine: Options,
    /// What must hold of the answers.
    pub limits: Limits,
}

/// The run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody knows how to log in for it.
    #[error("--login {0:?} is not a strategy")]
    UnknownStrategy(String),
    /// Nobody would see a request. A target that goes away later is measured to the end.
    #[error(
        "no connection to {url}: {source}. Nothing was sent: start what is to be driven, or mend --url"
    )]
    Unreachable {
        /// What was to be driven.
        url: Url,
        /// Why not.
        source: std::io::Error,
    },
    /// The users could not be logged in.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No thread to export spans on.
    #[error("spans cannot be exported: {0}")]
    Spans(#[from] std::io::Error),
}

/// Drives the URL.
///
/// # Errors
///
/// The server cannot be reached before the first request, the users cannot be logged in or the generator
/// cannot start. What the server answers, and whether it goes on, is never an error.
pub fn run(options: &RunOptions, interrupt: &CancellationToken) -> Result<RunResult, RunError> {
    let mut engine_options = options.engine.clone();
    engine_options.interrupt = interrupt.clone();
    if engine_options.duration > FINE_TIMELINE {
        engine_options.slice = Duration::from_secs(1);
    }
    let mut options = options.clone();
    if let Some(authorization) = load::take_credentials(&mut options.url) {
        options.headers.push(authorization);
    }
    reach(&options.url)?;
    let arm = Arm {
        name: "run".to_owned(),
        url: options.url.clone(),
        variants: variants(&options)?,
        load: options.load,
    };
    let export = options.collector.as_ref().map(SpanExport::start);
    let export = export.transpose()?;
    engine_options.spans = export.as_ref().map(SpanExport::sink);
    let outcome = load::run(engine_options, vec![arm])?;
    let mut result = RunResult::of(&outcome, &options);
    result.spans = export.map(SpanExport::finish);
    result.instrument_faults = judge::instrument(&result, &outcome.arms[0], &options);
    judge::system(&mut result, options.url.as_str(), &options.limits);
    Ok(result)
}

/// Tries one connection, which costs the server nothing. What cannot be driven at all is the engine's to say.
fn reach(url: &Url) -> Result<(), RunError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    let reached = super::call::connect(url).map(drop);
    reached.map_err(|source| RunError::Unreachable {
        url: url.clone(),
        source,
    })
}

fn variants(options: &RunOptions) -> Result<Vec<Variant>, RunError> {
    let variants = match &options.login {
        None => vec![Variant::default()],
        Some(strategy) => {
            let credential = Credential::of(strategy)
                .ok_or_else(|| RunError::UnknownStrategy(strategy.clone()))?;
            let mut gateway = options.url.clone();
            gateway.set_path("/");
            gateway.set_query(None);
            Users::register(&gateway, options.users)?.log_in(credential)?
        }
    };
    let complete = |mut variant: Variant| {
        variant = variant.method(&options.method);
        for (name, value) in &options.headers {
            variant = variant.header(name, value);
        }
        match &options.body {
            Some(body) => variant.body("application/octet-stream", body.clone()),
            None => variant,
        }
    };
    Ok(variants.into_iter().map(complete).collect())
}
