//! How soon a process that starts is of use: its first good answer, and when what it remembers is
//! known to it.

use std::time::{Duration, Instant};

use reqwest::blocking::Client;

use super::{
    CouplingError, CouplingOptions,
    cells::interval,
    go::{Bench, is_good},
};
use crate::{
    load::Variant,
    progress::Progress,
    results::coupling::NewReplica,
    subject::{stack::Stack, strategy::Strategy},
};

/// A start takes some hundred milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two questions before the first good answer.
const POLL: Duration = Duration::from_millis(1);
/// Rounds over all users in which nothing is to be fetched any more once they are known.
const ROUNDS: usize = 3;

/// What is started, and how it is asked.
struct Newcomer {
    process: String,
    /// `api` or `gateway`.
    kind: &'static str,
    /// Where it answers with credentials.
    url: String,
    metrics: String,
    /// The sample that counts what was not at hand.
    misses: Option<&'static str>,
}

/// Starts a replica of each strategy anew, several times each, and for `phantom` the gateway too.
pub(super) fn measure(
    bench: &mut Bench<'_>,
    options: &CouplingOptions,
    progress: &Progress,
) -> Result<Vec<NewReplica>, CouplingError> {
    if options.starts == 0 {
        return Ok(Vec::new());
    }
    let client = bench.client.clone();
    let mut found = Vec::new();
    for name in &options.stack.strategies {
        let Some(strategy) = Strategy::named(name) else {
            continue;
        };
        for newcomer in newcomers(&bench.stack, strategy) {
            progress.step(&format!("starting {} anew", newcomer.process));
            found.extend(starts(bench, options, &client, strategy, &newcomer)?);
        }
    }
    Ok(found)
}

fn newcomers(stack: &Stack, strategy: Strategy) -> Vec<Newcomer> {
    let name = strategy.name();
    if strategy.is_exchanged() {
        // A replica behind the exchange takes exchanged tokens only, which the gateway has. What is new
        // with an empty memory is the gateway.
        return vec![Newcomer {
            process: "gateway".to_owned(),
            kind: "gateway",
            url: format!("{}/{name}/me", stack.gateway_url),
            metrics: format!("{}/metrics", stack.gateway_admin_url),
            misses: Some(r#"gateway_exchange_lookups_total{result="miss"}"#),
        }];
    }
    let Some(replica) = stack.pools.get(name).and_then(|replicas| replicas.first()) else {
        return Vec::new();
    };
    vec![Newcomer {
        process: format!("api-{name}-1"),
        kind: "api",
        url: format!("{replica}/me"),
        metrics: format!("{replica}/metrics"),
        misses: match strategy.api_strategy() {
            "session-cached" => Some(r#"statewise_session_cache_events_total{event="miss"}"#),
            _ if strategy.remembers() => Some(r#"statewise_remembered_tokens_total{event="miss"}"#),
            _ => None,
        },
    }]
}

fn starts(
    bench: &mut Bench<'_>,
    options: &CouplingOptions,
    client: &Client,
    strategy: Strategy,
    newcomer: &Newcomer,
) -> Result<Option<NewReplica>, CouplingError> {
    let name = [strategy.name().to_owned()];
    let (mut first, mut warm, mut cold) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.starts {
        let variants = bench.arms(&name)?.remove(0).variants;
        bench.stack.kill9(&newcomer.process)?;
        let started = Instant::now();
        bench.stack.restart(&newcomer.process)?;
        first.push(first_good(client, newcomer, &variants[0], started)?);
        if let Some(misses) = newcomer.misses {
            let asked = warm_up(client, newcomer, misses, &variants, options, started);
            warm.push(asked.0);
            cold.push(asked.1);
        }
        bench.wait_whole()?;
    }
    Ok(interval(&first).map(|first_good_ms| NewReplica {
        strategy: strategy.name().to_owned(),
        process: newcomer.kind.to_owned(),
        first_good_ms,
        warm_ms: interval(&warm),
        cold_requests: interval(&cold),
    }))
}

/// Milliseconds from the start of the process to its first 200.
fn first_good(
    client: &Client,
    newcomer: &Newcomer,
    variant: &Variant,
    started: Instant,
) -> Result<f64, CouplingError> {
    while started.elapsed() < PATIENCE {
        if is_good(client, &newcomer.url, variant) {
            return Ok(started.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(POLL);
    }
    Err(CouplingError::NoAnswer(newcomer.process.clone(), PATIENCE))
}

/// Lets the users ask in turn at the rate of one replica, and gives when the last request came for
/// which something was missing, in milliseconds from the start, and how many those were.
fn warm_up(
    client: &Client,
    newcomer: &Newcomer,
    misses: &str,
    variants: &[Variant],
    options: &CouplingOptions,
    started: Instant,
) -> (f64, f64) {
    let share = options.stack.replicas.max(1) as f64;
    let period = Duration::from_secs_f64(share / options.rate_per_second);
    let begin = Instant::now();
    let (mut last, mut warm) = (0.0, started.elapsed());
    for number in 0..variants.len() * ROUNDS {
        let due = begin + period * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        is_good(client, &newcomer.url, &variants[number % variants.len()]);
        let now = started.elapsed();
        let count = sample(client, &newcomer.metrics, misses).unwrap_or(last);
        if count > last {
            (last, warm) = (count, now);
        }
    }
    (warm.as_secs_f64() * 1e3, last)
}

/// The value of a sample in a text of metrics, by its name with labels.
fn sample(client: &Client, url: &str, name: &str) -> Option<f64> {
    let text = client.get(url).send().ok()?.text().ok()?;
    text.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        value.split_ascii_whitespace().next()?.parse().ok()
    })
}
