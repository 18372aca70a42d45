//! What the system's processes use, by their own counters: CPU time, memory, Redis commands.
//!
//! Services are read from their `/metrics`, Redis through `INFO`. A component is the gateway, the
//! auth service, Redis, or all replicas of one strategy together.

pub mod metrics_text;
mod process_clock;
mod redis_info;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reqwest::blocking::Client;
use serde::Deserialize;
use url::Url;

use crate::subject::{
    client::client,
    stack::Stack,
    strategy::{KNOWN_STRATEGIES, Strategy},
};
pub use process_clock::cpu_time;
pub use redis_info::UNCOUNTED_COMMANDS;
use redis_info::{RedisMeter, RedisReading};

/// A process that does not answer within this time is not measured.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads all processes of a system.
pub struct Meter {
    client: Client,
    processes: Vec<Metered>,
    redis: Option<RedisMeter>,
}

struct Metered {
    name: String,
    component: String,
    url: String,
}

/// The counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A process does not answer.
    #[error("{name}: reading {url}: {source}")]
    Unreachable {
        /// Which process.
        name: String,
        /// What was read.
        url: String,
        /// Why it failed.
        source: reqwest::Error,
    },
    /// A process does not tell what is needed.
    #[error("{name}: {url} has no {what}")]
    Missing {
        /// Which process.
        name: String,
        /// What was read.
        url: String,
        /// What is not in it.
        what: &'static str,
    },
    /// Redis cannot be asked.
    #[error("asking Redis for INFO: {0}")]
    Redis(#[from] redis::RedisError),
}

/// All counters at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    processes: Vec<ProcessReading>,
    redis: Option<RedisReading>,
}

#[derive(Clone, Debug)]
struct ProcessReading {
    name: String,
    component: String,
    cpu_seconds: f64,
    resident_bytes: u64,
    /// Of sessions, verified tokens and answers in memory.
    lookups: Lookups,
}

/// Look-ups in a process' own memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lookups {
    /// Those that found what they looked for.
    pub hits: f64,
    /// All.
    pub all: f64,
}

/// What was used between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds by component.
    pub cpu_seconds: BTreeMap<String, f64>,
    /// Commands that Redis executed for requests; `None` when it cannot be asked.
    pub redis_commands: Option<u64>,
    /// Bytes that Redis read and wrote meanwhile; `None` when it cannot be asked.
    pub redis_bytes: Option<u64>,
    /// Look-ups in memory by component.
    pub lookups: BTreeMap<String, Lookups>,
}

#[derive(Deserialize)]
struct Pools {
    pools: BTreeMap<String, Pool>,
}

#[derive(Deserialize)]
struct Pool {
    upstreams: Vec<Upstream>,
}

#[derive(Deserialize)]
struct Upstream {
    address: String,
    /// Where it has `/metrics`. Gateways of earlier versions do not tell.
    health_address: Option<String>,
}

/// The component of all replicas of a strategy.
#[must_use]
pub fn api_component(strategy: &str) -> String {
    format!("api-{strategy}")
}

impl Meter {
    /// Of a stack that was started here.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached.
    pub fn of_stack(stack: &Stack) -> Result<Self, UsageError> {
        let gateways = stack.gateways.iter().map(|gateway| gateway.admin.as_str());
        let auths = stack.auth_urls.iter().map(String::as_str);
        let mut processes = metered("gateway", "gateway", gateways);
        processes.extend(metered("auth-service", "auth", auths));
        for (strategy, urls) in &stack.pools {
            for (number, url) in urls.iter().enumerate() {
                let name = format!("api-{strategy}-{}", number + 1);
                processes.push(Metered::new(&name, &api_component(strategy), url));
            }
        }
        Self::new(processes, Some(&stack.redis_url))
    }

