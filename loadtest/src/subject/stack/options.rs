//! What is asked of a stack.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::subject::strategy::Strategy;

/// What a stack consists of. Variables of this process reach every child, so that for example
/// `AUTH_ALGORITHM` or `OTEL_EXPORTER_OTLP_ENDPOINT` can be set for a whole stack from outside;
/// addresses, strategies and the other values that make it a stack are set here and win.
#[derive(Clone)]
pub struct StackOptions {
    /// One pool each, of [`crate::subject::strategy::KNOWN_STRATEGIES`].
    pub strategies: Vec<String>,
    /// Further pools: their own name and the strategy of their replicas.
    pub further_pools: Vec<(String, Strategy)>,
    /// API processes per strategy.
    pub replicas: usize,
    /// Auth services. Several need [`UserStore::Postgres`].
    pub auth_replicas: usize,
    /// Gateways, each with all routes and pools.
    pub gateways: usize,
    /// Where the auth service has its users.
    pub users: UserStore,
    /// Whose Redis.
    pub redis: RedisSource,
    /// Where our own programs are; unset: beside this executable, then in PATH.
    pub bin_dir: Option<PathBuf>,
    /// Worker threads of each API process.
    pub api_workers: usize,
    /// Worker threads of the auth service.
    pub auth_workers: usize,
    /// Threads of the gateway.
    pub gateway_threads: usize,
    /// Variables for every process of a role; they win over all others.
    pub environment: Vec<(Role, String, String)>,
    /// How long the whole may take to become ready.
    pub start_deadline: Duration,
    /// By which way each process reaches the auth service and a Redis of the stack's own; `None`:
    /// directly.
    pub detour: Option<Detour>,
    /// Cancelling it makes a start fail with [`super::StackError::Interrupted`].
    pub interrupt: CancellationToken,
}

/// Gives the address to use in place of that of a link's end. Called for each link before anything
/// is started, so that all of them can lead through something from the first connection on.
pub type Detour = Arc<dyn Fn(&Link, SocketAddr) -> std::io::Result<SocketAddr> + Send + Sync>;

/// Who connects to whom, by the names of the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Such as `api-jwt-1` or `gateway`.
    pub from: String,
    /// `redis` or `auth-service`.
    pub to: &'static str,
}

/// Whose Redis a stack uses.
#[derive(Clone)]
pub enum RedisSource {
    /// Its own, without persistence.
    Child,
    /// One that runs; it is neither started, nor broken, nor ended.
    Url(String),
}

/// Where users are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStore {
    /// In a file of one auth service.
    Sqlite,
    /// In a PostgreSQL of the stack's own, which several auth services share.
    Postgres,
}

/// Kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// auth-service
    Auth,
    /// api-service, every replica of every strategy
    Api,
    /// gateway
    Gateway,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            strategies: vec!["jwt".to_owned(), "session".to_owned()],
            further_pools: Vec::new(),
            replicas: 1,
            auth_replicas: 1,
            gateways: 1,
            users: UserStore::Sqlite,
            redis: RedisSource::Child,
            bin_dir: None,
            api_workers: 1,
            auth_workers: 1,
            gateway_threads: 1,
            environment: Vec::new(),
            detour: None,
            start_deadline: Duration::from_secs(60),
            interrupt: CancellationToken::new(),
        }
    }
}

impl StackOptions {
    /// Sets a variable for every process of a role.
    #[must_use]
    pub fn variable(mut self, role: Role, name: &str, value: &str) -> Self {
        self.environment
            .push((role, name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable for every process that is ours.
    #[must_use]
    pub fn variable_everywhere(self, name: &str, value: &str) -> Self {
        self.variable(Role::Auth, name, value)
            .variable(Role::Api, name, value)
            .variable(Role::Gateway, name, value)
    }
}
