//! What was asked for, by what, and where it ran.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::results::Origin;

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Name of the processor as the system gives it.
    pub cpu_model: String,
    /// Logical processors that this process may use.
    pub cpus: u32,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
    /// Load average over one minute before the first request.
    pub load_average_at_start: f64,
    /// Version of the Redis server, if it told.
    pub redis_version: Option<String>,
    /// Whether the system was started for this run.
    pub origin: Origin,
    /// Base URL through which the system was driven.
    pub gateway: String,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Strategies in the order in which they were named.
    pub strategies: Vec<String>,
    /// The short form.
    pub quick: bool,
    /// Replicas of the API per strategy.
    pub replicas: u32,
    /// Where all randomness begins: the same seed, the same schedule.
    pub seed: u64,
    /// Rate at which the strategies are compared, the same for all.
    pub rate_per_second: f64,
    /// How that rate was chosen.
    pub rate_chosen_by: String,
    /// Connections that the generator may open.
    pub connections: u32,
    /// Users that were logged in, per strategy.
    pub users: u32,
    /// Blocks of ABBA order.
    pub rounds: u32,
    /// Measured length of one window.
    pub window_seconds: f64,
    /// Discarded at the start of each window.
    pub warmup_seconds: f64,
    /// A later answer counts as failed.
    pub deadline_ms: u64,
}
