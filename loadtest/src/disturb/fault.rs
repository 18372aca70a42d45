//! The faults that are made to a running stack, and how they are undone.

use crate::subject::stack::{Stack, StackError};

/// One way in which a part of the system goes missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Redis runs no more and its connections stay open.
    RedisHung,
    /// The auth service is gone.
    AuthKilled,
    /// One replica of each strategy is gone.
    ReplicaKilled,
    /// Redis is gone and comes back without its data.
    RedisKilled,
}

impl Fault {
    /// Every fault, in an order in which none spoils what the next one needs: the sessions are lost
    /// in the last one.
    pub const ALL: [Self; 4] = [
        Self::RedisHung,
        Self::AuthKilled,
        Self::ReplicaKilled,
        Self::RedisKilled,
    ];

    /// Stable name for files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RedisHung => "redis_hung",
            Self::AuthKilled => "auth_killed",
            Self::ReplicaKilled => "replica_killed",
            Self::RedisKilled => "redis_killed",
        }
    }

    /// Name for readers.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::RedisHung => "Redis hung",
            Self::AuthKilled => "Auth service killed",
            Self::ReplicaKilled => "API replica killed",
            Self::RedisKilled => "Redis killed",
        }
    }

    /// What is done, to which processes.
    #[must_use]
    pub fn action(self, stack: &Stack) -> String {
        let names = self.targets(stack).join(" and ");
        match self {
            Self::RedisHung => format!("SIGSTOP to {names}, then SIGCONT"),
            Self::AuthKilled => format!("SIGKILL to {names}, then started again"),
            Self::ReplicaKilled => {
                let replicas = stack.pools.values().map(Vec::len).min().unwrap_or_default();
                format!("SIGKILL to {names}, of {replicas} each, then started again")
            }
            Self::RedisKilled => {
                format!(
                    "SIGKILL to {names}, then started again without its data: sessions are lost"
                )
            }
        }
    }

    /// Whether the stack has what this fault breaks: a Redis that is not ours is left alone.
    #[must_use]
    pub fn is_possible(self, stack: &Stack) -> bool {
        self.targets(stack)
            .iter()
            .all(|target| stack.pid(target).is_ok())
    }

    /// Names of the processes that this fault hits.
    #[must_use]
    pub fn targets(self, stack: &Stack) -> Vec<String> {
        match self {
            Self::RedisHung | Self::RedisKilled => vec!["redis".to_owned()],
            Self::AuthKilled => vec!["auth-service".to_owned()],
            Self::ReplicaKilled => {
                let strategies = stack.pools.keys();
                strategies
                    .map(|strategy| format!("api-{strategy}-1"))
                    .collect()
            }
        }
    }

    /// Makes the fault.
    ///
    /// # Errors
    ///
    /// A process has ended already.
    pub fn begin(self, stack: &Stack) -> Result<(), StackError> {
        for target in self.targets(stack) {
            match self {
                Self::RedisHung => stack.sigstop(&target)?,
                _ => stack.kill9(&target)?,
            }
        }
        Ok(())
    }

    /// Undoes the fault. Returns when the processes run, which is before they are ready.
    ///
    /// # Errors
    ///
    /// A process cannot be started.
    pub fn end(self, stack: &Stack) -> Result<(), StackError> {
        for target in self.targets(stack) {
            match self {
                Self::RedisHung => stack.sigcont(&target)?,
                _ => stack.restart(&target)?,
            }
        }
        Ok(())
    }
}
