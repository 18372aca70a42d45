//! `GATEWAY_POOLS` and `GATEWAY_ROUTES`: who is in which pool, and which paths go there.

use std::{collections::BTreeSet, net::SocketAddr};

use shared::config::Faults;

use crate::{
    routes::{PathRule, RouteSettings},
    upstream::discovery::Members,
};

const POOLS: &str = "GATEWAY_POOLS";
const ROUTES: &str = "GATEWAY_ROUTES";

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

/// The index of the pool of this name; `None` is a fault.
pub(super) fn find_pool(pools: &[PoolConfig], name: &str) -> Result<usize, String> {
    pools
        .iter()
        .position(|pool| pool.name == name)
        .ok_or_else(|| format!("{POOLS} has no pool {name:?}"))
}

pub(super) fn parse_pools(text: &str, faults: &mut Faults) -> Vec<PoolConfig> {
    let mut pools: Vec<PoolConfig> = Vec::new();
    for entry in entries(text, ';') {
        let Some((name, members)) = entry.split_once('=') else {
            faults.add(POOLS, format!("{entry:?} is not NAME=MEMBERS"));
            continue;
        };
        let name = name.trim();
        if name.is_empty() || name.contains(['/', ',', '"', '\\']) {
            faults.add(POOLS, format!("{name:?} cannot name a pool"));
        }
        if pools.iter().any(|pool| pool.name == name) {
            faults.add(POOLS, format!("the pool {name:?} is there twice"));
        }
        // A pool with wrong members is one all the same, so that its routes are no second fault.
        let members = parse_members(members, faults).unwrap_or(Members::Fixed(Vec::new()));
        pools.push(PoolConfig {
            name: name.to_owned(),
            members,
        });
    }
    if pools.is_empty() {
        faults.add(POOLS, "it names no pool");
    }
    pools
}

fn parse_members(text: &str, faults: &mut Faults) -> Option<Members> {
    if let Some(name) = text.trim().strip_prefix("dns:") {
        let parsed = name
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .filter(|(host, port)| !host.is_empty() && !host.contains([',', ':']) && *port != 0)
            .ok_or_else(|| format!("\"dns:{name}\" is not dns:NAME:PORT"));
        return faults
            .check(POOLS, parsed)
            .map(|(host, port)| Members::Dns {
                host: host.to_owned(),
                port,
            });
    }
    let mut addresses = BTreeSet::new();
    for member in entries(text, ',') {
        match member.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => {
                addresses.insert(address);
            }
            _ => faults.add(
                POOLS,
                format!("{member:?} is not IP:PORT; a name is written dns:NAME:PORT"),
            ),
        }
    }
    if addresses.is_empty() {
        faults.add(POOLS, format!("{text:?} has no usable member"));
        return None;
    }
    Some(Members::Fixed(addresses.into_iter().collect()))
}

/// Rules with the names of their pools.
pub(super) struct Routes(Vec<(PathRule, String)>);

impl Routes {
    pub(super) fn parse(text: &str, faults: &mut Faults) -> Self {
        let mut routes = Self(Vec::new());
        for entry in entries(text, ',') {
            let Some((rule, pool)) = faults.check(ROUTES, PathRule::parse(entry)) else {
                continue;
            };
            if routes.have(&rule.prefix) {
                let prefix = &rule.prefix;
                faults.add(ROUTES, format!("the prefix {prefix} is there twice"));
            }
            routes.0.push((rule, pool));
        }
        if text.trim().is_empty() {
            faults.add(ROUTES, "it names no route");
        }
        routes
    }

    /// Whether there is a route with this prefix.
    pub(super) fn have(&self, prefix: &str) -> bool {
        self.0.iter().any(|(rule, _)| rule.prefix == prefix)
    }

    /// Puts pools in the place of their names. `exchange` has the prefixes with an exchange.
    pub(super) fn resolve(
        self,
        pools: &[PoolConfig],
        exchange: &BTreeSet<String>,
        faults: &mut Faults,
    ) -> Option<Vec<RouteSettings>> {
        let routes: Vec<Option<RouteSettings>> = self
            .0
            .into_iter()
            .map(|(rule, name)| {
                let pool = find_pool(pools, &name).map_err(|fault| {
                    format!("{}={name}{}: {fault}", rule.prefix, rule.replacement)
                });
                Some(RouteSettings {
                    pool: faults.check(ROUTES, pool)?,
                    exchanges: exchange.contains(&rule.prefix),
                    rule,
                })
            })
            .collect();
        // Collected first, so that every fault is noted.
        routes.into_iter().collect()
    }
}
