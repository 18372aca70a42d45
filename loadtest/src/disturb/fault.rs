//! The faults that are made to a running stack, as data, and how they are made and undone.
//!
//! A fault is a kind, a target and, with some kinds, a dose. [`FAULTS`] has every one that is made; one
//! more is an entry there. What a kind does is in [`Fault::begin`] and [`Fault::end`], once for all
//! targets.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    links::Links,
    proxy::{Condition, Passage},
};
use crate::subject::stack::{Link, Stack, StackError};

/// One way in which a part of the system goes missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// Stable name for files and for `--fault`.
    pub id: &'static str,
    /// Name for readers.
    pub title: &'static str,
    /// What is done, with its dose.
    pub kind: Kind,
    /// To what.
    pub target: Target,
    /// The shortest pass over all faults that makes it.
    pub pass: Pass,
}

/// How many faults are made, from few to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Those that tell most within seconds.
    Quick,
    /// Those that tell something of the usual strategies within seconds.
    Full,
    /// All.
    Thorough,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The process ends at once and is started again when the fault is over.
    Killed,
    /// The process does not run while its connections stay open (SIGSTOP).
    Hung,
    /// What is sent arrives late.
    Slow {
        /// Added in each direction.
        delay: Duration,
    },
    /// Connections are reset and new ones refused while the process runs on, with its data.
    Refusing,
    /// What is sent is lost and nobody is told.
    Partitioned,
    /// The process ends and is started again without its data, long before the fault is over: what
    /// lasts is the loss.
    RestartedEmpty {
        /// How long it does not run.
        down: Duration,
    },
    /// Killed for longer than a token lives, under clients that refresh their tokens.
    Outlasting {
        /// The outage, in lives of an access token with the leeway of whoever checks it.
        lives: f64,
    },
}

/// To what it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The Redis that all share, or every link to it.
    Redis,
    /// The auth service, or every link to it.
    Auth,
    /// One replica of each pool.
    Replica,
    /// The link from one replica of each pool to Redis.
    ReplicaToRedis,
    /// The links from all replicas to the auth service; the gateway reaches it as before.
    ApiToAuth,
}

/// A round trip of 20 ms is added: another data centre, or a queue.
const SLOW: Duration = Duration::from_millis(10);
/// A round trip of 400 ms is added: longer than any deadline for Redis (250 ms).
const LATE: Duration = Duration::from_millis(200);
/// As long as a supervisor takes to start a process again.
const DOWN: Duration = Duration::from_millis(300);

/// Every fault that is made.
pub const FAULTS: [Fault; 14] = [
    fault("redis_hung", "Redis hung", Kind::Hung, Target::Redis).from(Pass::Quick),
    fault("redis_killed", "Redis killed", Kind::Killed, Target::Redis).from(Pass::Quick),
    fault(
        "auth_killed",
        "Auth service killed",
        Kind::Killed,
        Target::Auth,
    )
    .from(Pass::Quick),
    fault(
        "replica_killed",
        "API replica killed",
        Kind::Killed,
        Target::Replica,
    )
    .from(Pass::Quick),
    fault(
        "redis_restarted_empty",
        "Redis restarted empty",
        Kind::RestartedEmpty { down: DOWN },
        Target::Redis,
    ),
    fault(
        "redis_refusing",
        "Redis refusing",
        Kind::Refusing,
        Target::Redis,
    ),
    fault(
        "redis_slow",
        "Redis slow",
        Kind::Slow { delay: SLOW },
        Target::Redis,
    ),
    fault(
        "redis_late",
        "Redis late",
        Kind::Slow { delay: LATE },
        Target::Redis,
    ),
    fault(
        "replica_partitioned",
        "API replica without Redis",
        Kind::Partitioned,
        Target::ReplicaToRedis,
    ),
    fault(
        "replica_hung",
        "API replica hung",
        Kind::Hung,
        Target::Replica,
    )
    // The gateway needs seconds to see it.
    .from(Pass::Thorough),
    fault("auth_hung", "Auth service hung", Kind::Hung, Target::Auth),
    fault(
        "api_auth_slow",
        "Auth service slow for the API",
        Kind::Slow { delay: SLOW },
        Target::ApiToAuth,
    )
    // Of one strategy only.
    .from(Pass::Thorough),
    fault(
        "api_auth_partitioned",
        "API without the auth service",
        Kind::Partitioned,
        Target::ApiToAuth,
    )
    // Of one strategy only.
    .from(Pass::Thorough),
    fault(
        "auth_outlasting",
        "Auth service killed for longer than a token lives",
        Kind::Outlasting { lives: 2.0 },
        Target::Auth,
    ),
];

