//! What one of a thing takes: a session in memory, a login and a renewal in processor time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Estimate;

/// Measured beside the load, in the same system, of logins that were made for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnitCosts {
    /// Logins of each kind.
    pub logins: u32,
    /// Renewals, and as many exchanges.
    pub renewals: u32,
    /// Memory in Redis that a login with a session takes, with all that is kept for it (`MEMORY USAGE` of
    /// every key that the logins made); absent where Redis cannot be asked.
    pub session_bytes: Option<Estimate>,
    /// Processor time of a login in the auth-service, in µs; absent where passwords were hashed cheaply.
    pub login_cpu_us: Option<Estimate>,
    /// Processor time of a renewal in the auth-service, in µs.
    pub renewal_cpu_us: Option<Estimate>,
    /// Processor time of an exchange of a session id for a token (RFC 8693) in the auth-service, in µs.
    pub exchange_cpu_us: Option<Estimate>,
    /// Size of the body that has the key set, in bytes.
    pub key_set_bytes: Option<Estimate>,
}
