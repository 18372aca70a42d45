//! The system that is measured: a stack that was started for it, or one that ran already.

use std::time::Duration;

use url::Url;

use super::{CompareError, CompareOptions};
use crate::{
    stack::{RedisSource, Stack},
    usage::Meter,
};

/// How long the parts may drain at the end; nothing is in flight any more.
const DRAIN: Duration = Duration::from_secs(3);

pub(super) struct Subject {
    pub(super) gateway: Url,
    pub(super) meter: Meter,
    /// `None` when the system is not ours.
    pub(super) stack: Option<Stack>,
}

impl Subject {
    pub(super) fn reach(options: &CompareOptions) -> Result<Self, CompareError> {
        if let Some(gateway) = &options.gateway {
            let admin = options.gateway_admin.as_deref();
            let redis = match &options.stack.redis {
                RedisSource::Url(url) => Some(url.as_str()),
                RedisSource::Child => None,
            };
            return Ok(Self {
                gateway: gateway.clone(),
                meter: Meter::of_found(admin, redis)?,
                stack: None,
            });
        }
        let stack = Stack::start(options.stack.clone())?;
        Ok(Self {
            gateway: Url::parse(&stack.gateway_url).expect("the stack's own URL is one"),
            meter: Meter::of_stack(&stack)?,
            stack: Some(stack),
        })
    }

    /// Where a strategy says who is calling.
    pub(super) fn url(&self, strategy: &str) -> Url {
        let mut url = self.gateway.clone();
        url.set_path(&path(strategy));
        url
    }

    /// Replicas of a strategy; 0 when a system that was found does not tell.
    pub(super) fn replicas(&self, strategy: &str, asked: usize) -> usize {
        if self.stack.is_some() {
            asked
        } else {
            self.meter.replicas(strategy)
        }
    }

    /// Ends what was started here.
    pub(super) fn end(self) {
        if let Some(stack) = self.stack {
            let _ended = stack.stop(DRAIN);
        }
    }
}

/// The request that is compared.
pub(super) fn path(strategy: &str) -> String {
    format!("/{strategy}/me")
}
