//! What each part has to do: memories first, then processor time.

use super::{CORES, Formula, REDIS, TIME, TRAFFIC, busy, hits, planned, step};
use crate::model::{
    format::Unit,
    formula::{Expr, ceil, either, max, more, name},
};

/// The gateways and how many there are.
pub(super) fn gateways() -> Vec<Formula> {
    vec![
        step(
            "gateway_cores",
            "gateway",
            Unit::Cores,
            busy(name("rate") * planned("gateway_demand_us")),
            "Processor time of a request in the gateway, measured as busy as is planned or as near to \
             that as was measured.",
        )
        .under(CORES),
        step(
            "gateways",
            "gateways",
            Unit::Count,
            max(1.0, ceil(name("gateway_cores") / name("gateway_threads"))),
            "Each gateway keeps the tokens that it got in exchange for itself.",
        ),
    ]
}

/// What the threads of the API keep.
pub(super) fn memories() -> Vec<Formula> {
    let keeps = || more(name("keeps_sessions") + name("keeps_tokens"), 0.0);
    let on_miss = either(
        keeps(),
        planned("api_demand_us_on_miss"),
        planned("api_demand_us"),
    );
    vec![
        step(
            "threads",
            "threads of the API",
            Unit::Count,
            either(
                more(name("replicas"), 0.0),
                name("replicas"),
                max(
                    1.0,
                    ceil(busy(name("rate") * on_miss) / name("scaling")),
                ),
            ),
            "Each keeps what it keeps for itself. As many as it takes when nothing is kept, where their \
             number is not given.",
        ),
        step(
            "entry_life",
            "life of an entry",
            Unit::Seconds,
            either(
                name("keeps_sessions"),
                name("touch_every"),
                either(name("is_exchanged"), name("exchange_life"), name("token_life")),
            ),
            "A session leaves every memory when it is touched, which renews its idle limit; a token when \
             it ends.",
        ),
        step(
            "entry_asks",
            "requests in the life of an entry",
            Unit::Plain,
            name("rate") / name("active_users") / name("threads") * name("entry_life"),
            "Requests of a user are spread evenly over the threads, and users are alike.",
        ),
        step(
            "memory_hits",
            "found in memory",
            Unit::Share,
            either(keeps(), hits("entry_asks"), 0.0),
            "The first request in the life of an entry misses, and so does what there is no room for.",
        )
        .under(TIME),
        step(
            "as_on_hit",
            "costs what a hit costs",
            Unit::Share,
            either(keeps(), name("memory_hits"), 1.0),
            "Where nothing is kept, a request costs what it was measured to cost.",
        ),
        step(
            "reads_of_a_miss",
            "reads of a session on a miss",
            Unit::Plain,
            Expr::from(1.0) + name("keeps_sessions") * name("reads_to_keep"),
            "Who keeps what it was told reads it once more.",
        ),
    ]
}

/// What the gateways ask the auth-service for.
pub(super) fn exchanges() -> Vec<Formula> {
    vec![
        step(
            "exchange_asks",
            "requests in the life of an exchanged token",
            Unit::Plain,
            name("rate") / name("active_users") / name("gateways") * name("exchange_life"),
            "Requests of a user are spread evenly over the gateways.",
        ),
        step(
            "exchanges",
            "exchanges",
            Unit::PerSecond,
            name("is_exchanged") * name("rate") * (Expr::from(1.0) - hits("exchange_asks")),
            "A gateway that has no token for a session id asks the auth-service for one.",
        )
        .under(TRAFFIC),
    ]
}

/// What keeps sessions alive.
pub(super) fn touches() -> Vec<Formula> {
    vec![
        step(
            "session_looks",
            "looks at sessions",
            Unit::PerSecond,
            name("holds_session") * either(name("is_exchanged"), name("exchanges"), name("rate")),
            "Each request looks at its session, in memory or in Redis; where it is exchanged, each \
             exchange does.",
        ),
        step(
            "touches",
            "touches of sessions",
            Unit::PerSecond,
            name("active_users")
                / (name("touch_every") + name("active_users") / name("session_looks")),
            "The first look at a session after a tenth of its idle limit renews the limit, by a write beside \
             the request.",
        )
        .under(REDIS),
    ]
}