    /// Of a system that runs: its replicas are found through the gateway's `/pools`. Without an
    /// admin URL only Redis is read, without a Redis URL only the rest.
    ///
    /// # Errors
    ///
    /// Something that was named cannot be reached.
    pub fn of_found(admin: Option<&Url>, redis_url: Option<&str>) -> Result<Self, UsageError> {
        let mut meter = Self::new(Vec::new(), redis_url)?;
        let Some(admin) = admin.map(|url| url.as_str().trim_end_matches('/')) else {
            return Ok(meter);
        };
        meter
            .processes
            .push(Metered::new("gateway", "gateway", admin));
        for (pool, members) in pools(&meter.client, admin)?.pools {
            let (component, base) = match pool.as_str() {
                "auth" => ("auth".to_owned(), "auth-service".to_owned()),
                strategy => (api_component(strategy), api_component(strategy)),
            };
            for (number, upstream) in members.upstreams.iter().enumerate() {
                let name = format!("{base}-{}", number + 1);
                let operators = upstream.health_address.as_ref();
                let url = format!("http://{}", operators.unwrap_or(&upstream.address));
                meter.processes.push(Metered::new(&name, &component, &url));
            }
        }
        Ok(meter)
    }

    fn new(processes: Vec<Metered>, redis_url: Option<&str>) -> Result<Self, UsageError> {
        Ok(Self {
            client: client(PATIENCE).map_err(no_client)?,
            processes,
            redis: redis_url.map(RedisMeter::connect).transpose()?,
        })
    }

    /// Replicas of a pool that are known.
    #[must_use]
    pub fn replicas(&self, pool: &str) -> usize {
        let component = api_component(pool);
        let replica = |process: &&Metered| process.component == component;
        self.processes.iter().filter(replica).count()
    }

    /// Version of the Redis server, if it can be asked.
    #[must_use]
    pub fn redis_version(&self) -> Option<String> {
        self.redis.as_ref().and_then(|redis| redis.version.clone())
    }

    /// The names of all keys in Redis; `None` where it cannot be asked, or has too many.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn redis_keys(&mut self) -> Result<Option<BTreeSet<Vec<u8>>>, UsageError> {
        Ok(self
            .redis
            .as_mut()
            .map(RedisMeter::keys)
            .transpose()?
            .flatten())
    }

    /// Memory in Redis that these keys take with what they hold, in bytes; 0 where it cannot be asked.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn redis_memory_of<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a Vec<u8>>,
    ) -> Result<u64, UsageError> {
        let redis = self.redis.as_mut();
        Ok(redis.map_or(Ok(0), |redis| redis.memory_of(keys))?)
    }

    /// Reads all counters.
    ///
    /// # Errors
    ///
    /// A process does not answer or does not tell.
    pub fn read(&mut self) -> Result<Reading, UsageError> {
        let processes = self
            .processes
            .iter()
            .map(|process| process.read(&self.client));
        Ok(Reading {
            processes: processes.collect::<Result<_, _>>()?,
            redis: self.redis.as_mut().map(RedisMeter::read).transpose()?,
        })
    }
}

/// The pools of a gateway, by the base URL of its `/pools`.
fn pools(client: &Client, admin: &str) -> Result<Pools, UsageError> {
    let url = format!("{admin}/pools");
    let answer = client.get(&url).send();
    answer
        .and_then(|response| response.error_for_status()?.json())
        .map_err(|source| UsageError::Unreachable {
            name: "gateway".to_owned(),
            url,
            // It would be told twice.
            source: source.without_url(),
        })
}

/// The strategies that a running gateway has pools of, in their usual order.
///
/// # Errors
///
/// It does not answer.
pub fn strategies_of(admin: &Url) -> Result<Vec<Strategy>, UsageError> {
    let admin = admin.as_str().trim_end_matches('/');
    let client = client(PATIENCE).map_err(no_client)?;
    let pools = pools(&client, admin)?.pools;
    let known = KNOWN_STRATEGIES.into_iter().filter_map(Strategy::named);
    Ok(known
        .filter(|strategy| pools.contains_key(strategy.name()))
        .collect())
}