const fn fault(id: &'static str, title: &'static str, kind: Kind, target: Target) -> Fault {
    Fault {
        id,
        title,
        kind,
        target,
        pass: Pass::Full,
    }
}

/// Where a fault is made.
pub struct Site<'a> {
    /// The running system.
    pub stack: &'a Stack,
    /// Its links.
    pub links: &'a Links,
    /// The pools whose replicas are hit; the others are not looked at.
    pub strategies: &'a [String],
}

/// A fault could not be made or undone.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A process could not be handled.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The links could not be changed.
    #[error("changing the links between the parts: {0}")]
    Links(#[from] io::Error),
}

impl Fault {
    const fn from(self, pass: Pass) -> Self {
        Self { pass, ..self }
    }

    /// Every fault that a pass makes.
    #[must_use]
    pub fn of(pass: Pass) -> Vec<&'static Self> {
        FAULTS.iter().filter(|fault| fault.pass <= pass).collect()
    }

    /// The fault of this id; `None` when there is none.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        FAULTS.iter().find(|fault| fault.id == id)
    }

    /// Whether it is made under clients that refresh their tokens, in a system whose tokens are short.
    #[must_use]
    pub fn is_outlasting(&self) -> bool {
        matches!(self.kind, Kind::Outlasting { .. })
    }

    /// Whether the sessions are gone after it.
    #[must_use]
    pub fn loses_sessions(&self) -> bool {
        self.target == Target::Redis
            && matches!(self.kind, Kind::Killed | Kind::RestartedEmpty { .. })
    }

    /// The delay that is added to a round trip, of a link that is slow.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match self.kind {
            Kind::Slow { delay } => Some(delay * 2),
            _ => None,
        }
    }

    /// Whether it can be made at a stack: a Redis that is not ours is left alone.
    #[must_use]
    pub fn is_possible(&self, stack: &Stack) -> bool {
        let needs_redis = matches!(self.target, Target::Redis | Target::ReplicaToRedis);
        !needs_redis || stack.pid("redis").is_ok()
    }

    /// Names of the processes that it is done to; empty when it is done to links.
    #[must_use]
    pub fn processes(&self, strategies: &[String]) -> Vec<String> {
        match (self.kind, self.target) {
            (Kind::Slow { .. } | Kind::Refusing | Kind::Partitioned, _) => Vec::new(),
            (_, Target::Redis) => vec!["redis".to_owned()],
            (_, Target::Auth | Target::ApiToAuth) => vec!["auth-service".to_owned()],
            (_, Target::Replica | Target::ReplicaToRedis) => {
                strategies.iter().map(|pool| first_of(pool)).collect()
            }
        }
    }

    fn hits(&self, link: &Link, strategies: &[String]) -> bool {
        let first = || strategies.iter().any(|pool| link.from == first_of(pool));
        match self.target {
            Target::Redis => link.to == "redis",
            Target::Auth => link.to == "auth-service",
            Target::ApiToAuth => link.to == "auth-service" && link.from.starts_with("api-"),
            Target::ReplicaToRedis => link.to == "redis" && first(),
            Target::Replica => first(),
        }
    }

    /// Makes the fault. With [`Kind::RestartedEmpty`] the process runs again when this returns, and what
    /// is given is the moment at which it was started.
    ///
    /// # Errors
    ///
    /// A process has ended already, or the links have.
    pub fn begin(&self, site: &Site<'_>) -> Result<Option<Instant>, FaultError> {
        let processes = self.processes(site.strategies);
        let each = |act: &dyn Fn(&str) -> Result<(), StackError>| {
            processes.iter().try_for_each(|name| act(name))
        };
        match self.kind {
            Kind::Killed | Kind::Outlasting { .. } => each(&|name| site.stack.kill9(name))?,
            Kind::Hung => each(&|name| site.stack.sigstop(name))?,
            Kind::RestartedEmpty { down } => {
                each(&|name| site.stack.kill9(name))?;
                std::thread::sleep(down);
                let started = Instant::now();
                each(&|name| site.stack.restart(name))?;
                return Ok(Some(started));
            }
            Kind::Slow { delay } => self.set(site, delay, Passage::Open)?,
            Kind::Refusing => self.set(site, Duration::ZERO, Passage::Refused)?,
            Kind::Partitioned => self.set(site, Duration::ZERO, Passage::Stalled)?,
        }
        Ok(None)
    }

    /// Undoes the fault. Returns when the processes run, which is before they are ready.
    ///
    /// # Errors
    ///
    /// A process cannot be started, or the links have ended.
    pub fn end(&self, site: &Site<'_>) -> Result<(), FaultError> {
        for name in self.processes(site.strategies) {
            match self.kind {
                Kind::Hung => site.stack.sigcont(&name)?,
                Kind::RestartedEmpty { .. } => {}
                _ => site.stack.restart(&name)?,
            }
        }
        self.set(site, Duration::ZERO, Passage::Open)
    }

    /// Does nothing for a fault of processes: its links stay as they are, open and without a delay.
    fn set(&self, site: &Site<'_>, delay: Duration, passage: Passage) -> Result<(), FaultError> {
        let condition = Condition {
            delay,
            passage,
            ..Condition::default()
        };
        site.links
            .set(|link| self.hits(link, site.strategies), condition)?;
        Ok(())
    }

    /// What is done, for readers.
    #[must_use]
    pub fn action(&self) -> String {
        let target = match self.target {
            Target::Redis => "Redis",
            Target::Auth => "the auth service",
            Target::Replica => "one replica of each pool",
            Target::ReplicaToRedis => "the link from one replica of each pool to Redis",
            Target::ApiToAuth => "the links from the API to the auth service",
        };
        match self.kind {
            Kind::Killed if self.loses_sessions() => {
                format!("SIGKILL to {target}, then started again without its data")
            }
            Kind::Killed => format!("SIGKILL to {target}, then started again"),
            Kind::Hung => format!("SIGSTOP to {target}, then SIGCONT"),
            Kind::Slow { delay } => format!(
                "{} ms more in each direction on the way to {target}",
                delay.as_millis()
            ),
            Kind::Refusing => format!("connections to {target} are reset and new ones refused"),
            Kind::Partitioned => format!("nothing passes {target}"),
            Kind::RestartedEmpty { down } => format!(
                "SIGKILL to {target}, started again without its data after {} ms",
                down.as_millis()
            ),
            Kind::Outlasting { lives } => format!(
                "SIGKILL to {target} for {lives} times the life of an access token, under clients that refresh"
            ),
        }
    }
}

