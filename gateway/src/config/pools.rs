//! `GATEWAY_POOLS` and `GATEWAY_ROUTES`: who is in which pool, and which paths go there.

use std::{collections::BTreeSet, net::SocketAddr};

use shared::config::{Faults, Given};

use crate::{
    routes::{PathRule, RouteSettings},
    upstream::discovery::Members,
};

/// A pool by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// As routes name it.
    pub name: String,
    /// Who is in it.
    pub members: Members,
}

/// The parts of a list, without blanks around them and without empty ones.
pub(super) fn entries(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator)
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// All pools, and the variable that names them.
pub(super) struct Pools<'a> {
    variable: &'a str,
    pub(super) all: Vec<PoolConfig>,
}

impl<'a> Pools<'a> {
    /// A pool with wrong members is one all the same, so that its routes are no second fault.
    pub(super) fn parse(given: &'a Given<String>, faults: &mut Faults) -> Self {
        let variable = given.variable();
        let mut all: Vec<PoolConfig> = Vec::new();
        for entry in entries(&given.value(faults).unwrap_or_default(), ';') {
            let Some((name, members)) = entry.split_once('=') else {
                faults.add(variable, format!("{entry:?} is not NAME=MEMBERS"));
                continue;
            };
            let name = name.trim();
            if name.is_empty() || name.contains(['/', ',', '"', '\\']) {
                faults.add(variable, format!("{name:?} cannot name a pool"));
            }
            if all.iter().any(|pool| pool.name == name) {
                faults.add(variable, format!("the pool {name:?} is there twice"));
            }
            let members = parse_members(members).unwrap_or_else(|found| {
                for fault in found {
                    faults.add(variable, fault);
                }
                Members::Fixed(Vec::new())
            });
            let name = name.to_owned();
            all.push(PoolConfig { name, members });
        }
        if all.is_empty() {
            faults.add(variable, "it names no pool");
        }
        Self { variable, all }
    }

    /// The index of the pool of this name.
    pub(super) fn find(&self, name: &str) -> Result<usize, String> {
        let index = self.all.iter().position(|pool| pool.name == name);
        index.ok_or_else(|| format!("{} has no pool {name:?}", self.variable))
    }
}

/// Reads `dns:NAME:PORT` or a list of addresses; returns all that is wrong.
fn parse_members(text: &str) -> Result<Members, Vec<String>> {
    if let Some(name) = text.trim().strip_prefix("dns:") {
        let (host, port) = name
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
            .filter(|(host, port)| !host.is_empty() && !host.contains([',', ':']) && *port != 0)
            .ok_or_else(|| vec![format!("\"dns:{name}\" is not dns:NAME:PORT")])?;
        return Ok(Members::Dns { host, port });
    }
    let mut addresses = BTreeSet::new();
    let mut found = Vec::new();
    for member in entries(text, ',') {
        match member.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => {
                addresses.insert(address);
            }
            _ => found.push(format!(
                "{member:?} is not IP:PORT; a name is written dns:NAME:PORT"
            )),
        }
    }
    if addresses.is_empty() {
        found.push(format!("{text:?} has no usable member"));
    }
    if found.is_empty() {
        Ok(Members::Fixed(addresses.into_iter().collect()))
    } else {
        Err(found)
    }
}

/// Rules with the names of their pools, and the variable that has them.
pub(super) struct Routes<'a> {
    variable: &'a str,
    rules: Vec<(PathRule, String)>,
}

impl<'a> Routes<'a> {
    pub(super) fn parse(given: &'a Given<String>, faults: &mut Faults) -> Self {
        let variable = given.variable();
        let text = given.value(faults).unwrap_or_default();
        let mut routes = Self {
            variable,
            rules: Vec::new(),
        };
        for entry in entries(&text, ',') {
            let Some((rule, pool)) = faults.check(variable, PathRule::parse(entry)) else {
                continue;
            };
            let prefix = &rule.prefix;
            if routes.find(prefix).is_ok() {
                faults.add(variable, format!("the prefix {prefix} is there twice"));
            }
            routes.rules.push((rule, pool));
        }
        if text.trim().is_empty() {
            faults.add(variable, "it names no route");
        }
        routes
    }

    /// The rule with this prefix.
    pub(super) fn find(&self, prefix: &str) -> Result<&PathRule, String> {
        let mut rules = self.rules.iter().map(|(rule, _)| rule);
        rules
            .find(|rule| rule.prefix == prefix)
            .ok_or_else(|| format!("{} has no prefix {prefix:?}", self.variable))
    }

    /// Puts pools in the place of their names. `exchanging` has the prefixes with an exchange.
    pub(super) fn resolve(
        self,
        pools: &Pools<'_>,
        exchanging: &BTreeSet<String>,
        faults: &mut Faults,
    ) -> Option<Vec<RouteSettings>> {
        let mut routes = Some(Vec::new());
        for (rule, name) in self.rules {
            let found = pools
                .find(&name)
                .map_err(|fault| format!("{}={name}{}: {fault}", rule.prefix, rule.replacement));
            match (faults.check(self.variable, found), &mut routes) {
                (Some(pool), Some(routes)) => routes.push(RouteSettings {
                    pool,
                    exchanges: exchanging.contains(&rule.prefix),
                    rule,
                }),
                _ => routes = None,
            }
        }
        routes
    }
}