/// Base URLs of the members of each pool of a running gateway.
///
/// # Errors
///
/// It does not answer.
pub fn replicas_of(admin: &Url) -> Result<BTreeMap<String, Vec<String>>, UsageError> {
    let admin = admin.as_str().trim_end_matches('/');
    let client = client(PATIENCE).map_err(no_client)?;
    let pools = pools(&client, admin)?.pools;
    let urls = |pool: Pool| {
        let members = pool.upstreams.into_iter();
        members
            .map(|member| format!("http://{}", member.address))
            .collect()
    };
    Ok(pools
        .into_iter()
        .map(|(name, pool)| (name, urls(pool)))
        .collect())
}

fn no_client(source: reqwest::Error) -> UsageError {
    UsageError::Unreachable {
        name: "loadtest".to_owned(),
        url: "an HTTP client".to_owned(),
        source,
    }
}

/// Of several, each has a number.
fn metered<'a>(
    name: &str,
    component: &str,
    urls: impl ExactSizeIterator<Item = &'a str>,
) -> Vec<Metered> {
    let only = urls.len() == 1;
    let one = |(number, url)| match only {
        true => Metered::new(name, component, url),
        false => Metered::new(&format!("{name}-{number}"), component, url),
    };
    (1..).zip(urls).map(one).collect()
}

impl Metered {
    fn new(name: &str, component: &str, base: &str) -> Self {
        Self {
            name: name.to_owned(),
            component: component.to_owned(),
            url: format!("{}/metrics", base.trim_end_matches('/')),
        }
    }

    fn read(&self, client: &Client) -> Result<ProcessReading, UsageError> {
        let text = client
            .get(&self.url)
            .send()
            .and_then(|response| response.error_for_status()?.text())
            .map_err(|source| UsageError::Unreachable {
                name: self.name.clone(),
                url: self.url.clone(),
                source: source.without_url(),
            })?;
        let sample = |what| {
            metrics_text::sample(&text, what).ok_or_else(|| UsageError::Missing {
                name: self.name.clone(),
                url: self.url.clone(),
                what,
            })
        };
        Ok(ProcessReading {
            name: self.name.clone(),
            component: self.component.clone(),
            cpu_seconds: sample("process_cpu_seconds_total")?,
            resident_bytes: sample("process_resident_memory_bytes")? as u64,
            lookups: lookups(&text),
        })
    }
}

impl Reading {
    /// What was used since `earlier`. A counter that began anew with its process counts from 0.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Usage {
        let mut usage = Usage::default();
        for now in &self.processes {
            let before = earlier.processes.iter().find(|one| one.name == now.name);
            let used = |of: fn(&ProcessReading) -> f64| {
                let (now, before) = (of(now), before.map_or(0.0, of));
                if now >= before { now - before } else { now }
            };
            *usage.cpu_seconds.entry(now.component.clone()).or_default() +=
                used(|one| one.cpu_seconds);
            let lookups = usage.lookups.entry(now.component.clone()).or_default();
            lookups.hits += used(|one| one.lookups.hits);
            lookups.all += used(|one| one.lookups.all);
        }
        if let (Some(now), Some(before)) = (&self.redis, &earlier.redis) {
            let used = (now.cpu_seconds - before.cpu_seconds).max(0.0);
            usage.cpu_seconds.insert("redis".to_owned(), used);
            usage.redis_commands = Some(now.commands.saturating_sub(before.commands));
            // The earlier answer was written after it was made.
            let before = before.network_bytes + before.answer_bytes;
            usage.redis_bytes = Some(now.network_bytes.saturating_sub(before));
        }
        usage
    }

    /// Resident memory of each process, in bytes.
    #[must_use]
    pub fn memory(&self) -> BTreeMap<String, u64> {
        let mut memory: BTreeMap<String, u64> = self
            .processes
            .iter()
            .map(|process| (process.name.clone(), process.resident_bytes))
            .collect();
        if let Some(redis) = &self.redis {
            memory.insert("redis".to_owned(), redis.resident_bytes);
        }
        memory
    }
}

