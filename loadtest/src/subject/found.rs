//! The system that is measured: a stack that was started for it, or one that ran already.

use std::time::Duration;

use url::Url;

use super::{
    stack::{RedisSource, Stack, StackError, StackOptions},
    usage::{Meter, UsageError},
};

/// How long the parts may drain at the end; nothing is in flight any more.
const DRAIN: Duration = Duration::from_secs(3);

/// The system cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It did not start.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Its counters cannot be read.
    #[error(transparent)]
    Usage(#[from] UsageError),
}

/// A system that can be driven and asked what it used.
pub struct Subject {
    /// Base URL of its public port.
    pub gateway: Url,
    /// Its counters.
    pub meter: Meter,
    /// `None` when the system is not ours.
    pub stack: Option<Stack>,
}

impl Subject {
    /// `gateway` is a system that runs, with `admin` the base URL of its gateway's `/pools` and
    /// `/metrics`; without it, a stack is started.
    ///
    /// # Errors
    ///
    /// The stack does not start, or something that was named cannot be reached.
    pub fn reach(
        stack: &StackOptions,
        gateway: Option<&Url>,
        admin: Option<&Url>,
    ) -> Result<Self, SubjectError> {
        if let Some(gateway) = gateway {
            let redis = match &stack.redis {
                RedisSource::Url(url) => Some(url.as_str()),
                RedisSource::Child => None,
            };
            return Ok(Self {
                gateway: gateway.clone(),
                meter: Meter::of_found(admin, redis)?,
                stack: None,
            });
        }
        let stack = Stack::start(stack.clone())?;
        Ok(Self {
            gateway: Url::parse(&stack.gateway_url).expect("the stack's own URL is one"),
            meter: Meter::of_stack(&stack)?,
            stack: Some(stack),
        })
    }

    /// Where a strategy says who is calling.
    pub fn url(&self, strategy: &str) -> Url {
        let mut url = self.gateway.clone();
        url.set_path(&path(strategy));
        url
    }

    /// Replicas of a pool; `None` when a system that was found does not tell.
    pub fn replicas(&self, pool: &str) -> Option<u32> {
        let found = self.meter.replicas(pool);
        (found > 0).then(|| u32::try_from(found).unwrap_or(u32::MAX))
    }

    /// Ends what was started here.
    pub fn end(self) {
        if let Some(stack) = self.stack {
            let _ended = stack.stop(DRAIN);
        }
    }
}

/// The request that is compared.
pub fn path(strategy: &str) -> String {
    format!("/{strategy}/me")
}
