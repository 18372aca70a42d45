//! The formulas, in the order in which they are evaluated: each may use what is asked, the figures, the
//! structure of the strategy, and what those before it gave.
//!
//! | names | are |
//! | --- | --- |
//! | [`super::INPUTS`] | asked |
//! | `holds_token`, `asks_redis` and the like | 1 or 0, by what the strategy is |
//! | `session_bytes`, `round_trips` and the like | figures, of the system or of one strategy |
//! | `api_demand_us(…)` and the like | measured processor time of a request in µs, over how busy the process was |

mod effects;
mod work;

use serde::Serialize;

use super::{
    format::Unit,
    formula::{Expr, at, min, name},
};

/// One formula.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Formula {
    /// Its name in later formulas.
    pub id: &'static str,
    /// What it gives, as in a table.
    pub label: &'static str,
    /// How that is written.
    pub unit: Unit,
    /// Why it is so, in a sentence.
    pub why: &'static str,
    /// The formula.
    pub formula: Expr,
    /// Heading of the rows that it stands under; a step on the way has none.
    pub group: Option<&'static str>,
}

/// 1 or 0, by what the strategy is.
#[cfg(test)]
pub(super) const STRUCTURE: [&str; 13] = [
    "holds_token",
    "checks_signatures",
    "holds_session",
    "follows_feed",
    "asks_redis",
    "keeps_sessions",
    "keeps_tokens",
    "is_exchanged",
    "auth_touches",
    "ends_with_token",
    "ends_with_exchange",
    "ends_by_word",
    "uses_redis",
];

/// Figures of the whole system.
#[cfg(test)]
pub(super) const COMMON: [&str; 18] = [
    "session_bytes",
    "login_us",
    "renewal_us",
    "exchange_us",
    "key_set_bytes",
    "key_refresh",
    "leeway",
    "renew_at",
    "touch_every",
    "touch_reads",
    "touch_us",
    "touch_bytes",
    "reads_to_keep",
    "exchange_life",
    "gateway_threads",
    "feed_bytes",
    "feed_looks",
    "exchange_round_trips",
];

/// Figures of one strategy.
#[cfg(test)]
pub(super) const OWN: [&str; 7] = [
    "round_trips",
    "round_trips_on_miss",
    "redis_bytes",
    "request_bytes",
    "logout_lag",
    "good_without_redis",
    "scaling",
];

/// Measured curves of one strategy.
#[cfg(test)]
pub(super) const CURVES: [&str; 7] = [
    "gateway_demand_us",
    "api_demand_us",
    "api_demand_us_on_miss",
    "redis_demand_us",
    "redis_demand_us_on_miss",
    "auth_demand_us",
    "exchange_redis_us",
];

const CORES: &str = "Cores";
const REDIS: &str = "Redis";
const TRAFFIC: &str = "Tokens, logins and keys";
const TIME: &str = "Memory and distance";
const GONE: &str = "When something ends";
/// The groups of rows, in the order of a table.
pub const GROUPS: [&str; 5] = [CORES, REDIS, TIME, GONE, TRAFFIC];

pub(super) fn step(
    id: &'static str,
    label: &'static str,
    unit: Unit,
    formula: Expr,
    why: &'static str,
) -> Formula {
    Formula {
        id,
        label,
        unit,
        why,
        formula,
        group: None,
    }
}

impl Formula {
    fn under(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }
}

/// Every formula.
pub(super) fn all() -> Vec<Formula> {
    [
        work::gateways(),
        work::memories(),
        work::exchanges(),
        work::touches(),
        work::api(),
        work::auth(),
        effects::redis(),
        effects::traffic(),
        effects::time(),
        effects::ends(),
    ]
    .concat()
}

/// Processes of one core each that are busy as planned.
fn busy(microseconds_per_second: Expr) -> Expr {
    microseconds_per_second / 1e6 / name("utilisation")
}

fn planned(curve: &'static str) -> Expr {
    at(curve, name("utilisation"))
}

/// The share of look-ups that hit, when each entry is asked for `asks` times in its life: the first of them
/// misses; and no more hit than there is room for.
fn hits(asks: &'static str) -> Expr {
    let in_time = name(asks) / (name(asks) + 1.0);
    let alive = name("active_users") * min(1.0, name(asks));
    in_time * min(1.0, name("cache_entries") / alive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::inputs::INPUTS;

    #[test]
    fn a_formula_uses_only_what_is_known_before_it_and_each_figure_is_used() {
        let inputs = INPUTS.iter().map(|input| input.id);
        let mut known: Vec<&str> = inputs.collect();
        for names in [&STRUCTURE[..], &COMMON, &OWN, &CURVES] {
            known.extend(names);
        }
        let mut used: Vec<&str> = Vec::new();
        for one in all() {
            for name in one.formula.names() {
                assert!(known.contains(&name), "{} uses {name}", one.id);
                used.push(name);
            }
            assert!(!known.contains(&one.id), "{} is there twice", one.id);
            known.push(one.id);
        }
        for names in [&STRUCTURE[..], &COMMON, &OWN, &CURVES] {
            for name in names {
                assert!(used.contains(name), "{name} is used by no formula");
            }
        }
    }
}
