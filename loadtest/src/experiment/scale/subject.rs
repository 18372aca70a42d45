//! What is scaled: the replicas of a strategy, or the auth-services behind `POST /login`.

use url::Url;

use crate::{
    experiment::error::ExperimentError,
    load::Variant,
    results::scale::Component,
    subject::{
        login::{self, Users},
        stack::{StackOptions, UserStore},
        strategy::{Credential, Strategy},
    },
};

/// Users whose credentials are presented in turn.
const USERS: usize = 16;

/// Whose throughput is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// `GET /me` over the replicas of a strategy.
    Strategy(Strategy),
    /// `POST /login` over auth-services that share a PostgreSQL.
    Login,
}

impl Subject {
    /// As in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Strategy(strategy) => strategy.name(),
            Self::Login => "login",
        }
    }

    /// Whose replicas are counted.
    pub(super) fn scaled(self) -> Component {
        match self {
            Self::Strategy(_) => Component::Api,
            Self::Login => Component::Auth,
        }
    }

    /// Whether the store is asked in the middle of each request.
    pub(super) fn asks_store(self) -> bool {
        matches!(self, Self::Strategy(strategy) if strategy.api_strategy() == "session")
    }

    /// The system with so many replicas.
    pub(super) fn stack(self, usual: &StackOptions, replicas: usize) -> StackOptions {
        let mut stack = usual.clone();
        match self {
            Self::Strategy(strategy) => {
                stack.strategies = vec![strategy.name().to_owned()];
                stack.replicas = replicas;
                // Logins are not what is measured.
                login::cheap_hashing(stack)
            }
            Self::Login => {
                stack.strategies = vec!["jwt".to_owned()];
                stack.replicas = 1;
                stack.auth_replicas = replicas;
                stack.users = UserStore::Postgres;
                stack
            }
        }
    }

    /// What is requested at its path, see [`Self::url`].
    pub(super) fn variants(self, gateway: &Url) -> Result<Vec<Variant>, ExperimentError> {
        let users = Users::register(gateway, USERS)?;
        Ok(match self {
            Self::Strategy(strategy) => users.log_in(strategy.credential())?,
            Self::Login => (0..users.count())
                .map(|user| {
                    let body = users.login_body(user, Credential::Token);
                    Variant::default()
                        .method("POST")
                        .body("application/json", body)
                })
                .collect(),
        })
    }

    /// The path that is requested, and with what.
    pub(super) fn requested(self) -> (String, Option<String>) {
        match self {
            Self::Strategy(strategy) => {
                let credential = strategy.credential().name().to_owned();
                (format!("/{}/me", strategy.name()), Some(credential))
            }
            Self::Login => ("/auth/login".to_owned(), None),
        }
    }

    /// Where it is requested.
    pub(super) fn url(self, gateway: &Url) -> Url {
        let mut url = gateway.clone();
        url.set_path(&self.requested().0);
        url
    }

    /// The component of a process by its name; `None` for one that is not looked at.
    pub(super) fn component(self, process: &str) -> Option<Component> {
        let own = format!("api-{}-", self.name());
        match process {
            "redis" => Some(Component::Redis),
            name if name.starts_with("gateway") => Some(Component::Gateway),
            name if name.starts_with("auth-service") => Some(Component::Auth),
            name if name.starts_with(&own) => Some(Component::Api),
            _ => None,
        }
    }
}
