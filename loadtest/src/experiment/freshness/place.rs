//! Where it is measured: in a system that is started with short-lived tokens, or in one that runs.

use std::{collections::BTreeMap, time::Duration};

use url::Url;

use super::{
    FreshnessOptions,
    groups::{Group, Lives, groups},
};
use crate::{
    experiment::{
        administrator::{Account, Administrator},
        error::ExperimentError,
    },
    subject::{
        login::Users,
        stack::{Role, Stack},
        strategy::{Credential, Strategy},
        usage::replicas_of,
    },
};

/// A system that runs.
#[derive(Clone)]
pub struct FoundSystem {
    /// Base URL of its gateway.
    pub gateway: Url,
    /// Base URL of its gateway's `/pools`, whose members are asked themselves.
    pub gateway_admin: Url,
    /// Name and password of an administrator; without one, only logouts can be measured.
    pub administrator: Option<(String, String)>,
}

/// A system that is ready to be measured.
pub(super) struct Place {
    /// `None` for one that was found.
    stack: Option<Stack>,
    pub(super) gateway: Url,
    /// Base URLs by strategy.
    pub(super) replicas: BTreeMap<String, Vec<String>>,
    administrator: Option<Administrator>,
    pub(super) users: Users,
    pub(super) lives: Lives,
    pub(super) groups: Vec<Group>,
}

impl Place {
    pub(super) fn reach(
        options: &FreshnessOptions,
        strategies: &[Strategy],
    ) -> Result<Self, ExperimentError> {
        match &options.found {
            Some(found) => Self::find(found, strategies),
            None => Self::start(options, strategies),
        }
    }

    fn start(options: &FreshnessOptions, strategies: &[Strategy]) -> Result<Self, ExperimentError> {
        let lives = Lives::of(options.quick);
        let groups = groups(strategies, lives, options.stack.replicas);
        let seconds = |life: Duration| format!("{}s", life.as_secs());
        let account = Account::new("freshness-admin")?;
        let stack = account
            .in_stack(options.stack.clone())
            .variable(
                Role::Auth,
                "AUTH_ACCESS_TOKEN_TTL",
                &seconds(lives.access_token),
            )
            .variable(Role::Auth, "AUTH_EXCHANGE_TTL", &seconds(lives.exchange))
            .variable(Role::Api, "API_LEEWAY", &seconds(lives.leeway));
        let stack = Stack::start(stack)?;
        let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
        Ok(Self {
            replicas: stack.pools.clone(),
            administrator: Some(Administrator::log_in(&gateway, &account)?),
            users: Users::register(&gateway, most_victims(&groups))?,
            stack: Some(stack),
            gateway,
            lives,
            groups,
        })
    }

    /// Its pools may differ in size, so each strategy is a group of its own.
    fn find(found: &FoundSystem, strategies: &[Strategy]) -> Result<Self, ExperimentError> {
        let replicas = replicas_of(&found.gateway_admin)?;
        let life = Users::register(&found.gateway, 1)?
            .log_in_once(0, Credential::Token)?
            .expires_in;
        let lives = Lives::found(life);
        let group = |strategy: &Strategy| {
            let members = replicas.get(strategy.name()).map_or(0, Vec::len);
            groups(&[*strategy], lives, members.max(1))
        };
        let groups: Vec<Group> = strategies.iter().flat_map(group).collect();
        let administrator = found.administrator.as_ref().map(|(username, password)| {
            Administrator::log_in(&found.gateway, &Account::known(username, password))
        });
        Ok(Self {
            stack: None,
            gateway: found.gateway.clone(),
            administrator: administrator.transpose()?,
            users: Users::register(&found.gateway, most_victims(&groups))?,
            replicas,
            lives,
            groups,
        })
    }

    /// Replicas of every strategy; where they differ, of the smallest pool.
    pub(super) fn fewest_replicas(&self) -> usize {
        self.groups
            .iter()
            .map(|group| group.replicas)
            .min()
            .unwrap_or_default()
    }

    /// Who may change users, if anybody of us may.
    pub(super) fn administrator(&self) -> Option<&Administrator> {
        self.administrator.as_ref()
    }

    /// Ends what was started here.
    pub(super) fn end(self) {
        if let Some(stack) = self.stack {
            let _ended = stack.stop(Duration::from_secs(3));
        }
    }
}

fn most_victims(groups: &[Group]) -> usize {
    let victims = groups
        .iter()
        .map(|group| group.victims * group.strategies.len());
    victims.max().unwrap_or_default()
}