/// Of all touches, for each request.
fn touches_of_a_request() -> Expr {
    name("touches") / name("rate")
}

/// What is kept costs what a hit costs, and the rest what it costs who keeps nothing.
fn by_memory(hit: &'static str, miss: Expr) -> Expr {
    name("as_on_hit") * planned(hit) + (Expr::from(1.0) - name("as_on_hit")) * miss
}

/// The API.
pub(super) fn api() -> Vec<Formula> {
    vec![
        step(
            "api_us",
            "processor time of a request in the API",
            Unit::Microseconds,
            by_memory("api_demand_us", planned("api_demand_us_on_miss"))
                + (Expr::from(1.0) - name("auth_touches")) * touches_of_a_request() * name("touch_us"),
            "A miss costs what it costs the strategy that keeps nothing; and touches, where the API makes \
             them.",
        ),
        step(
            "api_cores",
            "API",
            Unit::Cores,
            busy(name("rate") * name("api_us")) / name("scaling"),
            "Replicas of one core each; scaling is what was observed of what was predicted from one.",
        )
        .under(CORES),
        step(
            "replicas_needed",
            "replicas of the API",
            Unit::Count,
            max(1.0, ceil(name("api_cores"))),
            "Whole processes.",
        ),
        step(
            "replicas_busy",
            "busy",
            Unit::Share,
            name("api_cores") * name("utilisation")
                / either(
                    more(name("replicas"), 0.0),
                    name("replicas"),
                    name("replicas_needed"),
                ),
            "Of the replicas that are given, or of those that are needed.",
        ),
    ]
}

/// Redis, the auth-service, and all together.
pub(super) fn auth() -> Vec<Formula> {
    vec![
        step(
            "redis_us",
            "processor time of a request in Redis",
            Unit::Microseconds,
            by_memory(
                "redis_demand_us",
                planned("redis_demand_us_on_miss") * name("reads_of_a_miss"),
            )
                + name("exchanges") / name("rate") * planned("exchange_redis_us")
                + touches_of_a_request()
                    * name("touch_reads")
                    * (planned("redis_demand_us_on_miss") + planned("exchange_redis_us")),
            "Redis is asked on a miss only, where something is kept; and by an exchange. A touch costs so many \
             reads of a session.",
        ),
        step(
            "redis_cores",
            "Redis",
            Unit::Cores,
            busy(name("rate") * name("redis_us")),
            "A shard executes commands on one core.",
        )
        .under(CORES),
        step(
            "logins",
            "logins",
            Unit::PerSecond,
            name("active_users") / name("login_every"),
            "Whatever the strategy, and each costs a password hash.",
        )
        .under(TRAFFIC),
        step(
            "renewals",
            "renewals",
            Unit::PerSecond,
            name("holds_token") * name("active_users") / (name("token_life") * name("renew_at")),
            "Every active user renews a token before it ends.",
        )
        .under(TRAFFIC),
        step(
            "auth_cores",
            "auth-service",
            Unit::Cores,
            busy(
                name("logins") * name("login_us")
                    + name("renewals") * name("renewal_us")
                    + name("exchanges") * name("exchange_us")
                    + name("auth_touches") * name("touches") * name("touch_us")
                    + name("rate") * planned("auth_demand_us"),
            ),
            "Logins, renewals and exchanges, and what it does for each request and each touch where it is \
             asked.",
        )
        .under(CORES),
        step(
            "cores",
            "all",
            Unit::Cores,
            name("gateway_cores") + name("api_cores") + name("redis_cores") + name("auth_cores"),
            "Without the database of users.",
        )
        .under(CORES),
    ]
}
