//! Whether the generator measures what is there: it drives a target whose latency is known.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::target::Target;
use crate::{
    load::{self, Arm, Arrivals, EngineError, EngineOutcome, Load, Options, Variant},
    results::SelfCheck,
    stats::histogram::LatencyHistogram,
};

/// Latency of the target. Long against the few tens of microseconds that any loopback exchange
/// takes, which are part of what is measured and not of what is known.
const DELAY: Duration = Duration::from_millis(5);
/// Requests a second to the target of known latency.
const RATE: f64 = 1_000.0;
/// Connections to the target that answers at once.
const NULL_CONNECTIONS: usize = 16;

/// The self-check could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SelfCheckError {
    /// The target could not be started.
    #[error("starting the target of the self-check: {0}")]
    Target(#[from] std::io::Error),
    /// The generator failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Measures a target of known latency for two thirds of `duration`, and the generator's own cost
/// with a target that answers at once for the rest.
///
/// # Errors
///
/// The target or the generator cannot be started.
pub fn run(
    duration: Duration,
    seed: u64,
    interrupt: &CancellationToken,
) -> Result<SelfCheck, SelfCheckError> {
    let options = |share: u32| Options {
        duration: duration * share / 3,
        warmup: Duration::from_millis(200),
        seed,
        interrupt: interrupt.clone(),
        ..Options::default()
    };
    let open = Load::Open {
        rate: RATE,
        arrivals: Arrivals::Poisson,
    };
    let (known, took) = drive(DELAY, open, options(2))?;
    let closed = Load::Closed {
        connections: NULL_CONNECTIONS,
    };
    let (null, _) = drive(Duration::ZERO, closed, options(1))?;
    // What the target says that it took, and not what it was asked for: an operating system that wakes
    // it late is no error of the generator.
    let truth = took.summary(false);
    let latency = known.arms[0].response_time.summary(false);
    let error = |measured_us: f64, truth_us: f64| (measured_us / truth_us - 1.0) * 100.0;
    Ok(SelfCheck {
        target_latency_us: truth.p50_us,
        requests: latency.count,
        measured_p50_us: latency.p50_us,
        measured_p99_us: latency.p99_us,
        p50_error_percent: error(latency.p50_us, truth.p50_us),
        p99_error_percent: error(latency.p99_us, truth.p99_us),
        cpu_us_per_request: null.cpu_us_per_request(),
    })
}

/// What the generator saw, and what the target recorded.
fn drive(
    delay: Duration,
    load: Load,
    options: Options,
) -> Result<(EngineOutcome, LatencyHistogram), SelfCheckError> {
    let target = Target::start(vec![delay])?;
    let mut url = Url::parse("http://127.0.0.1/").expect("a constant URL");
    url.set_port(Some(target.address().port()))
        .expect("an http URL can have a port");
    let arm = Arm {
        name: "self-check".to_owned(),
        url,
        variants: vec![Variant::default()],
        load,
    };
    let seen = load::run(options, vec![arm])?;
    Ok((seen, target.took()))
}