impl Kind {
    /// As in files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Slow { .. } => "slow",
            Self::Refusing => "refusing",
            Self::Partitioned => "partitioned",
            Self::RestartedEmpty { .. } => "restarted_empty",
            Self::Outlasting { .. } => "outlasting",
        }
    }

    /// How much of it, with a unit; `None` when there is only all of it.
    #[must_use]
    pub fn dose(&self) -> Option<String> {
        match self {
            Self::Slow { delay } => Some(format!("{} ms each way", delay.as_millis())),
            Self::RestartedEmpty { down } => Some(format!("{} ms down", down.as_millis())),
            Self::Outlasting { lives } => Some(format!("{lives} lives of a token")),
            Self::Killed | Self::Hung | Self::Refusing | Self::Partitioned => None,
        }
    }
}

impl Target {
    /// As in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Auth => "auth-service",
            Self::Replica => "replica",
            Self::ReplicaToRedis => "replica-redis",
            Self::ApiToAuth => "api-auth",
        }
    }
}

fn first_of(pool: &str) -> String {
    format!("api-{pool}-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: &str, to: &'static str) -> Link {
        Link {
            from: from.to_owned(),
            to,
        }
    }

    #[test]
    fn every_fault_has_an_id_of_its_own_by_which_it_is_found() {
        for fault in &FAULTS {
            assert_eq!(Fault::named(fault.id), Some(fault));
        }
        assert_eq!(Fault::named("rain"), None);
    }

    #[test]
    fn a_fault_is_done_to_processes_or_to_links() {
        let pools = ["jwt".to_owned(), "session".to_owned()];
        let of = |id| Fault::named(id).unwrap().processes(&pools);
        assert_eq!(of("replica_killed"), ["api-jwt-1", "api-session-1"]);
        assert_eq!(of("redis_restarted_empty"), ["redis"]);
        assert!(of("redis_slow").is_empty());
        assert!(of("replica_partitioned").is_empty());
    }

    #[test]
    fn a_partition_is_of_one_replica_and_a_slow_redis_is_slow_for_all() {
        let pools = ["session".to_owned()];
        let hits = |id, from, to| Fault::named(id).unwrap().hits(&link(from, to), &pools);
        assert!(hits("replica_partitioned", "api-session-1", "redis"));
        assert!(!hits("replica_partitioned", "api-session-2", "redis"));
        assert!(!hits(
            "replica_partitioned",
            "api-session-1",
            "auth-service"
        ));
        assert!(hits("redis_slow", "api-session-2", "redis"));
        assert!(hits("redis_slow", "auth-service", "redis"));
        assert!(!hits("api_auth_slow", "gateway", "auth-service"));
    }

    #[test]
    fn only_a_redis_that_ends_loses_the_sessions() {
        let lost: Vec<&str> = FAULTS
            .iter()
            .filter(|fault| fault.loses_sessions())
            .map(|fault| fault.id)
            .collect();
        assert_eq!(lost, ["redis_killed", "redis_restarted_empty"]);
    }
}