impl Usage {
    /// CPU seconds of each component that serves the pool `pool`; its replicas are called `api`, and
    /// those of other pools are left out.
    #[must_use]
    pub fn cpu_seconds_of(&self, pool: &str) -> BTreeMap<String, f64> {
        let api = api_component(pool);
        [
            ("gateway", "gateway"),
            ("api", api.as_str()),
            ("redis", "redis"),
            ("auth", "auth"),
        ]
        .into_iter()
        .filter_map(|(name, component)| Some((name.to_owned(), *self.cpu_seconds.get(component)?)))
        .collect()
    }

    /// Look-ups in the memory of the replicas of a pool, and of the gateway before them.
    #[must_use]
    pub fn lookups_of(&self, pool: &str) -> Lookups {
        let api = api_component(pool);
        let components = ["gateway", api.as_str()];
        let found = components.iter().filter_map(|name| self.lookups.get(*name));
        found.fold(Lookups::default(), |sum, one| Lookups {
            hits: sum.hits + one.hits,
            all: sum.all + one.all,
        })
    }
}

/// What our services tell of their memories. A miss is every look-up that did not hit, whatever it
/// found instead.
fn lookups(text: &str) -> Lookups {
    const MEMORIES: [(&str, &str, &[&str]); 4] = [
        (
            "statewise_session_cache_events_total",
            "event",
            &["hit", "stale", "miss"],
        ),
        (
            "statewise_remembered_tokens_total",
            "event",
            &["hit", "miss"],
        ),
        (
            "statewise_introspection_events_total",
            "event",
            &["hit", "miss"],
        ),
        (
            "gateway_exchange_lookups_total",
            "result",
            &["hit", "miss", "joined"],
        ),
    ];
    let mut lookups = Lookups::default();
    for (name, label, values) in MEMORIES {
        for value in values {
            let count = metrics_text::labelled(text, name, &format!("{label}=\"{value}\""));
            lookups.all += count;
            if *value == "hit" {
                lookups.hits += count;
            }
        }
    }
    lookups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cpu: &[(&str, &str, f64)], redis: (f64, u64)) -> Reading {
        Reading {
            processes: cpu
                .iter()
                .map(|(name, component, cpu_seconds)| ProcessReading {
                    name: (*name).to_owned(),
                    component: (*component).to_owned(),
                    cpu_seconds: *cpu_seconds,
                    resident_bytes: 1,
                    lookups: Lookups::default(),
                })
                .collect(),
            redis: Some(RedisReading {
                cpu_seconds: redis.0,
                commands: redis.1,
                network_bytes: redis.1 * 100,
                answer_bytes: 1_000,
                resident_bytes: 2,
            }),
        }
    }

    #[test]
    fn the_replicas_of_a_strategy_are_added_and_those_of_others_left_out() {
        let before = reading(
            &[
                ("gateway", "gateway", 1.0),
                ("a", "api-jwt", 1.0),
                ("b", "api-jwt", 2.0),
                ("c", "api-session", 5.0),
            ],
            (1.0, 100),
        );
        let after = reading(
            &[
                ("gateway", "gateway", 1.5),
                ("a", "api-jwt", 1.25),
                ("b", "api-jwt", 2.25),
                ("c", "api-session", 9.0),
            ],
            (1.25, 350),
        );
        let usage = after.since(&before);
        assert_eq!(usage.redis_commands, Some(250));
        assert_eq!(usage.redis_bytes, Some(24_000));
        let expected = [("gateway", 0.5), ("api", 0.5), ("redis", 0.25)];
        let expected = expected.map(|(name, seconds)| (name.to_owned(), seconds));
        assert_eq!(usage.cpu_seconds_of("jwt"), expected.into());
    }

    #[test]
    fn a_process_that_was_restarted_counts_from_zero() {
        let before = reading(&[("a", "api-jwt", 7.0)], (0.0, 0));
        let after = reading(&[("a", "api-jwt", 0.5)], (0.0, 0));
        assert_eq!(after.since(&before).cpu_seconds["api-jwt"], 0.5);
    }
}
