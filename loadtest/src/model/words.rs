//! What is said of an answer: when a strategy is left out, and what each costs, as conditions and templates
//! that the page fills as well. In braces stands the name of a formula, a figure or what was asked.

use serde::Serialize;

use super::formula::{Expr, either, more, name};

/// What must hold for a strategy to be left.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Requirement {
    /// Not 0 where it does not hold.
    pub fails: Expr,
    /// Why the strategy is out then.
    pub told: &'static str,
}

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Piece {
    /// Not 0 where it is said.
    pub when: Expr,
    /// What is said.
    pub told: &'static str,
}

/// Everything that is said by templates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Words {
    /// What was asked, joined by commas.
    pub(super) asked: Vec<Piece>,
    /// Why strategies are out.
    pub(super) requirements: Vec<Requirement>,
    /// What a strategy costs, joined by commas.
    pub(super) costs: Vec<Piece>,
}

fn always() -> Expr {
    1.0.into()
}

fn not(condition: Expr) -> Expr {
    either(condition, 0.0, 1.0)
}

fn both(one: Expr, other: Expr) -> Expr {
    one * other
}

fn piece(when: Expr, told: &'static str) -> Piece {
    Piece { when, told }
}

pub(super) fn words() -> Words {
    let too_late = || {
        both(
            more(name("logout_within"), 0.0),
            more(name("logout_seen"), name("logout_within")),
        )
    };
    // A token that would be over soon enough.
    let shorter_would_do = || both(name("ends_with_token"), more(name("life_for_logout"), 0.0));
    let fails = |fails: Expr, told: &'static str| Requirement { fails, told };
    Words {
        asked: vec![
            piece(always(), "{rate} with {active_users} active users"),
            piece(always(), "{rtt_ms} to Redis and back"),
            piece(always(), "tokens that live {token_life}"),
            piece(
                more(name("logout_within"), 0.0),
                "a logout seen within {logout_within}",
            ),
            piece(
                more(name("replicas"), 0.0),
                "{replicas} replicas of the API",
            ),
            piece(name("must_answer"), "answers without Redis"),
        ],
        requirements: vec![
            fails(
                both(too_late(), shorter_would_do()),
                "a logout is seen after up to {logout_seen}; tokens that live {life_for_logout} would do, with \
                 {renewals_then} renewals",
            ),
            fails(
                both(
                    too_late(),
                    both(name("ends_with_token"), not(shorter_would_do())),
                ),
                "a logout is seen after up to {logout_seen}, and no life of a token is short enough: it is \
                 accepted {leeway} after its end",
            ),
            fails(
                both(too_late(), not(name("ends_with_token"))),
                "a logout is seen after up to {logout_seen}",
            ),
            fails(
                both(
                    more(name("replicas"), 0.0),
                    more(name("replicas_needed"), name("replicas")),
                ),
                "it needs {replicas_needed} replicas of the API to be {utilisation} busy",
            ),
            fails(
                both(name("must_answer"), more(0.99, name("good_without_redis"))),
                "{good_without_redis} of the requests are answered while Redis is gone",
            ),
        ],
        costs: vec![
            piece(
                always(),
                "{cores} cores (gateway {gateway_cores}, API {api_cores}, Redis {redis_cores}, auth-service \
                 {auth_cores})",
            ),
            piece(
                both(
                    more(name("redis_shards"), 0.0),
                    not(more(name("redis_shards"), 1.0)),
                ),
                "one Redis shard with {redis_memory}",
            ),
            piece(
                more(name("redis_shards"), 1.0),
                "{redis_shards} Redis shards with {redis_memory}",
            ),
            piece(more(name("touches"), 0.0), "{touches} touches of sessions"),
            piece(more(name("renewals"), 0.0), "{renewals} renewals"),
            piece(more(name("exchanges"), 0.0), "{exchanges} exchanges"),
            piece(
                more(name("keeps_sessions") + name("keeps_tokens"), 0.0),
                "{memory_hits} found in memory",
            ),
            piece(
                more(name("latency_ms"), 0.0),
                "{latency_ms} more on a request",
            ),
            piece(
                more(name("logout_seen"), 0.0),
                "a logout seen within {logout_seen}",
            ),
            piece(not(more(name("logout_seen"), 0.0)), "a logout seen at once"),
            piece(
                always(),
                "{good_without_redis} answered while Redis is gone",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{formulas, inputs::INPUTS};

    #[test]
    fn every_name_in_a_template_or_a_condition_is_known() {
        let mut known: Vec<&str> = INPUTS.iter().map(|one| one.id).collect();
        known.extend(formulas::STRUCTURE);
        known.extend(formulas::COMMON);
        known.extend(formulas::OWN);
        let all = formulas::all();
        known.extend(all.iter().map(|one| one.id));
        let words = words();
        let pieces = words.asked.iter().chain(&words.costs);
        let mut said: Vec<(&Expr, &str)> = pieces.map(|one| (&one.when, one.told)).collect();
        said.extend(words.requirements.iter().map(|one| (&one.fails, one.told)));
        for (condition, template) in said {
            for name in condition.names() {
                assert!(
                    known.contains(&name),
                    "{name} in the condition of {template}"
                );
            }
            for name in template.split('{').skip(1) {
                let name = name.split('}').next().unwrap();
                assert!(known.contains(&name), "{name} in {template}");
            }
        }
    }
}
